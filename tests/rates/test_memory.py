"""How often somebody asked, counted in the memory of one process."""

import time

import pytest

from carryall.rates.memory import MemoryRates


@pytest.fixture
def rates() -> MemoryRates:
    """Give rates that nobody has used."""
    return MemoryRates()


def test_the_limit_is_allowed_and_no_more(rates: MemoryRates) -> None:
    """As many hits as the limit says, then a wait in whole seconds, for that key alone."""
    assert [None] * 5 == [rates.hit("alice", 5) for _ in range(5)]

    wait_s = rates.hit("alice", 5)
    assert isinstance(wait_s, int)
    assert 1 <= wait_s <= 61
    assert rates.hit("bob", 5) is None


def test_looking_counts_nothing(rates: MemoryRates) -> None:
    """Whoever looks a hundred times may still come as often as before."""
    assert [None] * 100 == [rates.wait("alice", 2) for _ in range(100)]

    assert [None, None] == [rates.hit("alice", 2) for _ in range(2)]
    assert rates.wait("alice", 2) is not None


def test_the_window_moves(rates: MemoryRates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit is free again a minute after it was made, not a minute after the last; refused hits don't count."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    assert [None, None] == [_after(rates, now, seconds) for seconds in (0, 30)]
    assert [29, 19, 1] == [_after(rates, now, seconds) for seconds in (1, 10, 18.5)]

    assert _after(rates, now, 1) is None
    assert 29 <= (_after(rates, now, 0) or 0) <= 30


def _after(rates: MemoryRates, now: list[float], seconds: float) -> int | None:
    now[0] += seconds
    return rates.hit("alice", 2)
