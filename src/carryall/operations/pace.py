"""How fast bytes may go where somebody set a limit."""

import asyncio
import time
from collections.abc import AsyncIterator

from carryall.ports.store import Reading


class Pace:
    """Lets so many bytes a second through, evenly, whoever takes them."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until what was taken before has had its time; then so many bytes have theirs."""
        now = time.monotonic()
        begins_at = max(self._free_at, now)
        self._free_at = begins_at + size / self._bytes_per_s
        await asyncio.sleep(begins_at - now)


class PacedReading:
    """Implements `ports.store.Reading` over another one, at a pace."""

    def __init__(self, reading: Reading, pace: Pace) -> None:
        self._reading = reading
        self._pace = pace

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the chunks, not too fast."""
        async for chunk in self._reading:
            await self._pace.take(len(chunk))
            yield chunk

    async def aclose(self) -> None:
        """Let go of the source."""
        await self._reading.aclose()
