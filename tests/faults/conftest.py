"""A server whose data lies on a disk that fails when it is told to."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from tests.crash import inside
from tests.servers.ports import free_port
from tests.wire.conftest import ADMIN_TOKEN, AUDIENCE, ISSUER, PUBLIC_PEM, SERVICE_TOKEN, make_jwt

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 60.0


def until(is_so: Callable[[], bool], what: str, *, within_s: float = _PATIENCE_S) -> float:
    """Wait until something is so; give how long that took, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < within_s, what
        time.sleep(0.02)
    return time.monotonic() - began


@dataclass
class Disk:
    """A mounted disk (`tests/faults/mount.py`), and what a test can tell it."""

    folder: Path
    socket_path: Path
    process: subprocess.Popen[bytes]

    def tell(self, do: str, **facts: Any) -> Any:
        """Say one thing; give the answer."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_PATIENCE_S)
            line.connect(str(self.socket_path))
            line.sendall(json.dumps({"do": do, **facts}).encode() + b"\n")
            return json.loads(line.makefile().readline())

    def arm(self, **orders: Any) -> None:
        """Say what goes wrong from now on (`mount.Orders`); without orders nothing does."""
        self.tell("arm", **orders)

    def seen(self, *calls: str, failed: bool | None = None) -> list[str]:
        """Give the paths of these calls since the last orders; all, or only those that failed or didn't."""
        return [path for call, path, bad in self.tell("seen") if call in calls and failed in (None, bad)]

    def used_bytes(self) -> int:
        """Give what lies on the disk, with its names."""
        return int(self.tell("used_bytes"))

    def lose_power(self, loss: str, seed: int) -> None:
        """Forget what wasn't synced, as far as this kind of loss says; no process may have a file open."""
        self.arm()
        self.tell("lose_power", loss=loss, seed=seed)
        unmount = ["fusermount3", "-u", "-q", str(self.folder)]
        # A process that was killed may hold its files for a moment.
        until(lambda: subprocess.run(unmount, check=False, timeout=_PATIENCE_S).returncode == 0, "the disk is busy")
        until(self.folder.is_mount, "the disk didn't come back")


@pytest.fixture
def disk(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[Disk]:
    """Mount a disk."""
    unmount = require_program("fusermount3")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/fuse")
    folder, socket_path, log = tmp_path / "disk", tmp_path / "socket", tmp_path / "disk.log"
    folder.mkdir()
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.faults.mount", folder, socket_path]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        until(lambda: folder.is_mount() or process.poll() is not None, "nothing was mounted")
        if "permission" in log.read_text().lower():
            pytest.skip(f"this machine lets nothing be mounted: {log.read_text()}")
        assert process.poll() is None, log.read_text()
        yield Disk(folder, socket_path, process)
    finally:
        subprocess.run([unmount, "-u", "-z", "-q", folder], check=False, timeout=_PATIENCE_S)
        process.terminate()
        process.wait(_PATIENCE_S)


@dataclass
class Server:
    """A server on a disk, which dies and starts again."""

    disk: Disk
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = self.folder / f"server-{self.port}.log"
        self.environment = {
            **os.environ,
            "AUTH_TOKEN": SERVICE_TOKEN,
            "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
            "CARRYALL_DATA_DIR": str(self.disk.folder / "data"),
            "CARRYALL_LOG_FORMAT": "json",
            "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM,
            "EXPECTED_JWT_ISSUER": ISSUER,
            "EXPECTED_JWT_AUDIENCE": AUDIENCE,
            **self.settings,
        }

    def start(self) -> float:
        """Start; give how long it took until it was ready, in seconds."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "carryall", "serve", "--port", str(self.port)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the disk kills it with all its processes
            )
        return until(self._is_ready, f"the server did not start; its log is {self.log_path}")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log_path.read_text()
        try:
            return httpx2.get(f"{self.url}/ready", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """End all its processes at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_PATIENCE_S)

    def client(self) -> httpx2.Client:
        """Give a client that may do everything by every surface."""
        headers = {"X-Auth-Token": SERVICE_TOKEN, "Authorization": f"Bearer {self.jwt()}"}
        return httpx2.Client(base_url=self.url, timeout=30, headers=headers)

    def jwt(self, subject: str = "fault") -> str:
        """Give a token of the main service."""
        return make_jwt(subject)

    def doctor(self) -> list[str]:
        """Give what the doctor finds wrong, beside the running server or without one."""
        return inside.doctor(self.environment)

    def days_later(self) -> list[str]:
        """Be killed; two days later let jobs run, uploads expire and the sweep pass; give what is left or wrong."""
        self.kill()
        return [text for _, text in inside.later(self.environment, timedelta(days=2)).findings]


@pytest.fixture
def make_server(disk: Disk, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Make a server on the disk, started; with settings, and a command line to start it by."""
    made: list[Server] = []

    def make(*prefix: str, **settings: str) -> Server:
        made.append(Server(disk, tmp_path, settings, prefix))
        made[-1].start()
        return made[-1]

    yield make
    disk.arm()
    for server in made:
        server.kill()


class Pulse:
    """Asks /health all the time, and remembers the longest that it took, in seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._feel)
        self.longest_s = 0.0
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _feel(self) -> None:
        with httpx2.Client(timeout=10) as client:
            while not self._is_over.wait(0.02):
                began = time.monotonic()
                try:
                    assert client.get(f"{self._url}/health").status_code == 200
                except httpx2.TransportError:
                    self.longest_s = 10.0
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.count += 1
