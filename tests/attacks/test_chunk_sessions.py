"""Chunk sessions used in every wrong order: nothing is lost or cut, and there is one file (threats 16 and 29)."""

import hashlib
import itertools
import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

_NUMBERS = itertools.count(8_000_000)


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def attacked(request: pytest.FixtureRequest, running: Any, make_target: Callable[..., Any]) -> Any:
    """The server that everybody attacks, then one of two processes."""
    return running if request.param == "1" else make_target(CARRYALL_WORKERS=request.param)


@pytest.fixture
def target(attacked: Any) -> Any:
    """That server as one attacker sees it."""
    return attacked.elsewhere()


@pytest.fixture
def doors(target: Any, doors_of: Callable[[Any], Any]) -> Any:
    """Its doors."""
    return doors_of(target)


@pytest.fixture
def number() -> int:
    """Give a main_service_file_id that no other test uses."""
    return next(_NUMBERS)


@pytest.fixture
def pieces() -> list[bytes]:
    """Give five chunks of odd sizes."""
    return [secrets.token_bytes(size) for size in (1000, 1, 7001, 65_537, 13)]


def begin(doors: Any, number: int, who: Any = None) -> str:
    return str(doors.begin(number, "song.mp3", who=who).json()["data"]["upload_session_id"])


def stored(target: Any, doors: Any, number: int) -> bytes:
    """Read the finished file."""
    answer = target.ask("GET", f"/upload/download/{number}", doors.subject.who)
    assert answer.status == 200, answer.text
    return bytes(answer.body)


def test_every_order_gives_the_same_file(target: Any, doors: Any, pieces: list[bytes]) -> None:
    """16: chunks may come in any order."""
    for order in [*itertools.islice(itertools.permutations(range(5)), 0, 120, 17), (4, 3, 2, 1, 0)]:
        number = next(_NUMBERS)
        session = begin(doors, number)
        assert [200] * 5 == [doors.chunk(session, index, pieces[index]).status for index in order]
        assert 200 == doors.complete(session, 5, number).status
        assert b"".join(pieces) == stored(target, doors, number)


def test_missing_chunks_are_named(target: Any, doors: Any, number: int, pieces: list[bytes]) -> None:
    """16: with gaps `complete` is 409 and lists them; nothing is lost, and the missing ones can still be sent."""
    session = begin(doors, number)
    for index in (0, 2, 4):
        doors.chunk(session, index, pieces[index])
    gaps = doors.complete(session, 7, number)

    assert 409 == gaps.status
    assert [1, 3, 5, 6] == next(value for value in gaps.json().values() if isinstance(value, list))
    assert 404 == target.ask("GET", f"/upload/download/{number}", doors.subject.who).status
    for index in (1, 3):
        doors.chunk(session, index, pieces[index])
    assert 200 == doors.complete(session, 5, number).status
    assert b"".join(pieces) == stored(target, doors, number)


@pytest.mark.parametrize("total", [1, 4])
def test_extra_chunks_are_not_cut_off(target: Any, doors: Any, number: int, pieces: list[bytes], total: int) -> None:
    """16: more chunks than announced are 409: a file is never made of a part of them."""
    session = begin(doors, number)
    for index, piece in enumerate(pieces):
        doors.chunk(session, index, piece)

    assert 409 == doors.complete(session, total, number).status
    assert 200 == doors.complete(session, 5, number).status
    assert b"".join(pieces) == stored(target, doors, number)


@pytest.mark.parametrize("total", [0, -1, -(2**63), 2**63, 10**30, "5", 5.5, True, None, [5], "NaN", 1e3])
def test_totals_that_are_none(target: Any, doors: Any, number: int, pieces: list[bytes], total: Any) -> None:
    """16: a total that isn't a count is refused, and the chunks stay as they are."""
    session = begin(doors, number)
    for index, piece in enumerate(pieces):
        doors.chunk(session, index, piece)

    assert doors.complete(session, total, number).status in (400, 409, 422) or total == "5"
    assert 200 == doors.complete(session, 5, number).status
    assert b"".join(pieces) == stored(target, doors, number)


@pytest.mark.parametrize("index", ["10000", "2147483648", "9223372036854775807", "9223372036854775808", "1" + "0" * 40])
def test_far_chunks_are_refused(doors: Any, number: int, index: str) -> None:
    """16: an index past the session's bound is refused, and makes nothing large anywhere."""
    session = begin(doors, number)

    assert 400 <= doors.chunk(session, index, b"far").status < 500
    assert 200 == doors.chunk(session, "0", b"near").status
    assert 200 == doors.complete(session, 1, number).status


def test_a_repeated_chunk_changes_nothing(target: Any, doors: Any, number: int, pieces: list[bytes]) -> None:
    """16: the same chunk again is fine; another one in its place replaces it whole, also by a shorter one."""
    session = begin(doors, number)
    for index, piece in [*enumerate(pieces), *enumerate(pieces), (2, b"short")]:
        assert 200 == doors.chunk(session, index, piece).status
    assert 200 == doors.complete(session, 5, number).status

    assert b"".join([pieces[0], pieces[1], b"short", pieces[3], pieces[4]]) == stored(target, doors, number)


def test_a_cut_chunk_leaves_the_one_before_it(target: Any, doors: Any, number: int) -> None:
    """16: a chunk that breaks off replaces nothing: what was acknowledged stays."""
    first = secrets.token_bytes(50_000)
    session = begin(doors, number)
    assert 200 == doors.chunk(session, 0, first).status
    headers, body = target.form(
        ('name="upload_session_id"', session.encode()),
        ('name="chunk_index"', b"0"),
        ('name="chunk"; filename="a"', bytes(60_000)),
    )
    head = target.head("POST", "/upload/chunk", {**doors.subject.who, **headers, "Content-Length": str(len(body))})
    for cut in (100, 300, 30_000, len(body) - 30):
        with target.connect() as peer:
            peer.sendall(head + body[:cut])
    done = doors.complete(session, 1, number)

    assert (200, hashlib.sha256(first).hexdigest()) == (done.status, done.json()["data"]["sha256"])
    assert first == stored(target, doors, number)


def test_two_writers_of_one_chunk(target: Any, doors: Any, number: int) -> None:
    """16: of two chunks sent to the same place at once one wins whole; their bytes never mix."""
    session = begin(doors, number)
    rivals = [bytes([letter]) * 300_000 for letter in b"abcdef"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda data: doors.chunk(session, 0, data), rivals))
    taken = [answer.status for answer in answers]

    assert {200, 409, 408, 423} >= set(taken)
    assert 200 in taken
    assert 200 == doors.complete(session, 1, number).status
    assert stored(target, doors, number) in rivals


def test_six_completes_make_one_file(target: Any, doors: Any, number: int, pieces: list[bytes]) -> None:
    """16: `complete` asked six times at once, and once more later, gives the same answer and one file."""
    session = begin(doors, number)
    for index, piece in enumerate(pieces):
        doors.chunk(session, index, piece)
    together = threading.Barrier(6)

    def complete(_: int) -> Any:
        together.wait(10)
        return doors.complete(session, 5, number)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(complete, range(6)))
    answers.append(doors.complete(session, 5, number))
    listed = target.ask("GET", f"/v1/files?main_service_file_id={number}", doors.subject.who).json()["files"]

    assert [200] * 7 == [answer.status for answer in answers]
    assert 1 == len({answer.text for answer in answers}) == len(listed)
    assert hashlib.sha256(b"".join(pieces)).hexdigest() == listed[0]["sha256"]


def test_nothing_comes_after_the_end(target: Any, doors: Any, number: int) -> None:
    """16: a finished session takes no more chunks, and its file doesn't change."""
    session = begin(doors, number)
    doors.chunk(session, 0, b"whole")
    assert 200 == doors.complete(session, 1, number).status

    assert doors.chunk(session, 0, b"other").status in (404, 409, 410)
    assert doors.chunk(session, 1, b"more").status in (404, 409, 410)
    assert b"whole" == stored(target, doors, number)


def test_chunks_race_with_their_end(target: Any, doors: Any) -> None:
    """16: a chunk that is replaced while `complete` runs is in the file whole, or not at all, and never after it."""
    for _ in range(6):
        number = next(_NUMBERS)
        session = begin(doors, number)
        halves = [b"a" * 200_000, b"b" * 200_000]
        for index, half in enumerate(halves):
            doors.chunk(session, index, half)
        with ThreadPoolExecutor(3) as pool:
            late = pool.submit(doors.chunk, session, 1, b"c" * 200_000)
            ends = [pool.submit(doors.complete, session, 2, number) for _ in range(2)]
        data = stored(target, doors, number)

        assert late.result().status in (200, 404, 409, 410)
        assert 200 in [end.result().status for end in ends]
        assert data in (b"".join(halves), halves[0] + b"c" * 200_000)
        assert data == stored(target, doors, number)


def test_the_other_number_does_not_end_it(doors: Any, number: int) -> None:
    """16: `complete` with another file id than the session's is refused, and the session goes on."""
    session = begin(doors, number)
    doors.chunk(session, 0, b"data")

    assert doors.complete(session, 1, next(_NUMBERS)).status in (404, 409)
    assert 200 == doors.complete(session, 1, number).status


def test_a_deleted_session_is_gone(target: Any, doors: Any, number: int) -> None:
    """16, H8: after DELETE a session takes nothing and finishes nothing, and its bytes are gone."""
    session = begin(doors, number)
    doors.chunk(session, 0, b"d" * 4321)
    assert 200 == target.send_json("DELETE", "/upload/file", doors.subject.who, {"upload_session_id": session}).status

    assert 404 == doors.chunk(session, 0, b"data").status
    assert doors.complete(session, 1, number).status in (404, 409)
    assert 4321 not in target.kept().values()


def test_a_session_without_a_chunk_is_no_file(target: Any, doors: Any, number: int) -> None:
    """16: `complete` right after `init` is refused and names what is missing."""
    session = begin(doors, number)

    assert 409 == doors.complete(session, 3, number).status
    assert 404 == target.ask("GET", f"/upload/download/{number}", doors.subject.who).status


@pytest.mark.parametrize(
    "order",
    [
        ("chunk", "upload_session_id", "chunk_index"),
        ("upload_session_id", "chunk", "chunk_index"),
        ("chunk_index", "chunk", "upload_session_id"),
    ],
)
def test_fields_may_follow_the_chunk(target: Any, doors: Any, number: int, order: tuple[str, ...]) -> None:
    """16: whatever the order of the form's parts is, the chunk lands where they say."""
    session, data = begin(doors, number), secrets.token_bytes(90_000)
    parts = {
        "chunk": ('name="chunk"; filename="a"', data),
        "upload_session_id": ('name="upload_session_id"', session.encode()),
        "chunk_index": ('name="chunk_index"', b"0"),
    }
    headers, body = target.form(*(parts[name] for name in order))

    assert 200 == target.ask("POST", "/upload/chunk", {**doors.subject.who, **headers}, body).status
    assert 200 == doors.complete(session, 1, number).status
    assert data == stored(target, doors, number)


@pytest.mark.parametrize("twice", ["upload_session_id", "chunk_index", "chunk"])
def test_fields_that_come_twice(target: Any, doors: Any, number: int, twice: str) -> None:
    """16, 17: a field that says two things is refused, or one of them holds; never one here and the other there."""
    mine, other = begin(doors, number), begin(doors, next(_NUMBERS), target.subject().who)
    parts = [("upload_session_id", mine.encode()), ("chunk_index", b"0"), ("chunk", b"one")]
    again = {"upload_session_id": other.encode(), "chunk_index": b"1", "chunk": b"two"}
    heads = [
        (f'name="{name}"' + ('; filename="a"' if name == "chunk" else ""), value)
        for name, value in [*parts, (twice, again[twice])]
    ]
    headers, body = target.form(*heads)
    answer = target.ask("POST", "/upload/chunk", {**doors.subject.who, **headers}, body)

    assert answer.status in (200, 400, 404, 413, 422)
    if answer.status == 200:
        assert 200 == doors.complete(mine, 1, number).status
        assert stored(target, doors, number) in (b"one", b"two")


def test_ids_are_sha256(target: Any, doors: Any) -> None:
    """29: what tells bytes apart is SHA-256, at every door that says it, and no answer names MD5 or SHA-1."""
    data = random.Random(29).randbytes(100_000)
    digest = hashlib.sha256(data).hexdigest()
    weak = {hashlib.new(kind, data, usedforsecurity=False).hexdigest() for kind in ("md5", "sha1")}
    for door in ("relay-form", "chunks", "v1-form", "v1-raw", "by-name"):
        sent = doors[door](data)
        read = target.ask("GET", sent.path, sent.who)
        assert digest in sent.answer.text
        assert not any(one in sent.answer.text + str(read.headers) for one in weak)
        assert "md5" not in sent.answer.text.lower() + str(read.headers).lower()
        assert read.one("Repr-Digest").startswith("sha-256=:")
        assert digest not in read.one("ETag")


def test_weak_digests_are_no_identity(target: Any, doors: Any) -> None:
    """29: a client's MD5 may find a fault of the transport, or is not looked at; a wrong SHA-256 stores nothing."""
    wrong = {"Content-Digest": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"}
    kept = target.kept()
    answers = [target.ask("POST", "/v1/files?filename=a", {**doors.user.who, **wrong}, b"data")]
    answers.append(
        target.ask("PUT", "/v1/by-name/digest", {**doors.user.who, "Repr-Digest": wrong["Content-Digest"]}, b"data")
    )

    assert {400, 409, 422} >= {answer.status for answer in answers}
    assert kept == target.kept()
    assert 404 == target.ask("GET", "/v1/by-name/digest", doors.user.who).status
