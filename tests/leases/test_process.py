"""Leases among the requests of one process."""

import asyncio

import pytest

from carryall.leases import process
from carryall.leases.process import ProcessLeases
from carryall.model.errors import Unavailable
from carryall.ports.leases import Leases
from carryall.testing.leases_contract import LeasesContract


class TestProcessLeases(LeasesContract):
    """The leases of one process keep the contract."""

    def make_leases(self) -> Leases:
        """Give leases that nobody holds."""
        return ProcessLeases()


async def test_a_holder_that_never_leaves_costs_patience_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the newcomer gives up with an answer that says when to come back, and leaves the line."""
    monkeypatch.setattr(process, "PATIENCE_S", 0.01)
    leases = ProcessLeases()
    async with leases.hold("up", 0):
        for segment in (0, None):
            with pytest.raises(Unavailable) as raised:
                await leases.hold("up", segment).__aenter__()
            assert ("upload_busy", 60) == (raised.value.stable_code, raised.value.retry_after_s)
        async with leases.hold("up", 1):
            pass


async def test_nothing_is_kept_of_uploads_that_nobody_holds() -> None:
    """After a thousand uploads, with rivals and cancellations, no line is left in memory."""
    leases = ProcessLeases()

    async def write(number: int) -> None:
        async with leases.hold(f"up{number % 50}", number % 2 or None):
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(write(number)) for number in range(1000)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert {} == leases._lines
