"""Limits and quotas of uploads over several requests, with one server process and with two (threats 14 and 15)."""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.attacks.resumable import TUS_ADDRESSES, DraftClient, TusClient
from tests.attacks.room import (
    LIMIT,
    RESUMABLE,
    TEN_TERABYTES,
    TOTAL,
    USERS_DOORS,
    at_once,
    eventually,
    filled,
    limits,
    request,
    took,
    usage,
    verdict,
)

NOTHING = {"stored_bytes": 0, "reserved_bytes": 0, "files": 0, "open_uploads": 0}


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def small(request: pytest.FixtureRequest, make_target: Callable[..., Any]) -> Any:
    """A server on which everybody has the same little room."""
    return make_target(CARRYALL_WORKERS=request.param, **limits())


@pytest.fixture
def user(small: Any) -> Any:
    """A user of that server who has nothing yet."""
    return small.user()


@pytest.fixture
def tus(small: Any, user: Any) -> TusClient:
    """Their tus client."""
    return TusClient(small, user.who)


@pytest.fixture
def draft(small: Any, user: Any) -> DraftClient:
    """Their client of the draft."""
    return DraftClient(small, user.who)


def held(target: Any, user: Any) -> dict[str, int]:
    """Give what a user holds."""
    found = usage(target, user.who)
    return {name: found[name] for name in NOTHING}


# --- size (15) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", TUS_ADDRESSES)
def test_what_is_announced_too_large_is_refused(small: Any, user: Any, address: str) -> None:
    """15: a length past the limit, or 10 TB of it, is 413 before any byte, and takes no room."""
    tus = TusClient(small, user.who, address)
    sizes = (LIMIT + 1, TEN_TERABYTES, 10**15 - 1)  # the largest that a structured field can say

    assert [413] * 3 == [tus.create(size).status for size in sizes]
    assert [413] * 3 == [
        DraftClient(small, user.who).create("POST", "/v1/files", Upload_Length=str(size)).status for size in sizes
    ]
    assert 201 == tus.create(LIMIT).status
    assert {**NOTHING, "reserved_bytes": LIMIT, "open_uploads": 1} == held(small, user)


def test_a_length_told_late_is_held_to_the_limit(small: Any, user: Any, tus: TusClient) -> None:
    """15: deferred lengths: the limit itself is taken, one more is 413, and the upload goes on after the refusal."""
    path, data = tus.begin(), secrets.token_bytes(LIMIT)

    assert 413 == tus.patch(path, 0, b"x", Upload_Length=str(LIMIT + 1)).status
    assert 413 == tus.patch(path, 0, data + b"x").status
    assert "0" == tus.head(path).one("Upload-Offset")
    assert 204 == tus.patch(path, 0, data, Upload_Length=str(LIMIT)).status
    assert {**NOTHING, "stored_bytes": LIMIT, "files": 1} == held(small, user)


def test_pieces_of_unknown_length_add_up_to_the_limit(
    small: Any, user: Any, tus: TusClient, draft: DraftClient
) -> None:
    """15: many small appends without a length are no way past the limit, by either protocol; what fits is kept."""
    quarter = secrets.token_bytes(LIMIT // 4)
    for client, path in ((tus.patch, tus.begin()), (draft.append, draft.begin())):
        assert [204] * 4 == [client(path, n * len(quarter), quarter).status for n in range(4)]
        assert 413 == client(path, LIMIT, b"x").status
        assert str(LIMIT) == tus.head(path).one("Upload-Offset")
        last = small.ask("PATCH", path, draft.headers(LIMIT, end=True), b"")
        assert (201, LIMIT) == (last.status, last.json()["size"])
    assert {**NOTHING, "stored_bytes": 2 * LIMIT, "files": 2} == held(small, user)


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_joined_is_held_to_the_limit(small: Any, user: Any, tus: TusClient, more: int) -> None:
    """15: parts that fit alone are no way past the limit together; refused, they stay as they were."""
    data = secrets.token_bytes(LIMIT + more)
    parts = [tus.create(len(piece), piece, Upload_Concat="partial") for piece in (data[:LIMIT], data[LIMIT:])]
    joined = "final;" + " ".join(part.one("Location") for part in parts)
    answer = tus.create(Upload_Concat=joined)

    assert (413 if more else 201) == answer.status, answer.text
    wanted = {"reserved_bytes": LIMIT + 1, "open_uploads": 2} if more else {"stored_bytes": LIMIT, "files": 1}
    assert {**NOTHING, **wanted} == held(small, user)


def test_one_part_many_times_needs_room_many_times(small: Any, user: Any, tus: TusClient) -> None:
    """14, 15: a part that is joined with itself counts each time: for the limit and for the room."""
    part = tus.create(LIMIT // 4, bytes(LIMIT // 4), Upload_Concat="partial").one("Location")

    assert 413 == tus.create(Upload_Concat="final;" + " ".join([part] * 5)).status
    assert 201 == tus.create(Upload_Concat="final;" + " ".join([part] * 4)).status
    assert {**NOTHING, "stored_bytes": LIMIT, "files": 1} == held(small, user)


def test_lengths_that_lie_store_nothing(small: Any, user: Any, tus: TusClient, draft: DraftClient) -> None:
    """15: bytes past the announced length are refused whole, before they are read, and no file comes of them."""
    path = tus.begin(100)
    told = [
        tus.patch(path, 0, bytes(101)).status,
        tus.create(5, b"six666").status,
        draft.create("POST", "/v1/files", b"123456", Upload_Length="5").status,
        draft.create("POST", "/v1/files", b"123456", Upload_Complete="?1", Upload_Length="7").status,
        tus.create(5, Upload_Defer_Length="1").status,
    ]

    assert [] == [status for status in told if not 400 <= status < 500], told
    assert "0" == tus.head(path).one("Upload-Offset")
    assert {**NOTHING, "reserved_bytes": 100, "open_uploads": 1} == held(small, user)


# --- quota (14) -----------------------------------------------------------------------------------------------------


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Do so many things at the same moment."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_eighteen_creations_reserve_what_there_is(small: Any, user: Any, tus: TusClient) -> None:
    """14: a length is reserved when it is announced: of 18 creations at once exactly as many as fit are taken."""
    draft = DraftClient(small, user.who)

    def create(number: int) -> int:
        if number % 2:
            return int(tus.create(LIMIT - 1).status)
        return int(draft.create("POST", "/v1/files", Upload_Length=str(LIMIT - 1)).status)

    assert [201] * 4 + [413] * 14 == sorted(together(18, create))
    assert {**NOTHING, "reserved_bytes": 4 * (LIMIT - 1), "open_uploads": 4} == held(small, user)


def test_eighteen_joins_share_the_room(small: Any, user: Any, tus: TusClient) -> None:
    """14: of 18 uploads made of parts at once none passes the quota; the room moves with the bytes, and adds up."""
    size = 12_000
    first = tus.create(size, bytes(size), Upload_Concat="partial").one("Location")
    answers = together(18, lambda _: tus.create(Upload_Concat=f"final;{first} {first}"))
    found = held(small, user)
    made = found["files"]

    assert {201, 400, 404, 409, 410, 413, 503} >= {answer.status for answer in answers}
    assert made == sum(answer.status == 201 for answer in answers) >= 1
    assert 2 * size * made == found["stored_bytes"]
    assert found["stored_bytes"] + found["reserved_bytes"] <= TOTAL


@pytest.mark.parametrize("door", RESUMABLE)
def test_eighteen_at_once_stay_within(small: Any, doors_of: Any, door: str) -> None:
    """14: eighteen uploads at once by each protocol never hold a byte too much, at no moment of it."""
    doors, size = doors_of(small), 60_000
    requests = [request(small, doors, door, filled(size, door)) for _ in range(18)]
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            now = usage(small, doors.user.who)
            most[0] = max(most[0], now["stored_bytes"] + now["reserved_bytes"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    answers = at_once(small, requests)
    over.set()
    watcher.join()

    assert most[0] <= TOTAL
    assert {413} >= {verdict(answer) for answer in answers if not took(answer)}
    assert sum(map(took, answers)) * size == usage(small, doors.user.who)["stored_bytes"] >= size


def test_all_doors_share_one_quota(small: Any, doors_of: Any) -> None:
    """14: one user's uploads through all doors at once are one sum, whichever process takes them."""
    doors, size = doors_of(small), 50_000
    requests = [request(small, doors, door, filled(size, door)) for door in (USERS_DOORS * 2)[:18]]
    answers = at_once(small, requests)
    found = usage(small, doors.user.who)

    assert {413} >= {verdict(answer) for answer in answers if not took(answer)}
    assert sum(map(took, answers)) * size == found["stored_bytes"]
    assert found["stored_bytes"] + found["reserved_bytes"] <= TOTAL


@pytest.fixture
def half_way(small: Any, user: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Four writers that stop in the middle, of uploads that fill the room; with how to delete each."""
    tus, draft = TusClient(small, user.who), DraftClient(small, user.who)
    peers, deletions = [], []
    for number in range(4):
        path = tus.begin(LIMIT) if number % 2 else draft.begin(Upload_Length=str(LIMIT))
        headers = tus.headers(0) if number % 2 else draft.headers(0)
        peer = small.connect()
        peer.sendall(small.head("PATCH", path, {**headers, "Content-Length": str(LIMIT)}) + bytes(20_000))
        peers.append(peer)
        deletions.append((path, tus.who if number % 2 else user.who))
    yield user, deletions
    for peer in peers:
        peer.close()


def test_deleted_uploads_give_their_room_back(small: Any, half_way: Any) -> None:
    """14: giving an upload up, also one that is being written, gives its room back within 2 s."""
    user, deletions = half_way
    assert {**NOTHING, "reserved_bytes": 4 * LIMIT, "open_uploads": 4} == held(small, user)
    assert [204] * 4 == [small.ask("DELETE", path, who).status for path, who in deletions]

    assert eventually(lambda: held(small, user) == NOTHING, 2), held(small, user)
    assert [201] * 4 == [TusClient(small, user.who).create(LIMIT).status for _ in range(4)]


def test_cut_uploads_keep_what_they_announced(small: Any, half_way: Any) -> None:
    """14: a resumable upload that is cut stays reserved in full: who resumes finds the room that was promised."""
    user, deletions = half_way
    assert 413 == TusClient(small, user.who).create(1).status
    tus = TusClient(small, user.who)
    for path, _ in deletions:
        offset = int(tus.head(path).one("Upload-Offset"))
        assert 204 == tus.patch(path, offset, bytes(LIMIT - offset)).status
    found = held(small, user)

    assert {**NOTHING, "stored_bytes": 4 * LIMIT, "files": 4} == found


def test_a_smaller_plan_takes_nothing_back(small: Any) -> None:
    """14: room that was reserved stays promised when the plan shrinks; what comes after is held to the new one."""
    name = f"plan-{secrets.token_hex(4)}"
    wide, narrow = ({"max_file_bytes": LIMIT, "total_bytes": total} for total in (2 * LIMIT, LIMIT // 2))
    assert 200 == small.send_json("PUT", f"/v1/plans/{name}", small.admin, wide).status
    user = small.user(plan=name)
    tus = TusClient(small, user.who)
    path = tus.begin(LIMIT)
    assert 200 == small.send_json("PUT", f"/v1/plans/{name}", small.admin, narrow).status

    assert 413 == tus.create(10).status
    assert 204 == tus.patch(path, 0, bytes(LIMIT)).status
    assert {**NOTHING, "stored_bytes": LIMIT, "files": 1} == held(small, user)
