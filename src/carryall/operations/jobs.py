"""Jobs from the verbs' side: queue one in a transaction, ring for the runners after it."""

import asyncio
from contextlib import suppress


class Bell:
    """Wakes the runners of this process. Ringing without one does nothing."""

    def __init__(self) -> None:
        self._ears: list[Ear] = []

    def ear(self) -> "Ear":
        """Give a runner what it listens with."""
        self._ears.append(Ear())
        return self._ears[-1]

    def ring(self) -> None:
        """Wake every runner, or let its next wait end at once. On the event loop only."""
        for ear in self._ears:
            ear.ring()


class Ear:
    """One runner's end of the bell."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake this runner alone."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a ring, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()
