"""A client that follows events and doesn't read them costs the server nothing, and misses nothing."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx2

_ROWS = 100
_PAGES = 120
_NAME = "n" * 2000


def _write_events(server: Any) -> None:
    """Write 12,000 events of 24 MB together into the catalog, as a process that we don't see would."""
    data = json.dumps({"name": _NAME})
    row = f"('file.stored', 'x', 'service:relay', '{data}', {time.time_ns() // 1000})"
    statement = f"INSERT INTO events (type, subject, owner, data, created_at) VALUES {', '.join([row] * _ROWS)}"  # noqa: S608  # our own words
    for _ in range(_PAGES):
        server.change_catalog(statement)


def test_a_slow_reader_fills_no_memory(make_server: Callable[..., Any]) -> None:
    """24 MB of events wait in the catalog and not in memory; when the client reads on, it gets them all, in order."""
    server = make_server()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(
            f"GET /v1/events?after=0 HTTP/1.1\r\nHost: a\r\nX-Auth-Token: {server.service_token}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert sock.recv(12) == b"HTTP/1.1 200"
        before = server.rss_bytes()
        _write_events(server)
        deadline = time.monotonic() + 3
        grown = 0
        while time.monotonic() < deadline:
            grown = max(grown, server.rss_bytes() - before)
            assert httpx2.get(f"{server.url}/health", timeout=5).status_code == 200
            time.sleep(0.1)
        rest, needed = b"", _ROWS * _PAGES + 1  # the first id is the stream's beginning
        ids: list[int] = []
        sock.settimeout(30)
        while len(ids) < needed:
            piece = sock.recv(1 << 20)
            assert piece, "the stream ended early"
            *lines, rest = (rest + piece).split(b"\n")
            ids += [int(line[4:]) for line in lines if line.startswith(b"id: ")]

    assert grown < 16 << 20
    assert sorted(set(ids)) == ids
