"""How many transactions run beside each other: fewer while they get in each other's way."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_WIDENS_BY = 0.1  # for each that went well


class Lanes:
    """Lets so many in at once, in the order in which they came.

    Half as many after two got in each other's way, and slowly more again, as TCP does with packets: writers of one
    owner's counters end up one behind the other, those of different owners side by side (measured in docs/adr/0020).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._width = float(most)
        self._busy = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a lane; have it inside the block."""
        if self._queue or self._busy >= int(self._width):
            turn = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            await turn
        else:
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._let_in()

    def met(self) -> None:
        """Count that two got in each other's way."""
        self._width = max(1.0, self._width / 2)

    def went_well(self) -> None:
        """Count that nobody was in the way."""
        self._width = min(float(self._most), self._width + _WIDENS_BY)

    def _let_in(self) -> None:
        while self._queue and self._busy < int(self._width):
            turn = self._queue.popleft()
            if not turn.done():  # a loop that ends cancels those who wait
                self._busy += 1
                turn.set_result(None)
