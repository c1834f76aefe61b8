"""A call to the disk fails, whichever it is: nothing acknowledged is lost, the server goes on (faults 6 and 7)."""

import random
from collections.abc import Callable, Iterable

import pytest
from tests.faults.conftest import Server
from tests.faults.doors import DOORS, Told, check_kept, is_honest
from tests.faults.memory_disk import Loss

MakeServer = Callable[..., Server]
_LAST_CALL = 60
_SOME_CALLS = 30


def _try_every_door(server: Server, told: Told, dice: random.Random) -> None:
    """Upload once by each door, in any order; the call that fails meets another door each time."""
    with server.client() as client:
        for door in dice.sample(DOORS, len(DOORS)):
            door(client, told, dice)
    assert all(is_honest(answer) for answer in told.refusals), [answer.text for answer in told.refusals]
    # A sync of bytes or of their name that failed is never followed by an answer that says "kept".
    lost = [path for path in server.disk.seen("fsync", "fsyncdir", failed=True) if "catalog" not in path]
    assert not lost or told.refusals, lost


def _start_after_power_loss(server: Server, told: Told, loss: Loss, seed: int) -> None:
    server.kill()
    server.disk.lose_power(loss, seed)
    server.start()
    with server.client() as client:
        check_kept(client, told)
    assert not server.doctor()


def _fail_each(server: Server, calls: Iterable[tuple[int, str]]) -> None:
    """Let the n-th call to a part of the disk fail, one after the other; lose power at each thirtieth."""
    told, dice = Told(), random.Random(60)
    for count, (number, under) in enumerate(calls, 1):
        new = Told()
        server.disk.arm(fail_at=number, under=under)
        _try_every_door(server, new, dice)
        server.disk.arm()
        with server.client() as client:
            check_kept(client, new)
        told.adds(new)
        if count % 30 == 0:
            _start_after_power_loss(server, told, Loss.STRICT, count)
    assert [] == server.days_later()


@pytest.mark.timeout(300)
def test_any_call_may_fail_once(make_server: MakeServer) -> None:
    """A call fails, each time a later one: what was acknowledged is there, also after a power loss."""
    # Most calls are the catalog's: so each third of them is the n-th to the staged bytes, and each third to the files.
    parts = ("", "/staging/", "/files/")
    _fail_each(make_server(), ((1 + number // 3, parts[number % 3]) for number in range(_SOME_CALLS)))


@pytest.mark.crash_long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("under", ["", "/staging/", "/files/"])
def test_each_call_may_fail_once(make_server: MakeServer, under: str) -> None:
    """The n-th call fails, for each n from 1 to 60, to the whole disk and to each of its parts."""
    _fail_each(make_server(), ((number, under) for number in range(1, _LAST_CALL + 1)))
