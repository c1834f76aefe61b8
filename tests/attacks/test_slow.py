"""Clients that hold connections and send or read next to nothing: they wait, and nobody else does (threat 20)."""

import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.attacks.resumable import DraftClient, TusClient
from tests.attacks.room import eventually

MIB = 1 << 20
SLOW = 190
BESIDE_S = 2
HEADER_S = 1
IDLE_S = 1
READERS = 12


@pytest.fixture(scope="module")
def strict(make_target: Callable[..., Any]) -> Any:
    """A server that waits for nobody for long."""
    return make_target(CARRYALL_HEADER_S=str(HEADER_S), CARRYALL_BODY_IDLE_S=str(IDLE_S))


@pytest.fixture
def hold(target: Any) -> Iterator[Callable[..., socket.socket]]:
    """Open a connection and send a beginning; it is held until the test ends."""
    held: list[socket.socket] = []

    def hold(beginning: bytes, to: Any = target) -> socket.socket:
        held.append(to.connect())
        held[-1].sendall(beginning)
        return held[-1]

    yield hold
    for peer in held:
        peer.close()


def beginnings(target: Any, doors: Any) -> list[bytes]:
    """Write beginnings of requests that never end: in the head, before the body, in the middle of it."""
    who = doors.user.who
    tus, draft = TusClient(target, who), DraftClient(target, who)
    length = {"Content-Length": "100000"}
    form, body = target.form(('name="file"; filename="a"', bytes(1000)))
    return [
        b"",
        b"G",
        b"POST /files/ HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        target.head("PUT", "/v1/by-name/slow", {**who, **length}),
        target.head("PUT", f"/v1/by-name/{secrets.token_hex(4)}", {**who, **length}) + bytes(1000),
        target.head("POST", "/upload", {**who, **form, **length}) + body[:500],
        target.head("POST", "/v1/files?filename=a", {**who, "Transfer-Encoding": "chunked"}) + b"5\r\nhe",
        target.head("PATCH", tus.begin(100_000), {**tus.headers(0), **length}) + bytes(1000),
        target.head("PATCH", draft.begin(), {**draft.headers(0), **length}) + bytes(1000),
        target.head("POST", "/upload/init", {**doors.subject.who, "Content-Type": "application/json", **length}) + b"{",
    ]


def test_slow_connections_hold_up_nobody(target: Any, doors: Any, hold: Callable[..., socket.socket]) -> None:
    """Beside 190 connections that stand still at every stage, an upload by any protocol takes less than 2 s."""
    forms = beginnings(target, doors)
    with target.staying_awake():
        for number in range(SLOW):
            hold(forms[number % len(forms)])
        for door in ("v1-raw", "relay-form", "chunks", "tus", "draft"):
            began = time.monotonic()
            sent = doors[door](secrets.token_bytes(100_000))
            assert sent.is_stored, sent.answer.text
            assert time.monotonic() - began < BESIDE_S, door


def ended_after(peer: socket.socket, *, drip: bytes, within_s: float) -> tuple[float, bytes]:
    """Send a byte again and again until the server ends the connection; give when, and what it said."""
    began, said = time.monotonic(), b""
    peer.settimeout(0.1)
    while time.monotonic() - began < within_s:
        with contextlib.suppress(TimeoutError):
            piece = peer.recv(4096)
            if not piece:
                return time.monotonic() - began, said
            said += piece
        try:
            peer.sendall(drip)
        except ConnectionError:
            return time.monotonic() - began, said
    raise AssertionError(f"still open after {within_s} s")


@pytest.mark.parametrize(
    ("beginning", "drip"),
    [(b"", b""), (b"GET /hea", b""), (b"GET / HTTP/1.1\r\nX-Slow: ", b"a"), (b"GET / HTTP/1.1\r\n", b"X: y\r\n")],
    ids=["nothing", "half a line", "a value", "lines"],
)
def test_a_header_has_to_end(strict: Any, beginning: bytes, drip: bytes) -> None:
    """A header that doesn't end in time ends the connection, however steadily it goes on."""
    with strict.connect() as peer:
        peer.sendall(beginning)
        took_s, _ = ended_after(peer, drip=drip, within_s=HEADER_S + 5)

    assert HEADER_S - 0.5 <= took_s <= HEADER_S + 3


def test_the_next_header_has_to_end_too(strict: Any) -> None:
    """On a connection that is kept the same holds for each request after the first."""
    with strict.connect() as peer:
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert peer.recv(4096).startswith(b"HTTP/1.1 200 ")
        peer.sendall(b"GET /health HTTP/1.1\r\nHo")
        took_s, _ = ended_after(peer, drip=b"o", within_s=HEADER_S + 5)

    assert took_s <= HEADER_S + 3


@pytest.mark.parametrize("door", ["by-name", "form", "tus", "draft", "json"])
def test_a_body_has_to_move(strict: Any, doors_of: Any, door: str) -> None:
    """A body from which nothing comes is given up: 408, and what can't be resumed is gone with its room."""
    forms = beginnings(strict, doors_of(strict))
    with strict.connect() as peer:
        peer.sendall(forms[{"by-name": 4, "form": 5, "tus": 7, "draft": 8, "json": 9}[door]])
        began = time.monotonic()
        answer = strict.finish(peer)

    assert 408 == answer.status, answer.raw
    assert IDLE_S - 0.5 <= time.monotonic() - began <= IDLE_S + 5
    assert answer.json()["code"] == "body_stalled"


def test_what_stalls_gives_its_room_back(strict: Any, doors_of: Any) -> None:
    """One-shot uploads that stall leave no reservation; resumable ones keep what came."""
    doors = doors_of(strict)
    forms = beginnings(strict, doors)
    with strict.connect() as one, strict.connect() as other:
        one.sendall(forms[4])
        other.sendall(forms[7])
        assert {408} == {strict.finish(one).status, strict.finish(other).status}

    def settled() -> bool:
        usage = strict.ask("GET", "/v1/me", doors.user.who).json()["usage"]
        return bool(100_000 == usage["reserved_bytes"] and usage["stored_bytes"] == 0)

    assert eventually(settled, 3)


def test_readers_that_dont_read_hold_up_nobody(target: Any, doors: Any, hold: Callable[..., socket.socket]) -> None:
    """Beside twelve downloads that nobody reads, a download and an upload take less than 2 s, and all are whole."""
    data = secrets.token_bytes(8 * MIB)
    sent = doors["v1-raw"](data)
    with target.staying_awake():
        idle = [hold(target.head("GET", sent.path, sent.who)) for _ in range(READERS)]
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            reads = list(pool.map(lambda _: target.ask("GET", sent.path, sent.who).body == data, range(4)))
        assert doors["tus"](secrets.token_bytes(100_000)).is_stored
        took_s = time.monotonic() - began
    late = target.finish(idle[0])

    assert [True] * 4 == reads
    assert took_s < BESIDE_S
    assert data == late.body
