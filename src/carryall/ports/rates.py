"""How often somebody asked."""

from typing import Protocol


class Rates(Protocol):
    """Counts hits in a moving window of one minute, by key."""

    async def hit(self, key: str, per_minute: int) -> int | None:
        """Count one hit. Give None when it is within the limit, else the seconds until the next may come (>= 1).

        A refused hit doesn't count against the window.
        """
        ...

    async def wait(self, key: str, per_minute: int) -> int | None:
        """Tell whether a hit would be within the limit, as `hit` does, and count nothing."""
        ...

    async def forget(self) -> None:
        """Forget what counts no more."""
        ...
