"""A real server for other people's clients, and what they upload."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

_START_S = 20.0


@dataclass
class Target:
    """Where a client uploads to, and as whom. `url` has no trailing slash."""

    url: str
    headers: Mapping[str, str]

    def file(self, url: str) -> bytes:
        """Give the bytes of the file that an upload became."""
        content = url.replace("/v1/uploads/", "/files/")  # GET tells of an upload there, and here gives its file
        answer = httpx2.get(content, headers=dict(self.headers), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.content

    def names(self) -> list[str]:
        """Give the names of all files."""
        answer = httpx2.get(f"{self.url}/v1/files", headers=dict(self.headers), timeout=30)
        return [file["name"] for file in answer.json()["files"]]


def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/ready", timeout=2).status_code == 200:
                return True
        except httpx2.TransportError:
            time.sleep(0.05)
    return False


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server, and a user of it."""
    folder = tmp_path_factory.mktemp("clients")
    environment = {**os.environ, "CARRYALL_DATA_DIR": str(folder / "data"), "FILE_SIZE_LIMIT_MB": "100"}
    carryall = [sys.executable, "-m", "carryall"]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*carryall, "serve", "--port", str(port)], env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        assert _ready(url, process), (folder / "server.log").read_text()
        made = subprocess.run(
            [*carryall, "users", "token", "erin", "--add"], env=environment, cwd=folder, capture_output=True, check=True
        )
        yield Target(url, {"Authorization": f"Bearer {made.stdout.decode().strip().splitlines()[-1].strip()}"})
    finally:
        process.terminate()
        process.wait(timeout=40)


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 8 MB and a byte that compresses badly."""
    path = tmp_path_factory.mktemp("photo") / "photo.bin"
    path.write_bytes(random.Random(11).randbytes(8_000_001))
    return path
