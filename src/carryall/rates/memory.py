"""Rates of one process, in memory."""

import math
import time
from collections import deque
from collections.abc import Callable

_WINDOW_S = 60.0


class MemoryRates:
    """Implements `ports.rates.Rates` with an exact moving window.

    The clock is the machine's monotonic one: setting the time locks nobody out (threat 30).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}  # when, in seconds, oldest first

    async def hit(self, key: str, per_minute: int) -> int | None:
        """Count one hit."""
        wait_s = await self.wait(key, per_minute)
        if wait_s is None:
            self._hits.setdefault(key, deque()).append(self._clock())
        return wait_s

    async def wait(self, key: str, per_minute: int) -> int | None:
        """Tell whether a hit would be within the limit."""
        now = self._clock()
        mine = self._hits.get(key, deque())
        while mine and mine[0] <= now - _WINDOW_S:
            mine.popleft()
        if len(mine) < per_minute:
            return None
        return max(1, math.ceil(mine[-per_minute] + _WINDOW_S - now))

    async def forget(self) -> None:
        """Forget those who didn't come for a whole window."""
        before = self._clock() - _WINDOW_S
        self._hits = {key: hits for key, hits in self._hits.items() if hits and hits[-1] > before}
