"""The application under other people's ASGI servers: plain uvicorn, and gunicorn with uvicorn workers."""

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

SERVICE_TOKEN = "asgi-tests-service-token"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int, Path]]]:
    """Start a program with the application's settings; give its process, port and log."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> tuple[subprocess.Popen[bytes], int, Path]:
        port = _free_port()
        log_path = tmp_path / f"{len(running)}.log"
        environment = {
            **os.environ,
            "AUTH_TOKEN": SERVICE_TOKEN,
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


def test_a_second_process_on_the_same_folder_is_refused(
    launch: Callable[..., tuple[subprocess.Popen[bytes], int, Path]],
) -> None:
    """Two processes would not see each other's leases, so the second says plainly why it doesn't start."""
    first = launch(*SERVERS["uvicorn"])
    _wait(*first)
    process, _, log_path = launch(*SERVERS["uvicorn"])

    assert 0 != process.wait(timeout=20)
    assert "Another Carryall process serves this data folder" in log_path.read_text()
