"""The WebSocket protocol class under uvicorn: what is handed on when, and who is taken for gone."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from websockets.frames import Frame, Opcode

from carryall.http.sockets import MORE, SIZE, PiecewiseSocket

DEADLINE_S = 10
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)


class Heard:
    """An application that takes what comes, as long as it may."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Accept and listen."""
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await self.may_read.wait()
            message = await receive()
            self.messages.put_nowait(message)
            if message["type"] == "websocket.disconnect":
                return

    async def next(self) -> dict[str, Any]:
        """Give the next message."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.messages.get()


@asynccontextmanager
async def talking(
    heard: Heard, *, ping_s: float = 20
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a socket to a server with this application; pings are sent and waited for so long."""
    config = uvicorn.Config(
        heard,
        ws=PiecewiseSocket,
        lifespan="off",
        log_config=None,
        ws_ping_interval=ping_s,
        ws_ping_timeout=ping_s,
        ws_per_message_deflate=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server._serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(HANDSHAKE)
        async with asyncio.timeout(DEADLINE_S):
            assert b"101" in (await reader.readuntil(b"\r\n\r\n"))
        yield reader, writer
        writer.close()
        server.should_exit = True
        await task


async def test_bytes_are_handed_on_as_they_come() -> None:
    """The first bytes of a frame are there before its last, with the size of the whole."""
    heard = Heard()
    wire = Frame(Opcode.BINARY, bytes(1000)).serialize(mask=True)
    async with talking(heard) as (_, writer):
        writer.write(wire[:8])
        begun = await heard.next()
        writer.write(wire[8:500])
        middle = await heard.next()
        writer.write(wire[500:])
        end = await heard.next()

    assert (b"", 1000, True) == (begun["bytes"], begun[SIZE], begun[MORE])
    assert (True, False) == (middle[MORE], end[MORE])
    assert bytes(1000) == middle["bytes"] + end["bytes"]


async def test_who_waits_is_not_read_further() -> None:
    """While nothing is taken, nothing is read: a sender of 100 MB is stopped by the network's buffers."""
    heard = Heard()
    heard.may_read.clear()
    async with talking(heard) as (_, writer):
        writer.transport.set_write_buffer_limits(high=1)
        wire = Frame(Opcode.BINARY, bytes(100_000_000)).serialize(mask=True)
        writer.write(wire)
        while (left := writer.transport.get_write_buffer_size()) > 0:
            await asyncio.sleep(0.2)
            if writer.transport.get_write_buffer_size() == left:
                break
        assert left > 50_000_000
        heard.may_read.set()
        taken = 0
        while taken < 100_000_000:
            taken += len((await heard.next())["bytes"])


async def test_a_sender_needs_no_pong() -> None:
    """Who is in the middle of a message can't answer a ping, and isn't taken for gone."""
    heard = Heard()
    wire = Frame(Opcode.BINARY, bytes(1000)).serialize(mask=True)
    async with talking(heard, ping_s=0.05) as (reader, writer):
        writer.write(wire[:500])
        await heard.next()
        async with asyncio.timeout(DEADLINE_S):
            await reader.readexactly(5 * 6)  # five pings of four bytes, none of them answered
        writer.write(wire[500:])

        assert "websocket.receive" == (await heard.next())["type"]


async def test_a_silent_peer_is_gone() -> None:
    """Who answers no ping between messages is taken for gone."""
    heard = Heard()
    async with talking(heard, ping_s=0.05):
        assert "websocket.disconnect" == (await heard.next())["type"]
