"""What the tests of subscribers share: servers that count who comes, and a clock that stands still."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web


class StoppedClock:
    """A Clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 11, 20, 12, tzinfo=UTC)


class Listener:
    """A TCP server on IPv4 and IPv6 loopback that counts who comes, and says nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.connections += 1
        writer.close()


class Receiver:
    """A real HTTP server: answers as the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[web.StreamResponse] = []
        self.requests: list[tuple[web.Request, bytes]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request, await request.read()))
        await self.may_answer.wait()
        return self.answers.pop(0) if self.answers else web.Response(text="ok")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """A server that nobody may come to."""
    counted = Listener()
    async with contextlib.AsyncExitStack() as servers:
        server = await servers.enter_async_context(await asyncio.start_server(counted.greet, "127.0.0.1", 0))
        counted.port = server.sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # not every machine has IPv6
            await servers.enter_async_context(await asyncio.start_server(counted.greet, "::1", counted.port))
        yield counted


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server that may be asked, once it is trusted."""
    kept = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", kept.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kept.port = runner.addresses[0][1]
    yield kept
    kept.may_answer.set()
    await runner.cleanup()
