"""The application under other people's ASGI servers: plain uvicorn, and gunicorn with uvicorn workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.servers.ports import free_port
from websockets.sync.client import connect

SERVICE_TOKEN = "asgi-tests-service-token"
ADMIN_TOKEN = "asgi-tests-admin-token"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int, Path]]]:
    """Start a program with the application's settings; give its process, port and log."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> tuple[subprocess.Popen[bytes], int, Path]:
        port = free_port()
        log_path = tmp_path / f"{len(running)}.log"
        environment = {
            **os.environ,
            "AUTH_TOKEN": SERVICE_TOKEN,
            "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
            "CARRYALL_DATA_DIR": str(tmp_path / "data"),
            "CARRYALL_LOG_FORMAT": "json",
        }
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *(part.format(port=port) for part in command)],
                env=environment,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        running.append(process)
        return process, port, log_path

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=20)


def _wait(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(log_path.read_text())


SERVERS = {
    "uvicorn": ("uvicorn", "carryall.asgi:app", "--port", "{port}", "--no-proxy-headers"),
    "uvicorn with h11": ("uvicorn", "carryall.asgi:app", "--port", "{port}", "--http", "h11", "--loop", "asyncio"),
    "uvicorn with our class": (
        "uvicorn",
        "carryall.asgi:app",
        "--port",
        "{port}",
        "--http",
        "carryall.asgi:http",
        "--no-proxy-headers",
    ),
    "gunicorn with our worker": (
        "gunicorn",
        "-w",
        "1",
        "-k",
        "carryall.cli.gunicorn.Worker",
        "-b",
        "127.0.0.1:{port}",
        "carryall.asgi:app",
    ),
    "gunicorn": (
        "gunicorn",
        "-w",
        "1",
        "-k",
        "uvicorn_worker.UvicornWorker",
        "-b",
        "127.0.0.1:{port}",
        "carryall.asgi:app",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_an_upload_comes_back_whole(
    name: str, launch: Callable[..., tuple[subprocess.Popen[bytes], int, Path]]
) -> None:
    """The application needs nothing of our own server: an upload, a range and a clean stop work under this one."""
    process, port, log_path = launch(*SERVERS[name])
    _wait(process, port, log_path)
    data = os.urandom(3_000_000)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        sent = client.post("/upload", files={"file": ("a b.bin", data)}, headers={"X-Auth-Token": SERVICE_TOKEN})
        link = sent.json()["link"]
        got = client.get(link)
        part = client.get(link, headers={"Range": "bytes=1000-1999"})
        refused = client.post("/upload", content=data, headers={"X-Auth-Token": "wrong"})
    process.send_signal(signal.SIGTERM)

    assert (200, data) == (got.status_code, got.content)
    assert (206, data[1000:2000]) == (part.status_code, part.content)
    assert 403 == refused.status_code
    assert 0 == process.wait(timeout=20) or name.startswith("uvicorn")  # uvicorn re-raises the signal that ended it


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_the_socket_takes_whole_messages(
    name: str, launch: Callable[..., tuple[subprocess.Popen[bytes], int, Path]]
) -> None:
    """Servers that hand a message on when it is whole serve the WebSocket of blobs, too."""
    process, port, log_path = launch(*SERVERS[name])
    _wait(process, port, log_path)
    data = os.urandom(3_000_000)
    with connect(f"ws://127.0.0.1:{port}/upload_socket", proxy=None) as client:
        client.send(ADMIN_TOKEN)
        who = client.recv(timeout=20)
        client.send("a.bin")
        client.send(data)
        told = json.loads(client.recv(timeout=20))

    assert "user is: admin" == who
    assert data == httpx2.get(told["file_url"]).content


@pytest.mark.parametrize("name", SERVERS)
def test_what_a_server_cant_do_isnt_offered(
    name: str, launch: Callable[..., tuple[subprocess.Popen[bytes], int, Path]]
) -> None:
    """104 and trailers are there under our own class, by whatever it was started; elsewhere nothing is announced."""
    process, port, log_path = launch(*SERVERS[name])
    _wait(process, port, log_path)
    is_ours = "our" in name
    data = os.urandom(100_000)
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
        f"Upload-Draft-Interop-Version: 8\r\nUpload-Complete: ?1\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        offered = client.options("/files/").headers["Tus-Extension"].split(",")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + data)
        with connection.makefile("rb") as answers:
            first = answers.readline()

    assert is_ours == ("checksum-trailer" in offered)
    assert first.startswith(b"HTTP/1.1 104 " if is_ours else b"HTTP/1.1 201 ")


def test_a_second_process_on_the_same_folder_is_refused(
    launch: Callable[..., tuple[subprocess.Popen[bytes], int, Path]],
) -> None:
    """Two processes would not see each other's leases, so the second says plainly why it doesn't start."""
    first = launch(*SERVERS["uvicorn"])
    _wait(*first)
    process, _, log_path = launch(*SERVERS["uvicorn"])

    assert 0 != process.wait(timeout=20)
    assert "Another Carryall process serves this data folder" in log_path.read_text()
