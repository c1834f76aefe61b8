"""What every kind of lease must do: subclass LeasesContract, say how to make them, and pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from carryall.ports.leases import Lease, Leases

_TURNS = 100


class Holder:
    """Somebody who holds a segment until a newcomer asks, and then takes a few steps to finish."""

    def __init__(self, leases: Leases, upload_id: str = "up", segment: int | None = None) -> None:
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.has_it = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.task = asyncio.ensure_future(self._hold(leases, upload_id, segment))

    async def _hold(self, leases: Leases, upload_id: str, segment: int | None) -> None:
        async with leases.hold(upload_id, segment) as lease:
            lease.on_ask(self._hear)
            self.has_it.set()
            await self.may_finish.wait()

    def _hear(self) -> None:
        self.asked += 1
        self.was_asked.set()

    async def leave(self) -> None:
        self.may_finish.set()
        await self.task


class LeasesContract:
    """The contract of `ports.leases.Leases`. Needs pytest-asyncio with `asyncio_mode = "auto"`.

    class TestMyLeases(LeasesContract):
        def make_leases(self):
            return MyLeases()
    """

    def make_leases(self) -> Leases:
        """Give leases that nobody holds."""
        raise NotImplementedError

    @pytest.fixture
    async def leases(self) -> AsyncIterator[Leases]:
        """Give the leases under test, in a process that is there."""
        leases = self.make_leases()
        async with leases.beating():
            yield leases

    async def settle(self) -> None:
        """Let everybody take the steps that they can take without each other."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def test_a_newcomer_asks_and_waits(self, leases: Leases) -> None:
        """The holder is asked, not ended; the newcomer has the segment only when the holder has left."""
        old = Holder(leases, segment=0)
        await old.has_it.wait()
        new = Holder(leases, segment=0)
        await self.settle()

        assert (1, False) == (old.asked, new.has_it.is_set())

        await old.leave()
        await new.has_it.wait()
        assert 0 == new.asked
        await new.leave()

    async def test_a_holder_is_asked_once(self, leases: Leases) -> None:
        """However many newcomers wait, the holder hears it once."""
        holders = [Holder(leases, segment=0) for _ in range(5)]
        await holders[0].has_it.wait()
        await self.settle()

        assert 1 == holders[0].asked

        for holder in holders:
            await holder.leave()

    async def test_asked_before_it_listens(self, leases: Leases) -> None:
        """A holder that was asked before it said what to do is told at once."""
        calls: list[str] = []
        async with leases.hold("up", 0) as lease:
            new = Holder(leases, segment=0)
            await self.settle()

            lease.on_ask(lambda: calls.append("leave"))
            assert ["leave"] == calls
        await new.leave()

    async def test_newcomers_are_served_in_order(self, leases: Leases) -> None:
        """Who came first has it first, and those who wait are asked by those behind them."""
        order: list[int] = []

        async def take(number: int) -> None:
            async with leases.hold("up", 0 if number % 3 else None):
                order.append(number)

        old = Holder(leases, segment=0)
        await old.has_it.wait()
        tasks = []
        for number in range(10):
            tasks.append(asyncio.ensure_future(take(number)))
            await self.settle()
        await old.leave()
        await asyncio.gather(*tasks)

        assert list(range(10)) == order

    async def test_segments_dont_disturb_each_other(self, leases: Leases) -> None:
        """Parallel chunks have a segment each, and nobody is asked."""
        holders = [Holder(leases, segment=number) for number in range(8)]
        for holder in holders:
            await holder.has_it.wait()

        assert 0 == sum(holder.asked for holder in holders)

        for holder in holders:
            await holder.leave()

    async def test_the_whole_upload_excludes_every_segment(self, leases: Leases) -> None:
        """Completing asks the holder of every segment, waits for all of them, and lets no new one in meanwhile."""
        segments = [Holder(leases, segment=number) for number in range(3)]
        for holder in segments:
            await holder.has_it.wait()
        whole = Holder(leases)
        await self.settle()
        late = Holder(leases, segment=7)
        await self.settle()
        assert [1, 1, 1] == [holder.asked for holder in segments]

        for holder in segments:
            assert not whole.has_it.is_set()
            await holder.leave()
        await whole.has_it.wait()
        await self.settle()
        assert not late.has_it.is_set()

        await whole.leave()
        await late.leave()

    async def test_uploads_dont_disturb_each_other(self, leases: Leases) -> None:
        """A lease is about one upload."""
        one, other = Holder(leases, "one"), Holder(leases, "other")

        await asyncio.gather(one.has_it.wait(), other.has_it.wait())

        assert (0, 0) == (one.asked, other.asked)
        await asyncio.gather(one.leave(), other.leave())

    async def test_who_stops_waiting_leaves_the_line(self, leases: Leases) -> None:
        """A newcomer that is cancelled holds nobody up."""
        old = Holder(leases, segment=0)
        await old.has_it.wait()
        gone, next_one = Holder(leases, segment=0), Holder(leases, segment=0)
        await self.settle()

        gone.task.cancel()
        with suppress(asyncio.CancelledError):
            await gone.task
        await old.leave()

        await next_one.has_it.wait()
        await next_one.leave()

    async def test_a_holder_that_fails_leaves(self, leases: Leases) -> None:
        """The lease ends with its context, however that ends."""
        with pytest.raises(ZeroDivisionError):
            async with leases.hold("up"):
                raise ZeroDivisionError

        assert not await leases.is_held("up")

    async def test_looking_asks_nobody(self, leases: Leases) -> None:
        """`is_held` tells and leaves everything as it is."""
        assert not await leases.is_held("up")
        holder = Holder(leases, segment=3)
        await holder.has_it.wait()

        assert await leases.is_held("up")
        assert not await leases.is_held("another")
        assert 0 == holder.asked

        await holder.leave()
        assert not await leases.is_held("up")

    async def test_two_never_have_it_at_once(self, leases: Leases) -> None:
        """In a hundred turns of writers that come, wait, give up and leave, no segment ever has two writers."""
        inside: set[int | None] = set()

        async def write(turn: int) -> None:
            segment = None if turn % 7 == 0 else turn % 3
            async with leases.hold("up", segment) as lease:
                assert segment not in inside
                assert None not in inside
                assert segment is not None or not inside
                inside.add(segment)
                await _linger(lease, turn % 5)
                inside.remove(segment)

        tasks = []
        for turn in range(_TURNS):
            tasks.append(asyncio.ensure_future(write(turn)))
            if turn % 11 == 0:
                tasks[turn // 2].cancel()
            await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)

        wrong = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
        assert [] == wrong
        assert not await leases.is_held("up")


async def _linger(lease: Lease, steps: int) -> None:
    """Stay until somebody asks, at most so many steps; a cancellation waits until the bookkeeping is done."""
    asked = asyncio.Event()
    lease.on_ask(asked.set)
    for _ in range(steps):
        if not asked.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
