"""What every kind of rates must do: subclass RatesContract, say how to make them, and pass."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from carryall.ports.rates import Rates

_DAYS = timedelta(days=2)


class RatesContract:
    """The contract of `ports.rates.Rates`. Needs pytest-asyncio with `asyncio_mode = "auto"`.

    class TestMyRates(RatesContract):
        async def make_rates(self, tmp_path):
            yield [MyRates()]

        async def move_on(self, by):
            ...

        async def jump(self, by):
            ...
    """

    def make_rates(self, tmp_path: Path) -> AsyncIterator[Sequence[Rates]]:
        """Give rates that nobody has used, as each process has them that counts the same hits. Yields once."""
        raise NotImplementedError

    async def move_on(self, by: timedelta) -> None:
        """Let time pass."""
        raise NotImplementedError

    async def jump(self, by: timedelta) -> None:
        """Set the machine's clock forward, or back when it is negative."""
        raise NotImplementedError

    @pytest.fixture
    async def all_rates(self, tmp_path: Path) -> AsyncIterator[Sequence[Rates]]:
        """Give the rates under test, of every process."""
        async with asynccontextmanager(self.make_rates)(tmp_path) as made:
            yield made

    @pytest.fixture
    async def rates(self, all_rates: Sequence[Rates]) -> Rates:
        """Give the rates of one process."""
        return all_rates[0]

    async def test_the_limit_is_allowed_and_no_more(self, rates: Rates) -> None:
        """As many hits as the limit says, then a wait in whole seconds, for that key alone."""
        assert [None] * 5 == [await rates.hit("alice", 5) for _ in range(5)]

        wait_s = await rates.hit("alice", 5)
        assert isinstance(wait_s, int)
        assert 1 <= wait_s <= 61
        assert await rates.hit("bob", 5) is None
        assert await rates.hit("nul\0 and \ud7ff", 5) is None

    async def test_looking_counts_nothing(self, rates: Rates) -> None:
        """Whoever looks often may still come as often as before."""
        assert [None] * 20 == [await rates.wait("alice", 2) for _ in range(20)]

        assert [None, None] == [await rates.hit("alice", 2) for _ in range(2)]
        assert await rates.wait("alice", 2) is not None

    async def test_the_window_moves(self, rates: Rates) -> None:
        """A hit is free again a minute after it was made, not a minute after the last; refused hits don't count."""
        assert await rates.hit("alice", 2) is None
        await self.move_on(timedelta(seconds=30))
        assert await rates.hit("alice", 2) is None
        for seconds, left_s in ((1, 29), (10, 19), (15, 4)):
            await self.move_on(timedelta(seconds=seconds))
            assert left_s - 2 <= (await rates.hit("alice", 2) or 0) <= left_s

        await self.move_on(timedelta(seconds=4))
        assert await rates.hit("alice", 2) is None
        assert 26 <= (await rates.hit("alice", 2) or 0) <= 30

    async def test_all_processes_count_together(self, all_rates: Sequence[Rates]) -> None:
        """However many ask at once, and wherever, as many come through as the limit says (threat 14)."""
        asking = [rates.hit("alice", 7) for rates in all_rates for _ in range(20)]

        answers = await asyncio.gather(*asking)

        assert 7 == answers.count(None)
        assert all(1 <= answer <= 60 for answer in answers if answer is not None)

    @pytest.mark.parametrize("jump", [_DAYS, -_DAYS, -timedelta(seconds=30)])
    async def test_a_clock_that_jumps_locks_nobody_out(self, rates: Rates, jump: timedelta) -> None:
        """Whatever the clock did, who waits as long as they are told, a minute at the most, may come (threat 30)."""
        while await rates.hit("alice", 3) is None:
            pass
        await self.jump(jump)

        wait_s = await rates.wait("alice", 3) or 0
        assert wait_s <= 60
        await self.move_on(timedelta(seconds=wait_s))
        assert await rates.hit("alice", 3) is None
        await self.move_on(timedelta(seconds=61))
        assert [None] * 3 == [await rates.hit("alice", 3) for _ in range(3)]
        assert 1 <= (await rates.hit("alice", 3) or 0) <= 60
