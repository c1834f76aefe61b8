"""`carryall serve --workers 2`: any process takes any request; they start, fall, are replaced and stop as one."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

SERVICE = "a-service-token"
_WAIT_S = 20.0


def workers_of(server: Any) -> list[int]:
    """Give the process ids of the workers, oldest first."""
    parent = server.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def until(is_true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + _WAIT_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def crew(place: Any) -> Any:
    """A server of two processes."""
    place.set(AUTH_TOKEN=SERVICE)
    server = place.serve("--workers", "2")
    assert 2 == len(workers_of(server))
    return server


def lines(place: Any, event: str) -> list[dict[str, Any]]:
    """Give what was logged under a name."""
    said = [json.loads(line) for line in place.log().splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def test_any_process_takes_any_request(crew: Any, place: Any) -> None:
    """An upload goes on in whichever process its next request arrives; what one stored the other serves at once."""
    began = httpx2.post(
        f"{crew.url}/files/", headers={**place.jwt("alice"), "Tus-Resumable": "1.0.0", "Upload-Length": "40"}
    )
    url, data = began.headers["Location"], os.urandom(40)
    for offset in range(40):  # each on a connection of its own
        sent = httpx2.patch(
            url,
            content=data[offset : offset + 1],
            headers={
                **place.jwt("alice"),
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream",
            },
        )
        assert (204, str(offset + 1)) == (sent.status_code, sent.headers["Upload-Offset"])
    for _ in range(10):
        assert data == httpx2.get(url, headers=place.jwt("alice")).content
    assert 0 == crew.stop()
    assert 0 == place.run("doctor").returncode


def test_a_start_is_told_once(crew: Any, place: Any) -> None:
    """Several processes have one greeting, which comes when all of them take requests."""
    until(lambda: bool(lines(place, "server.listening")))
    assert 0 == crew.stop()
    assert [1, 2] == [len(lines(place, event)) for event in ("server.listening", "server.started")]


def test_what_is_counted_is_counted_together(crew: Any) -> None:
    """The metrics page has the requests of all processes, whichever gives it; the queue is there once."""
    for _ in range(30):
        assert 200 == httpx2.get(f"{crew.url}/ping").status_code
    page = httpx2.get(f"{crew.url}/metrics").text

    assert 'carryall_requests_total{method="GET",route="/ping",status="200"} 30.0' in page
    assert 1 == page.count("# TYPE carryall_job_queue gauge")
    assert 0 == crew.stop()


def test_one_that_falls_is_replaced(crew: Any, place: Any) -> None:
    """Requests go on while a worker is gone, and soon there are as many as before."""
    for fallen_before in range(2):
        # A worker that falls while it starts is replaced, too, but has no line of its own.
        until(lambda seen=2 + fallen_before: len(lines(place, "server.started")) == seen)  # type: ignore[misc]
        fallen = workers_of(crew)[0]
        os.kill(fallen, signal.SIGKILL)
        until(lambda fallen=fallen: is_gone(fallen))  # type: ignore[misc]
        assert 200 == httpx2.get(f"{crew.url}/ready", timeout=10).status_code
        until(lambda: len(workers_of(crew)) == 2)
    until(lambda: len(lines(place, "server.started")) == 4)

    assert 2 == len(lines(place, "worker.fell"))
    assert 0 == crew.stop()


def test_nobody_is_left_behind(crew: Any) -> None:
    """When the first process is killed its workers stop by themselves, and the port is free again."""
    workers = workers_of(crew)
    crew.process.kill()
    for worker in workers:
        until(lambda worker=worker: is_gone(worker))  # type: ignore[misc]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", crew.port))


def test_stopping_lets_uploads_finish(crew: Any, place: Any) -> None:
    """SIGTERM to the first process: what runs in any worker gets its answer, and the status is 0."""
    with ExitStack() as open_ones:
        clients = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", crew.port), timeout=30)) for _ in range(6)
        ]
        answers = answers_while_stopping(crew, clients)

    assert [b"HTTP/1.1 200 OK"] * 6 == [answer.split(b"\r\n")[0] for answer in answers]
    assert 0 == crew.process.wait(timeout=30)
    assert "Traceback" not in place.log()


def answers_while_stopping(crew: Any, clients: list[socket.socket]) -> list[bytes]:
    """Begin an upload on each connection, ask the server to stop, and send the rest; give the answers."""
    head = f"POST /upload?fileName=a.bin HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {SERVICE}\r\nContent-Length: 10\r\n"
    for client in clients:
        client.sendall(f"{head}Connection: close\r\nExpect: 100-continue\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
    crew.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)  # so that the signal is there first
    for client in clients:
        client.sendall(b"0123456789")
    return [b"".join(iter(lambda: client.recv(65536), b"")) for client in clients]  # noqa: B023  # read at once


def test_a_folder_is_not_shared_with_a_process_alone(crew: Any, place: Any) -> None:
    """A process that doesn't know of others is refused beside several, and the other way round; in one sentence."""
    alone = place.run("serve", "--port", str(place.free_port()))
    beside = place.run("serve", "--port", str(crew.port), "--workers", "2")
    assert 0 == crew.stop()
    first = place.serve()
    crowd = place.run("serve", "--port", str(place.free_port()), "--workers", "2")
    assert 0 == first.stop()

    assert [1, 1, 1] == [done.returncode for done in (alone, beside, crowd)]
    assert "Several may serve one folder where each of them is told so" in alone.stderr
    assert f"Port {crew.port} on 127.0.0.1 is taken" in beside.stderr
    assert "Another Carryall process serves this data folder." in crowd.stderr
    assert "Traceback" not in crowd.stderr
