"""A MEGA for tests: the API and the storage servers in one process, with files' bytes on disk.

    python tests/servers/mega PORT FOLDER

prints `ready PORT` when it answers on 127.0.0.1 (PORT 0 takes a free one), and serves until it is killed, or until its
standard input ends where that is a pipe. It knows nobody at first: `POST /_control/accounts`. `launch.py` does all this
for tests.
"""

import asyncio
import os
import stat
import sys
from pathlib import Path

from aiohttp import web
from control import Control
from faults import Faults
from front import Front
from storage import Storage
from world import World


class Server:
    """Listens, and stops listening for a while when it is told to."""

    def __init__(self, folder: Path, port: int) -> None:
        self._world = World(folder)
        self._port = port
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._coming_back: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Begin to listen; give the port."""
        faults = Faults()
        app = web.Application(client_max_size=64 << 20)
        for part in (Front(self._world, faults), Storage(self._world, faults)):
            app.add_routes(part.routes())
        app.add_routes(Control(self._world, faults, self.leave).routes())
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await self._listen()
        self._port = self._runner.addresses[0][1]
        self._world.url = f"http://127.0.0.1:{self._port}"
        return self._port

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()

    async def leave(self, seconds: float, request: web.Request) -> None:
        """Break every connection but the one that asks, and come back after some seconds."""
        assert self._runner is not None
        assert self._site is not None
        assert self._runner.server is not None
        await self._site.stop()
        for connection in self._runner.server.connections:
            if connection.transport is not None and connection.transport is not request.transport:
                connection.transport.abort()
        self._coming_back = asyncio.create_task(self._return(seconds))

    async def _return(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._listen()


async def main(port: int, folder: Path) -> None:
    """Serve until the standard input ends."""
    print("ready", await Server(folder, port).start(), flush=True)
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        await asyncio.Event().wait()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
