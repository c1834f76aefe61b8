"""A sync that failed is never repeated into a success: the kernel has forgotten what there was to sync (fault 6)."""

import random
from collections.abc import Callable

import httpx2
import pytest
from tests.faults.conftest import Server
from tests.faults.doors import DOORS, Going, Told, check_kept
from tests.faults.memory_disk import Loss

MakeServer = Callable[..., Server]
DATA = random.Random(6).randbytes(200_000)
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
SYNCS = [("fsync", "/staging/"), ("fsyncdir", "/staging/"), ("fsyncdir", "/files/"), ("fsync", "catalog.db")]


def _start_after_power_loss(server: Server) -> None:
    server.kill()
    server.disk.lose_power(Loss.STRICT, seed=1)
    server.start()


def _append(client: httpx2.Client, path: str, offset: int, end: int) -> httpx2.Response:
    return client.patch(path, content=DATA[offset:end], headers={**TUS, "Upload-Offset": str(offset)})


def _append_and_repeat(client: httpx2.Client, server: Server, call: str, under: str) -> Going:
    """Begin a tus upload and append to it while this sync fails; append again when it doesn't."""
    begun = client.post("/v1/uploads/", headers={**TUS, "Upload-Length": str(len(DATA))})
    path = begun.headers["location"].removeprefix(server.url)
    server.disk.arm(calls=[call], under=under, fail_at=1)
    refused = _append(client, path, 0, 100_000)
    has_failed = bool(server.disk.seen(call, failed=True))
    server.disk.arm()
    if has_failed:
        assert 503 == refused.status_code
        assert "0" == client.head(path, headers=TUS).headers["upload-offset"]
        assert 204 == _append(client, path, 0, 100_000).status_code
    return Going(path, "tus", DATA, 100_000)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("call", "under"), SYNCS)
def test_a_repeated_request_is_kept_by_a_sync_of_its_own(make_server: MakeServer, call: str, under: str) -> None:
    """What is refused because of a sync is sent again by its client, and is then there after a power loss."""
    server, told, dice = make_server(), Told(), random.Random(61)
    with server.client() as client:
        for door in DOORS:
            for number in (1, 2, 3):
                server.disk.arm(calls=[call], under=under, fail_at=number)
                door(client, told, dice)
                server.disk.arm()
                check_kept(client, told)
        going = _append_and_repeat(client, server, call, under)
        told.going[going.path] = going
    assert {503} == {answer.status_code for answer in told.refusals}
    _start_after_power_loss(server)
    with server.client() as client:
        check_kept(client, told)
    assert not server.doctor()
