"""A way to an S3 server on which things go wrong: one request for each connection, and faults for those that match."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Act = Literal["answer", "cut", "lose", "mute", "stall", "cut_answer"]


@dataclass
class Fault:
    """What happens to requests whose first line matches.

    "answer" gives `answer` instead of the server's; "cut" ends the connection after `after_bytes` of the body; "lose"
    lets the server do everything and ends the connection without an answer; "mute" takes everything and says nothing;
    "stall" takes nothing more; "cut_answer" ends the connection after `after_bytes` of the answer.
    """

    matches: str
    act: Act
    times: int = 1_000_000
    after_bytes: int = 0
    answer: bytes = b""


@dataclass
class Proxy:
    """Listens on 127.0.0.1. `heads` are the requests that came, whole, without their bodies.

    Connections on which nothing is said end when `patience` is set.
    """

    upstream_port: int
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    patience: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def until(self, pattern: str) -> None:
        """Wait for a request."""
        async with asyncio.timeout(20), self.came:
            await self.came.wait_for(lambda: any(re.match(pattern, head) for head in self.heads))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            async with self.came:
                self.heads.append(head)
                self.came.notify_all()
            await self._carry(head, self._fault(head), reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            with suppress(RuntimeError):  # the test is over, and its loop
                writer.transport.abort()

    def _fault(self, head: str) -> Fault:
        for fault in self.faults:
            if fault.times > 0 and re.match(fault.matches, head):
                fault.times -= 1
                return fault
        return Fault("", "lose", after_bytes=-1)

    async def _carry(self, head: str, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int((re.search(r"(?i)\r\ncontent-length: (\d+)", head) or [0, "0"])[1])
        if fault.act == "stall":
            await self.patience.wait()
            return
        if fault.act in ("answer", "mute"):
            await reader.readexactly(size)
            if fault.act == "mute":
                await self.patience.wait()
                return
            writer.write(fault.answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        try:
            up_writer.write(head.replace("\r\n", "\r\nConnection: close\r\n", 1).encode())
            await _copy(reader, up_writer, fault.after_bytes if fault.act == "cut" else size)
            if fault.act == "cut":
                return
            if fault.act == "lose" and fault.after_bytes == 0:
                await up_reader.read()
                return
            await _copy(up_reader, writer, fault.after_bytes if fault.act == "cut_answer" else -1)
            if fault.act != "cut_answer":
                writer.close()
                await writer.wait_closed()
        finally:
            up_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> None:
    """Copy so many bytes; all of them if the number is negative."""
    while count and (chunk := await reader.read(min(count, 65536) if count > 0 else 65536)):
        writer.write(chunk)
        await writer.drain()
        count -= len(chunk) if count > 0 else 0


@asynccontextmanager
async def proxy_to(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Open a way to a server, which may be encrypted."""
    proxy = Proxy(port)
    running: set[asyncio.Task[None]] = set()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(start, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def answer(status: str, body: str = "", headers: str = "") -> bytes:
    """Write an answer."""
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()
