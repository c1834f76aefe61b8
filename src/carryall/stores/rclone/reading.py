"""Bytes of a remote's file on their way out."""

from collections.abc import AsyncIterator

import aiohttp

from carryall.model.errors import StoreError
from carryall.stores.rclone.failures import silent, unreachable

_CHUNK_BYTES = 1 << 20


class RcloneReading:
    """Implements `ports.store.Reading` over an answer of the daemon; over none, for a range without bytes."""

    def __init__(self, name: str, response: aiohttp.ClientResponse | None, size: int) -> None:
        self._name = name
        self._response = response
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the range in chunks."""
        if self._response is None:
            return
        rest = self._size
        try:
            async for chunk in self._response.content.iter_chunked(_CHUNK_BYTES):
                rest -= len(chunk)
                yield chunk
        except TimeoutError as error:
            raise silent(self._name) from error
        except aiohttp.ClientError as error:
            raise unreachable(self._name) from error
        if rest:
            raise StoreError(
                f"Store {self._name}: the file is shorter than it was.", retryable=False, code="store_damaged"
            )

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._response is not None:
            self._response.close()
