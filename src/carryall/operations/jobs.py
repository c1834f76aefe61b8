"""Jobs from the verbs' side: queue one in a transaction, ring for the runner after it."""

import asyncio
from contextlib import suppress


class Bell:
    """Wakes the runner of this process. Ringing without a runner does nothing."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the runner, or let its next wait end at once. On the event loop only."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a ring, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()
