"""Rates in the memory of one process."""

import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from carryall.ports.rates import Rates
from carryall.rates.memory import MemoryRates
from carryall.testing.rates_contract import RatesContract


class TestMemoryRates(RatesContract):
    """One process counts alone."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Remember how far the test has moved time, and set the machine's clock."""
        self.passed_s, self.monkeypatch = 0.0, monkeypatch

    async def make_rates(self, tmp_path: Path) -> AsyncIterator[Sequence[Rates]]:
        """Give the one that there is."""
        yield [MemoryRates(lambda: time.monotonic() + self.passed_s)]

    async def move_on(self, by: timedelta) -> None:
        """Let time pass."""
        self.passed_s += by.total_seconds()

    async def jump(self, by: timedelta) -> None:
        """Set the machine's clock."""
        wrong = time.time() + by.total_seconds()
        self.monkeypatch.setattr(time, "time", lambda: wrong)


async def test_who_is_gone_is_forgotten() -> None:
    """The memory doesn't grow with all who ever came."""
    now = [0.0]
    rates = MemoryRates(lambda: now[0])
    for number in range(1000):
        await rates.hit(f"visitor {number}", 5)
    now[0] = 60.5
    await rates.hit("alice", 5)
    await rates.forget()

    assert ["alice"] == list(rates._hits)
