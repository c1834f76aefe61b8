"""Rates of one process, in memory."""

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter


class MemoryRates:
    """Implements `ports.rates.Rates` with the `limits` library's exact moving window."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, key: str, per_minute: int) -> int | None:
        """Count one hit."""
        item = RateLimitItemPerMinute(per_minute)
        return None if self._limiter.hit(item, key) else self._seconds_left(item, key)

    def wait(self, key: str, per_minute: int) -> int | None:
        """Tell whether a hit would be within the limit."""
        item = RateLimitItemPerMinute(per_minute)
        return None if self._limiter.test(item, key) else self._seconds_left(item, key)

    def _seconds_left(self, item: RateLimitItemPerMinute, key: str) -> int:
        free_at = self._limiter.get_window_stats(item, key).reset_time
        return max(1, math.ceil(free_at - time.time()))  # noqa: TID251  # the library tells its reset as wall-clock time
