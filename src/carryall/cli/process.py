"""One server process: the house, and uvicorn in it."""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from carryall.cli.stopping import obey_signals
from carryall.config import Settings
from carryall.http.server import protocol
from carryall.wiring import application, build

_LOOK_S = 0.5

UVICORN: dict[str, Any] = {
    "proxy_headers": False,  # we read them ourselves, and only from CARRYALL_TRUSTED_PROXIES
    "server_header": False,
    "ws": "carryall.http.sockets:PiecewiseSocket",
    "ws_per_message_deflate": False,  # bodies are never unpacked (threat 19)
}
"""What uvicorn is told, whoever starts it and whatever the settings."""


class _Server(uvicorn.Server):
    """uvicorn's server, without its signal handling: that ends the process by the signal, not with status 0."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()


def run_process(
    settings: Settings, listener: socket.socket, *, on_ready: Callable[[], None], parent: int | None = None
) -> None:
    """Serve until a signal comes.

    Args:
        on_ready: called when requests are taken.
        parent: the process that started this one, and without which it stops.
    """
    house = build(settings)
    # The house opens and closes here and not in the application's lifespan, so that its errors come out as they are.
    config = uvicorn.Config(application(house), lifespan="off", **options(settings))
    server = _Server(config, on_ready)

    def stop() -> None:
        server.should_exit = True

    obey_signals(stop, is_quiet=parent is not None)

    async def until_stopped() -> None:
        async with house.serving(), _watched(parent, stop):
            await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(until_stopped())


@asynccontextmanager
async def _watched(parent: int | None, stop: Callable[[], None]) -> AsyncIterator[None]:
    """Stop inside the block when the parent is gone. A pipe to it wouldn't tell: workers inherit each other's."""

    async def watch() -> None:
        while os.getppid() == parent:  # noqa: ASYNC110  # the kernel sets no asyncio.Event
            await asyncio.sleep(_LOOK_S)
        stop()

    watching = asyncio.create_task(watch()) if parent is not None else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()


def options(settings: Settings) -> dict[str, Any]:
    """Give what uvicorn has to know, whoever starts it."""
    return {
        **UVICORN,
        "http": protocol(header_s=settings.header_s),
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": math.ceil(settings.shutdown_grace_s),
    }
