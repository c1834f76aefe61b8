"""Connections to MEGA's machines, with limits on their silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from carryall.stores.mega.errors import of_connection

IDLE_S = 60
"""How long a connection may be silent, in either direction."""

_CONNECT_S = 10
_READ_BYTES = 1 << 18
_SLICE_BYTES = 1 << 18
_LETTING_GO_S = 0.02  # connections that were cut end behind `close`, when their last bytes have gone


class Wire:
    """One pool of connections for a store; made when it is first used."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(_LETTING_GO_S)

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes | bytearray, headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a body, and give the answer. Raises Passing where the connection fails, also inside the block."""
        try:
            async with asyncio.timeout(None) as idle:
                sending = _sending(body, idle)
                sized = {"Content-Length": str(len(body)), **(headers or {})}
                async with self._opened().post(
                    URL(url, encoded=True), data=sending, headers=sized, allow_redirects=False
                ) as answer:
                    idle.reschedule(None)  # from here on, aiohttp watches
                    yield answer
        except (aiohttp.ClientError, OSError) as error:
            raise of_connection(error) from error

    async def get(self, url: str) -> aiohttp.ClientResponse:
        """Give the answer with its body still to come; the caller closes it. Raises Passing."""
        try:
            return await self._opened().get(
                URL(url, encoded=True), headers={"Accept-Encoding": "identity"}, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise of_connection(error) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "carryall"},
                read_bufsize=_READ_BYTES,
            )
        return self._session


async def _sending(body: bytes | bytearray, idle: asyncio.Timeout) -> AsyncIterator[bytes]:
    """Give the body in slices, and see that each one is taken in time: aiohttp itself watches only what it reads."""
    loop = asyncio.get_running_loop()
    view = memoryview(body)
    for at in range(0, len(view) + 1, _SLICE_BYTES):
        if not idle.expired():
            idle.reschedule(loop.time() + IDLE_S)
        if at < len(view):
            yield view[at : at + _SLICE_BYTES]  # type: ignore[misc]  # aiohttp writes any kind of bytes
