"""Bodies stream: memory stays flat, other requests stay answered, early refusals are seen by real clients."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests

_MIB = 1 << 20
_BIG = 600 * _MIB


def _zeros(size: int) -> Iterator[bytes]:
    piece = bytes(4 * _MIB)
    for _ in range(size // len(piece)):
        yield piece


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc")
@pytest.mark.timeout(180)
def test_a_big_upload_holds_neither_memory_nor_the_loop(make_server: Callable[..., Any]) -> None:
    """600 MiB go through in under 200 MiB of memory, and /health answers within a second meanwhile (H9, B4)."""
    server = make_server()
    slowest: list[float] = []
    is_over = threading.Event()

    def probe() -> None:
        with server.client() as client:
            while not is_over.is_set():
                began = time.monotonic()
                assert client.get("/health").status_code == 200
                slowest.append(time.monotonic() - began)
                time.sleep(0.02)

    prober = threading.Thread(target=probe)
    prober.start()
    with server.client() as client:
        headers = {**server.service, "Content-Length": str(_BIG)}
        sent = client.post(
            "/upload", params={"fileName": "big.bin"}, content=_zeros(_BIG), headers=headers, timeout=150
        )
        peak = server.rss_bytes()
        got = 0
        with client.stream("GET", sent.json()["link"]) as answer:
            for chunk in answer.iter_bytes():
                got += len(chunk)
    is_over.set()
    prober.join()

    assert (200, _BIG) == (sent.status_code, sent.json()["size"])
    assert _BIG == got
    assert max(peak, server.rss_bytes()) < 200 * _MIB
    assert max(slowest) < 1.0


@pytest.mark.parametrize("size", [3_000_000, 30_000_000])
def test_a_refused_client_sees_the_status(server: Any, size: int) -> None:
    """Clients that send their whole body before they read see the refusal, not a reset connection."""
    wrong = {"X-Auth-Token": "wrong-token-1"}

    assert 403 == requests.post(f"{server.url}/upload", data=bytes(size), headers=wrong, timeout=20).status_code
    assert 403 == httpx2.post(f"{server.url}/upload", content=bytes(size), headers=wrong, timeout=20).status_code


def test_a_refused_body_is_read_within_bounds(server: Any) -> None:
    """Of 200 announced megabytes the server takes a few at most, then the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nX-Auth-Token: wrong-token-1\r\nContent-Length: 209715200\r\n\r\n"
        )
        sent = 0
        try:
            while sent < 200 * _MIB:
                sent += client.send(bytes(65536))
        except (ConnectionError, TimeoutError):
            pass
    assert sent < 40 * _MIB  # what the server drains, and what both sockets buffer


def test_expect_100_continue_gets_its_final_status_without_a_body(server: Any) -> None:
    """A client that asks first hears the refusal, sends nothing, and may go on with the connection closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nX-Auth-Token: wrong-token-1\r\nContent-Length: 209715200\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"Invalid authentication token" in answer


def test_a_cut_upload_leaves_nothing_and_gives_its_room_back(server: Any) -> None:
    """A connection that ends in the middle of a form stores nothing; the room is free within two seconds (I6)."""
    _, headers = server.new_user()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        head = (
            f"POST /upload HTTP/1.1\r\nHost: a\r\nAuthorization: {headers['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        )
        client.sendall(head.encode() + bytes(1_000_000))
    deadline = time.monotonic() + 2
    usage: dict[str, Any] = {"reserved_bytes": -1}
    with server.client() as client:
        while time.monotonic() < deadline and usage["reserved_bytes"] != 0:
            usage = client.get("/v1/me", headers=headers).json()["usage"]
        listed = client.get("/list", headers=headers).json()

    assert (0, 0) == (usage["reserved_bytes"], usage["stored_bytes"])
    assert [] == listed


def test_the_documents_work_without_any_network(server: Any) -> None:
    """/docs and /redoc name no other host, and what they name is served."""
    with server.client() as client:
        for page in ("/docs", "/redoc"):
            text = client.get(page).text
            assert "https://" not in text.replace("https://www.w3.org", "")
            scripts = [part.split('"')[0] for part in text.split('src="')[1:]]
            assert scripts
            assert all(client.get(script).status_code == 200 for script in scripts)
        assert "paths" in client.get("/openapi.json").json()
