"""How long to wait before something is tried again, and how often it may be asked at all."""

import asyncio
import random
import time

TRIES = 8
FIRST_S = 0.5
LONGEST_S = 30.0


def pause_s(failures: int) -> float:
    """Give the seconds to wait after so many failures: twice as long each time, and never in step with others."""
    longest = min(LONGEST_S, FIRST_S * 2.0 ** (failures - 1))
    return longest * random.uniform(0.5, 1)  # noqa: S311  # spreads load, guards nothing


class Pace:
    """A bucket of permissions that fills up again with time."""

    def __init__(self, *, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._counted_at = time.monotonic()

    async def take(self) -> None:
        """Take one permission; wait for it where none is left."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_s)
        self._counted_at = now
        self._left -= 1
        if self._left < 0:
            await asyncio.sleep(-self._left / self._per_s)
