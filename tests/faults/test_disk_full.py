"""The disk is full, or takes no writes: an honest refusal, nothing half, and then back to work (faults 5 and 6)."""

import random
from collections.abc import Callable

import httpx2
import pytest
from tests.faults.conftest import Pulse, Server, until
from tests.faults.doors import DOORS, Told, check_kept, is_honest
from tests.faults.memory_disk import Loss

MakeServer = Callable[..., Server]
KIB, MIB = 1 << 10, 1 << 20
_BACK_S = 10.0
_ROWS_BYTES = 600 * KIB  # what the rows of a few refused uploads may take in SQLite's log
BIG = random.Random(5).randbytes(3 * MIB)
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
OFFSET_0 = {**TUS, "Upload-Offset": "0"}


def _works_again(server: Server) -> bool:
    with server.client() as client:
        return client.put("/v1/by-name/again", content=b"again").status_code in (200, 201)


def _send_big(client: httpx2.Client, door: str) -> httpx2.Response:
    if door == "form":
        return client.post("/upload", files={"file": ("big.bin", BIG)})
    if door == "put":
        return client.put("/v1/by-name/big", content=BIG)
    if door == "tus":
        begun = client.post("/v1/uploads/", headers={**TUS, "Upload-Length": str(len(BIG))})
        return client.patch(begun.headers["location"], content=BIG, headers=OFFSET_0)
    if door == "ietf":
        return client.post("/v1/files", content=BIG, headers={"Upload-Complete": "?0"})
    begun = client.post("/upload/init", json={"main_service_file_id": 5, "original_file_name": "a.bin"})
    fields = {"upload_session_id": begun.json()["data"]["upload_session_id"], "chunk_index": "0"}
    return client.post("/upload/chunk", data=fields, files={"chunk": ("blob", BIG)})


@pytest.mark.timeout(120)
def test_a_body_that_finds_no_room(make_server: MakeServer) -> None:
    """507 in the middle of the body, whose bytes leave the disk; /health answers, and room is all it needs."""
    server = make_server()
    with server.client() as client:
        assert 201 == client.put("/v1/by-name/before", content=BIG[:9999]).status_code
        for door in ("form", "put", "tus", "ietf", "chunks"):
            before = server.disk.used_bytes()
            server.disk.arm(room_bytes=2 * MIB)
            with Pulse(server.url) as pulse:
                refused = _send_big(client, door)

            assert (507, "no_room") == (refused.status_code, refused.json()["code"])
            assert is_honest(refused)
            assert pulse.longest_s < 1
            assert server.disk.used_bytes() - before < _ROWS_BYTES, door
            assert BIG[:9999] == client.get("/v1/by-name/before").content
            server.disk.arm()
            assert until(lambda: _works_again(server), "it didn't recover") < _BACK_S
    assert not server.doctor()


@pytest.mark.timeout(120)
def test_room_ends_anywhere(make_server: MakeServer) -> None:
    """Wherever in an upload the room ends, in its bytes, its names or its rows: what was acknowledged is there."""
    server, told, dice = make_server(), Told(), random.Random(55)
    with server.client() as client:
        for pages in range(40):
            new = Told()
            server.disk.arm(room_bytes=pages * 4096)
            for door in dice.sample(DOORS, len(DOORS)):
                door(client, new, dice)
            assert all(is_honest(answer) for answer in new.refusals), [answer.text for answer in new.refusals]
            server.disk.arm()
            check_kept(client, new)
            told.adds(new)
            told.refusals += new.refusals
    assert 507 in {answer.status_code for answer in told.refusals}
    server.kill()
    server.disk.lose_power(Loss.STRICT, seed=5)
    server.start()
    with server.client() as client:
        check_kept(client, told)
    assert [] == server.days_later()


def test_a_full_disk_still_gives_files(make_server: MakeServer) -> None:
    """Downloads need no room, though they are counted where there is some."""
    server = make_server()
    with server.client() as client:
        for name in ("one", "two"):
            assert 201 == client.put(f"/v1/by-name/{name}", content=BIG).status_code
        server.disk.arm(room_bytes=0, under="")
        assert 507 == _send_big(client, "put").status_code
        assert BIG == client.get("/v1/by-name/one").content
        server.disk.arm(is_read_only=True)
        assert BIG == client.get("/v1/by-name/two").content


def test_a_disk_that_takes_no_writes(make_server: MakeServer) -> None:
    """On a read-only file system every door is 503; what is stored is given out, and a remount is all it needs."""
    server, told, dice = make_server(), Told(), random.Random(56)
    with server.client() as client:
        for door in DOORS:
            door(client, told, dice)
        server.disk.arm(is_read_only=True)
        kept = dict(told.files)
        with Pulse(server.url) as pulse:
            for door in DOORS:
                door(client, told, dice)

        assert kept == told.files
        assert len(DOORS) == len(told.refusals)
        assert all(is_honest(answer) for answer in told.refusals), [answer.text for answer in told.refusals]
        assert pulse.longest_s < 1
        check_kept(client, told)
        server.disk.arm()
        assert until(lambda: _works_again(server), "it didn't recover") < _BACK_S
        assert not server.doctor()
