"""Limits and quotas under pressure: exact to the byte, at every door, and given back when somebody hangs up."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.attacks.room import (
    DOORS,
    LIMIT,
    ONE_SHOT,
    RESUMABLE,
    TEN_TERABYTES,
    TOTAL,
    USERS_DOORS,
    USERS_ONE_SHOT,
    at_once,
    eventually,
    filled,
    limits,
    owner,
    request,
    send,
    took,
    usage,
    verdict,
)


@pytest.fixture(scope="module")
def small(make_target: Callable[..., Any]) -> Any:
    """A server on which everybody has the same little room."""
    return make_target(**limits())


@pytest.fixture
def guests(small: Any, doors_of: Any) -> Iterator[Any]:
    """Doors of that server, with a new user and subject; what the service and visitors stored goes afterwards."""
    yield doors_of(small)
    listed = small.ask("GET", "/v1/files?limit=1000", small.service).json()["files"]
    gone = [small.ask("DELETE", f"/v1/files/{one['id']}", small.service).status for one in listed]
    assert {204} >= set(gone)


# --- size (15) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_the_limit_is_exact(small: Any, guests: Any, door: str) -> None:
    """15: a file as large as the limit is taken; one byte more is 413, and nothing of it stays."""
    fitting = send(small, request(small, guests, door, filled(LIMIT, door)))
    kept = small.kept()
    over = send(small, request(small, guests, door, filled(LIMIT + 1, door), number=2))

    assert took(fitting), fitting.text
    assert 413 == verdict(over), over.text
    assert eventually(lambda: sum(small.kept().values()) == sum(kept.values()), 3)


def test_chunks_add_up_to_the_limit(guests: Any) -> None:
    """15: many small chunks are no way round the size of a file."""
    session = guests.begin(3, "a").json()["data"]["upload_session_id"]
    statuses = [guests.chunk(session, index, secrets.token_bytes(LIMIT // 4)).status for index in range(4)]
    over = guests.chunk(session, 4, b"x")
    done = guests.complete(session, 4, 3)

    assert [200] * 4 == statuses
    assert 413 == over.status
    assert (200, LIMIT) == (done.status, done.json()["data"]["size"])


def test_a_chunk_sent_again_counts_once(small: Any, guests: Any) -> None:
    """15: a chunk that replaces itself takes no more room; what counts is what it makes of the whole."""
    session = guests.begin(4, "a").json()["data"]["upload_session_id"]
    statuses = [guests.chunk(session, 0, secrets.token_bytes(LIMIT - 10)).status for _ in range(4)]

    assert [200] * 4 == statuses
    assert [200, 413] == [guests.chunk(session, 1, bytes(size)).status for size in (10, 11)]
    assert LIMIT == usage(small, guests.subject.who)["reserved_bytes"]


@pytest.mark.parametrize("door", DOORS)
def test_ten_terabytes_are_refused_unseen(small: Any, guests: Any, door: str) -> None:
    """15: who announces too much is told so before sending anything, and the connection doesn't wait for it."""
    one = request(small, guests, door, filled(100, door))
    with small.connect(wait_s=5) as peer:
        peer.sendall(one.head(small, length=TEN_TERABYTES))
        peer.sendall(b"x" * 100)
        status = peer.recv(64).split()[1]

    assert b"413" == status
    assert 0 == usage(small, owner(small, guests, door))["reserved_bytes"]


@pytest.mark.parametrize(
    "length", ["99999999999999999999999999", "-1", "+5", "5_0", "0x10", "5, 6", "1e3", "", " ", "\uff15", "5;q"]
)
def test_lengths_that_are_none(small: Any, guests: Any, length: str) -> None:
    """15, 21: a length that isn't a plain number is refused, and nothing is stored."""
    before = small.kept()
    head = small.head("POST", "/v1/files?filename=a", [*guests.user.who.items(), ("Content-Length", length.encode())])
    answer = small.exchange(head + b"hello", wait_s=5)

    assert answer.status in (0, 400, 411, 413)
    assert before == small.kept()


@pytest.mark.parametrize("door", ONE_SHOT)
def test_a_body_that_ends_early_stores_nothing(small: Any, guests: Any, door: str) -> None:
    """15: a body that is shorter than announced leaves no file, no bytes and no reservation, within 2 s."""
    one = request(small, guests, door, filled(LIMIT - 1000, door))
    who, kept = owner(small, guests, door), small.kept()
    before = usage(small, who)
    with small.connect() as peer:
        peer.sendall(one.head(small) + one.coded()[: len(one.body) // 2])
        assert eventually(lambda: small.kept() != kept, 5), "nothing landed"
    after = {name: before[name] for name in ("stored_bytes", "reserved_bytes", "files", "open_uploads")}

    assert eventually(lambda: after.items() <= usage(small, who).items(), 2), usage(small, who)
    assert eventually(lambda: small.kept() == kept, 2)


@pytest.mark.parametrize("door", ["relay-form", "blobs-form", "v1-form", "gallery", "blobs-batch"])
def test_a_form_without_its_end_stores_nothing(small: Any, guests: Any, door: str) -> None:
    """15, 17: a form whose length is right but whose last line is missing is refused, and nothing stays."""
    one = request(small, guests, door, filled(3000, door))
    kept = small.kept()
    for cut in (3, 4, 20, 23, 25, 1000, len(one.body)):
        answer = small.ask(one.method, one.path, one.headers, one.body[: len(one.body) - cut])
        assert 400 <= verdict(answer) < 500, cut
        assert kept == small.kept(), cut


# --- quota (14) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_eighteen_at_once_stay_within(small: Any, guests: Any, door: str) -> None:
    """14: of 18 uploads that go on at once as many are taken as fit, and the rest get 413; not a byte more is held."""
    size = 60_000  # four of them fit
    requests = [request(small, guests, door, filled(size, door), number=n) for n in range(18)]
    answers = at_once(small, requests)
    taken = sum(map(took, answers))

    assert {413} == {verdict(answer) for answer in answers if not took(answer)}
    assert 1 <= taken <= TOTAL // size
    if door != "gallery":
        held = usage(small, owner(small, guests, door))
        assert held["stored_bytes"] + held["reserved_bytes"] <= TOTAL
        assert taken * size == held["stored_bytes"] + (held["reserved_bytes"] if door == "chunk" else 0)
        if not door.endswith("chunked"):
            assert TOTAL // size == taken
    if door == "gallery":  # its room is everybody's: give it back by asking as the administrator
        for one in small.ask("GET", "/api/uploads?limit=100", small.admin).json()["data"]:
            small.ask("DELETE", f"/v1/files/{one['id']}", small.admin)


@pytest.mark.parametrize("chosen", [USERS_ONE_SHOT, RESUMABLE, USERS_DOORS], ids=["whole", "resumable", "all"])
def test_all_doors_share_one_quota(small: Any, guests: Any, chosen: list[str]) -> None:
    """14: one user's uploads through every door at once are one sum; what can be resumed keeps what came of it."""
    size = 50_000
    requests = [request(small, guests, door, filled(size, door)) for door in (chosen * 3)[:18]]
    answers = at_once(small, requests)
    held = usage(small, guests.user.who)

    assert {413} >= {verdict(answer) for answer in answers if not took(answer)}
    assert sum(map(took, answers)) * size == held["stored_bytes"]
    assert held["stored_bytes"] + held["reserved_bytes"] <= TOTAL
    if chosen is USERS_ONE_SHOT:
        assert 0 == held["reserved_bytes"] == held["open_uploads"]


@pytest.mark.parametrize("door", ["blobs-form", "v1-raw", "by-name"])
def test_room_comes_back_when_somebody_hangs_up(small: Any, guests: Any, door: str) -> None:
    """14: whoever is cut off can use the whole room again 2 s later, however often."""
    for _ in range(5):
        peers = [small.connect() for _ in range(4)]
        for peer in peers:
            one = request(small, guests, door, filled(LIMIT, door))
            peer.sendall(one.head(small) + one.body[:2000])
        assert eventually(lambda: usage(small, guests.user.who)["reserved_bytes"] >= 4 * LIMIT * 9 // 10, 5)
        for peer in peers:
            peer.close()
        assert eventually(lambda: usage(small, guests.user.who)["reserved_bytes"] == 0, 2)
    fitting = [request(small, guests, door, filled(LIMIT, door)) for _ in range(4)]

    assert all(took(send(small, one)) for one in fitting)
    assert 413 == send(small, request(small, guests, door, filled(2000, door))).status


def test_what_is_deleted_makes_room(small: Any, guests: Any) -> None:
    """14: deleting a file, a chunk session or all files gives the room back at once."""
    stored = [guests["v1-raw"](filled(LIMIT, "")) for _ in range(4)]
    assert 413 == guests["v1-raw"](b"more" * 500).answer.status
    assert 204 == small.ask("DELETE", f"/v1/files/{stored[0].id}", guests.user.who).status
    assert guests["v1-raw"](filled(LIMIT, "")).is_stored
    assert 200 == small.ask("DELETE", "/delete_all?confirm=yes&function=all", guests.user.who).status
    assert 0 == usage(small, guests.user.who)["stored_bytes"]

    session = guests.begin(9, "a").json()["data"]["upload_session_id"]
    assert 200 == guests.chunk(session, 0, filled(LIMIT, "")).status
    assert LIMIT == usage(small, guests.subject.who)["reserved_bytes"]
    small.send_json("DELETE", "/upload/file", guests.subject.who, {"upload_session_id": session})
    held = usage(small, guests.subject.who)
    assert (0, 0, 0) == (held["reserved_bytes"], held["stored_bytes"], held["open_uploads"])


def test_replacing_by_name_counts_once(small: Any, guests: Any) -> None:
    """14: a file that is replaced again and again under its name holds its own size, and the old bytes are gone."""
    for _ in range(8):
        assert guests["by-name"](filled(LIMIT, ""), "again.bin").is_stored
    held = usage(small, guests.user.who)

    assert (LIMIT, 0, 1) == (held["stored_bytes"], held["reserved_bytes"], held["files"])


def test_open_sessions_are_bounded(make_target: Callable[..., Any], doors_of: Any) -> None:
    """14: nobody opens sessions without end: past the plan's number it is 429, and deleting one lets another in."""
    target = make_target(CARRYALL_MAX_OPEN_UPLOADS="5")
    doors = doors_of(target)
    begun = [doors.begin(number, "a") for number in range(7)]
    sessions = [answer.json()["data"]["upload_session_id"] for answer in begun if answer.status == 200]

    assert [200] * 5 + [429] * 2 == [answer.status for answer in begun]
    target.send_json("DELETE", "/upload/file", doors.subject.who, {"upload_session_id": sessions[0]})
    assert 200 == doors.begin(8, "a").status
    assert 200 == doors.begin(1, "a", who=target.subject().who).status, "another one's sessions are their own"
