"""`carryall serve`: what it says, how it stops, and how it refuses to start."""

import json
import signal
import socket
import time
from contextlib import closing
from typing import Any

import pytest

SERVICE = "a-service-token"


def half_an_upload(port: int) -> socket.socket:
    """Begin an upload of ten bytes and send five; return when the server waits for the rest."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"POST /upload?fileName=a.bin HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {SERVICE}\r\nContent-Length: 10\r\n"
    client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"01234")
    return client


def rest_of_answer(client: socket.socket) -> str:
    with client:
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def test_a_terminal_gets_a_greeting(place: Any, require_program: Any) -> None:
    """On a terminal: tokens once, what to open, an upload to paste that works, where the data is, what to regret."""
    require_program("curl")
    place.set(CACHE_TTL="300")
    port = place.free_port()
    terminal = place.terminal("serve", "--port", str(port))
    seen = terminal.read_until("Stop    Ctrl-C")
    (paste,) = [line.split("Upload", 1)[1].strip() for line in seen.splitlines() if line.startswith("  Upload")]
    answer = json.loads(place.shell(paste))
    terminal.process.send_signal(signal.SIGINT)
    status, seen = terminal.end()

    assert 0 == status
    assert ("hello.txt", 6) == (answer["filename"], answer["size"])
    for said in (
        f"Open    http://127.0.0.1:{port}/",
        f"Data    {place.data}",
        "Note    CACHE_TTL",
        "Finishing what runs",
    ):
        assert said in seen
    for token in ("admin_token", "service_token"):
        assert 1 == seen.count((place.data / "secrets" / token).read_text().strip())
    assert "Traceback" not in seen


def test_elsewhere_every_line_is_a_log_line(place: Any) -> None:
    """Without a terminal the log says what a person would be told; tokens are printed at the first start alone."""
    place.set(CACHE_TTL="300")
    first = place.serve()
    assert 0 == first.stop()
    said = place.log()
    second = place.serve()
    assert 0 == second.stop()

    lines = [json.loads(line) for line in place.log().splitlines()]
    events = [line["event"] for line in lines if line["event"] != "request"]
    assert 2 == sum("shown once" in line for line in said.splitlines())
    assert ["server.started", "server.listening", "settings.notice", "server.stopped"] == events
    assert (second.url, second.port) == next((x["url"], x["port"]) for x in lines if x["event"] == "server.listening")


def test_stopping_lets_uploads_finish(place: Any) -> None:
    """After SIGTERM no new connection is taken, the upload that runs gets its answer, and the status is 0."""
    place.set(AUTH_TOKEN=SERVICE)
    server = place.serve()
    client = half_an_upload(server.port)
    server.process.send_signal(signal.SIGTERM)
    _wait_until_closed(server.port)
    assert server.process.poll() is None
    client.sendall(b"56789")

    assert " 200 OK" in rest_of_answer(client).splitlines()[0]
    assert 0 == server.process.wait(timeout=30)
    assert "Traceback" not in place.log()


def test_a_second_ctrl_c_quits(place: Any) -> None:
    """While uploads finish, another Ctrl-C ends the server at once; the next start finds nothing wrong."""
    place.set(AUTH_TOKEN=SERVICE)
    server = place.serve()
    with closing(half_an_upload(server.port)):
        server.process.send_signal(signal.SIGINT)
        _wait_until_closed(server.port)
        server.process.send_signal(signal.SIGINT)
        assert 130 == server.process.wait(timeout=5)

    assert 0 == place.serve().stop()
    assert 0 == place.run("doctor").returncode


def test_a_taken_port_and_a_taken_folder_are_said(place: Any) -> None:
    """A port that is taken, and a folder that another process serves: one sentence each, status 1, no traceback."""
    server = place.serve()
    port, folder = place.run("serve", "--port", str(server.port)), place.run("serve", "--port", str(place.free_port()))

    assert (1, 1) == (port.returncode, folder.returncode)
    assert f"Port {server.port} on 127.0.0.1 is taken" in port.stderr
    assert f"carryall serve --port {server.port + 1}" in port.stderr
    assert "Another Carryall process serves this data folder." in folder.stderr
    for done in (port, folder):
        assert (1, "") == (len(done.stderr.splitlines()), done.stdout)
    assert 0 == server.stop()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--workers", "0"], 2, "--workers is '0': it must be a whole number from 1 to 64"),
        (["--host", "no.such.host.invalid"], 1, "Nothing can listen on no.such.host.invalid"),
        (["--host", "192.0.2.1"], 1, "It must be an address of this machine"),
    ],
)
def test_what_cannot_be_served_is_said(place: Any, words: list[str], status: int, said: str) -> None:
    """No worker, a host without an address, an address of another machine: a sentence, and no traceback."""
    done = place.run("serve", "--port", str(place.free_port()), *words)

    assert status == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_reloading_serves_and_stops(place: Any) -> None:
    """`--reload` serves on the port that was asked for, from a process of its own, and ends with status 0."""
    server = place.serve("--reload")
    with server.client() as client:
        assert {"message": "Server running"} == client.get("/ping").json()

    assert 0 == server.stop()
    assert f"Serving {server.url}/ and watching " in place.log()
    assert "Traceback" not in place.log()


def _wait_until_closed(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError("the server still takes connections")
