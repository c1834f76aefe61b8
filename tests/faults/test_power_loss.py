"""The power goes: what was acknowledged is there, whatever the disk had not written yet (faults 2, 3 and 4).

The server is killed before one of its calls to the disk, whichever comes first of all that it makes there, and the disk
forgets what wasn't synced.
"""

import random
import threading
from collections.abc import Callable
from contextlib import suppress

import httpx2
import pytest
from tests.faults.conftest import Server, until
from tests.faults.doors import DOORS, Told, check_kept
from tests.faults.memory_disk import Loss

_CLIENTS = 3
_CALLS = 1500  # to the disk, at most, until the power goes
MakeServer = Callable[..., Server]


def _upload_until_dark(server: Server, told: Told, seed: int) -> None:
    """Upload by one door after the other until nobody answers any more."""
    dice = random.Random(seed)
    with suppress(httpx2.TransportError), server.client() as client:
        while True:
            dice.choice(DOORS)(client, told, dice)


def _torment(server: Server, told: Told, loss: Loss, seed: int) -> None:
    """Upload from several clients, lose power, start again, and look."""
    dice = random.Random(seed)
    server.disk.arm(kill_at=dice.randint(1, _CALLS), victim=server.process.pid)
    clients = [
        threading.Thread(target=_upload_until_dark, args=(server, told, seed * 10 + number))
        for number in range(_CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(timeout=60)
    until(lambda: server.process.poll() is not None, "the disk was never used")
    server.disk.lose_power(loss, seed)
    server.start()
    with server.client() as client:
        check_kept(client, told)
    assert not server.doctor()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("loss", "workers"), [(Loss.STRICT, 1), (Loss.TORN, 2), (Loss.ORDERED, 1)])
def test_what_was_acknowledged_survives_a_power_loss(make_server: MakeServer, loss: Loss, workers: int) -> None:
    """Twice over, by every door, under each rule of what a disk forgets, with one process and with two."""
    server, told = make_server(CARRYALL_WORKERS=str(workers)), Told()
    for seed in range(2):
        _torment(server, told, loss, seed)

    assert told.files
    assert not told.refusals


@pytest.mark.crash_long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("loss", list(Loss))
def test_what_was_acknowledged_survives_20_power_losses(make_server: MakeServer, loss: Loss, workers: int) -> None:
    """The same at 20 moments, each on what the ones before left."""
    server, told = make_server(CARRYALL_WORKERS=str(workers)), Told()
    for seed in range(100 * workers, 100 * workers + 20):
        _torment(server, told, loss, seed)

    assert len(told.files) > 40  # of two processes many calls are about their leases


def _upload_for_a_while(server: Server, told: Told) -> None:
    dice = random.Random(9)
    with server.client() as client:
        for door in DOORS * 4:
            door(client, told, dice)


@pytest.mark.timeout(120)
def test_relaxed_durability_survives_a_crash(make_server: MakeServer) -> None:
    """With CARRYALL_DURABILITY=relaxed nothing acknowledged is lost by kill -9."""
    server, told = make_server(CARRYALL_DURABILITY="relaxed"), Told()
    _upload_for_a_while(server, told)
    server.kill()
    server.start()
    with server.client() as client:
        check_kept(client, told)
    assert not server.doctor()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("loss", [Loss.TORN])
def test_relaxed_durability_starts_after_a_power_loss(make_server: MakeServer, loss: Loss) -> None:
    """With CARRYALL_DURABILITY=relaxed a power loss takes files, but not the catalog, nor the next uploads."""
    server, told = make_server(CARRYALL_DURABILITY="relaxed"), Told()
    _upload_for_a_while(server, told)
    server.kill()
    server.disk.lose_power(loss, seed=9)
    server.start()
    after = Told()
    _upload_for_a_while(server, after)
    with server.client() as client:
        check_kept(client, after)
