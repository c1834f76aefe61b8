"""One server process: the house, and uvicorn in it."""

import asyncio
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from carryall.cli.stopping import obey_signals
from carryall.config import Settings
from carryall.wiring import application, build


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
    settings: Settings, listener: socket.socket, *, on_ready: Callable[[], None], orphaned_by: int | None = None
) -> None:
    """Serve until a signal comes.

    Args:
        on_ready: called when requests are taken.
        orphaned_by: a file descriptor that can be read when the process that started this one is gone; then this one
            stops, too.
    """
    house = build(settings)
    # The house opens and closes here and not in the application's lifespan, so that its errors come out as they are.
    config = uvicorn.Config(application(house), lifespan="off", **options(settings))
    server = _Server(config, on_ready)

    def stop() -> None:
        server.should_exit = True

    obey_signals(stop)

    async def until_stopped() -> None:
        if orphaned_by is not None:
            asyncio.get_running_loop().add_reader(orphaned_by, stop)
        async with house.serving():
            await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(until_stopped())


def options(settings: Settings) -> dict[str, Any]:
    """Give what uvicorn has to know, whoever starts it."""
    return {
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,  # we read them ourselves, and only from CARRYALL_TRUSTED_PROXIES
        "server_header": False,
        "ws": "carryall.http.sockets:PiecewiseSocket",
        "ws_per_message_deflate": False,  # bodies are never unpacked (threat 19)
        "timeout_graceful_shutdown": math.ceil(settings.shutdown_grace_s),
    }
