"""Bytes of an object on their way out."""

from collections.abc import AsyncIterator

import aiohttp

from carryall.model.errors import StoreError
from carryall.ports.body import CHUNK_MAX_BYTES
from carryall.stores.s3.faults import broken, damaged


class S3Reading:
    """Implements `ports.store.Reading` over one answer; over none where the range is empty."""

    def __init__(self, name: str, response: aiohttp.ClientResponse | None, size: int) -> None:
        self._name = name
        self._response = response
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the range in chunks."""
        left = self._size
        while left and self._response is not None:
            try:
                chunk = await self._response.content.read(min(left, CHUNK_MAX_BYTES))
            except (aiohttp.ClientError, OSError) as error:
                raise broken(self._name, error) from error
            if not chunk:
                raise damaged(self._name, "the answer ended before its end.")
            left -= len(chunk)
            yield chunk

    async def aclose(self) -> None:
        """Let go: an answer that was read to its end leaves its connection to others."""
        if self._response is not None:
            response, self._response = self._response, None
            response.close()


def checked(name: str, response: aiohttp.ClientResponse, start: int, stop: int) -> StoreError | None:
    """Say what is wrong with an answer to a range, if anything is. Source: RFC 9110 §14.4."""
    if response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-{stop - 1}/"):
        return None
    if response.status == 200 and start == 0 and response.content_length == stop:
        return None  # allowed to whoever is asked for a whole file
    return damaged(name, "it gave another range than was asked for.")
