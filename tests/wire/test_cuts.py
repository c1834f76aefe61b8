"""A cut connection loses nothing that arrived: closed, reset or closed by half, at any byte (T-P5, fault 15)."""

import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.wire.raw import Raw

CHANCE = random.Random(15)
DATA = CHANCE.randbytes(4 << 20)
POINTS = sorted([1, 65_536, 65_537, len(DATA) - 1, *(CHANCE.randrange(len(DATA)) for _ in range(4))])


def begun(server: Any, tus: Any, url: str, body: bytes) -> Raw:
    """Send a PATCH for all of DATA with only these bytes of it."""
    raw = Raw(server.port)
    named = {"Authorization": tus.http.headers["Authorization"], "Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
    named |= {"Content-Type": "application/offset+octet-stream", "Content-Length": str(len(DATA))}
    raw.ask("PATCH", urlsplit(url).path, named, body)
    return raw


def settled(tus: Any, url: str, wanted: int) -> int:
    """Give the offset once it is what is wanted; GET disturbs no writer."""
    deadline = time.monotonic() + 10
    while (offset := int(tus.http.get(url).json()["received_bytes"])) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return offset


@pytest.mark.parametrize("sent", POINTS)
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_T_P5_every_byte_that_arrived_is_kept(server: Any, tus: Any, how: str, sent: int) -> None:
    """The offset is what the server's kernel had acknowledged, and the resumed file is whole."""
    url = tus.begin(len(DATA))
    raw = begun(server, tus, url, DATA[:sent])
    if how == "half-close":
        raw.socket.shutdown(socket.SHUT_WR)
        answer = raw.answer()
        assert (400, b"body_truncated" in answer.body) == (answer.status, True)
    if how == "reset":
        sent -= raw.unacknowledged()
        raw.reset()
    else:
        raw.close()

    assert sent == settled(tus, url, sent)
    assert sent == tus.offset(url)
    assert 204 == tus.patch(url, sent, DATA[sent:]).status_code
    assert DATA == tus.file(url)


def test_T_P5_a_whole_body_counts_although_nobody_waits(server: Any, tus: Any) -> None:
    """A client that goes away behind its last byte finds a file."""
    url = tus.begin(len(DATA))
    raw = begun(server, tus, url, DATA)
    assert 0 == raw.unacknowledged()
    raw.reset()
    deadline = time.monotonic() + 10
    while tus.http.get(url).content != DATA and time.monotonic() < deadline:
        time.sleep(0.02)

    assert DATA == tus.file(url)


def test_who_closes_half_hears_the_answer(server: Any) -> None:
    """A client that ends its side behind its request is answered, and the connection ends then (RFC 9112 §9.6)."""
    with Raw(server.port) as raw:
        raw.ask("GET", "/health", {})
        raw.socket.shutdown(socket.SHUT_WR)
        assert 200 == raw.answer().status
        assert raw.is_closed()


def test_slow_headers_hold_nobody_up(make_server: Any) -> None:
    """Beside 300 connections whose headers never end, a request is answered; they are closed in time (threat 20)."""
    server = make_server(CARRYALL_HEADER_S="3")
    slow = [Raw(server.port) for _ in range(300)]
    for raw in slow:
        raw.send(b"POST /v1/files HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    began = time.monotonic()
    with server.client() as client:
        assert 200 == client.get("/health").status_code
    assert time.monotonic() - began < 2
    for raw in slow[:150]:
        raw.send(b"y")
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(Raw.is_closed, slow))
    assert time.monotonic() - began < 20
    for raw in slow:
        raw.close()
