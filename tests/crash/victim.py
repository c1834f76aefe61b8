"""Servers that are killed and started again on the same data, and what they are killed with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from tests.crash.mortal import CRASH_FILE
from tests.servers.ports import free_port
from tests.wire.conftest import AUDIENCE, ISSUER, PUBLIC_PEM, make_jwt

ROOT = Path(__file__).parents[2]
SERVICE_TOKEN = "crash-tests-service-token"
ADMIN_TOKEN = "crash-tests-admin-token"
SERVICE = {"X-Auth-Token": SERVICE_TOKEN}
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
_START_S = 90.0
_END_S = 15.0


def bearer(name: str) -> dict[str, str]:
    """Give the headers of a user of the main service."""
    return {"Authorization": f"Bearer {make_jwt(name, exp=int(time.time()) + 86_400)}"}


@dataclass
class Victim:
    """A server as `carryall serve` runs it; with workers, the one process that has them, and they."""

    folder: Path
    workers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    starts_s: list[float] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """All that it is told."""
        return {
            **os.environ,
            "AUTH_TOKEN": SERVICE_TOKEN,
            "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
            "CARRYALL_DATA_DIR": str(self.folder / "data"),
            "CARRYALL_LOG_FORMAT": "json",
            "CARRYALL_MAX_OPEN_UPLOADS": "100000",
            "CARRYALL_GALLERY_REQUESTS_PER_MINUTE": "1000000",
            "CARRYALL_GALLERY_MAX_OPEN_UPLOADS": "1000",
            "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM,
            "EXPECTED_JWT_ISSUER": ISSUER,
            "EXPECTED_JWT_AUDIENCE": AUDIENCE,
            **({"CARRYALL_WORKERS": str(self.workers)} if self.workers > 1 else {}),
            **self.settings,
        }

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.folder / "server.log").read_text("utf-8", errors="replace")

    def start(self) -> None:
        """Start it; come back when it answers."""
        began, logged = time.monotonic(), len(self.log) if (self.folder / "server.log").exists() else 0
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "carryall", "serve", "--port", str(self.port)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while self.workers > 1 and '"server.listening"' not in self.log[logged:]:  # written when all of them serve
            assert self.is_alive(), self.log[-4000:]
            assert time.monotonic() < began + _START_S, self.log[-4000:]
            time.sleep(0.1)
        self.until_ready()
        self.starts_s.append(time.monotonic() - began)

    def until_ready(self) -> None:
        """Wait until it answers. Raises AssertionError with its log when it doesn't."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.is_alive():
            try:
                if httpx2.get(f"{self.url}/ready", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.log[-4000:]}")

    def is_alive(self) -> bool:
        """Tell whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill all of it at once, with signal 9."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def worker_pids(self) -> list[int]:
        """Give the processes that it has started and that serve."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"resource_tracker" not in _command(int(pid))]

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command on its data; give the status and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "carryall", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout.decode() + done.stderr.decode()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b"resource_tracker"  # it went while we looked


class MortalVictim(Victim):
    """A server of one process that ends itself at the point that is armed."""

    launcher: subprocess.Popen[str] | None = None
    pid: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """And where the point is named."""
        return {**super().environment, CRASH_FILE: str(self.folder / "crash")}

    def start(self) -> None:
        """Begin another life."""
        launcher = self.launcher or self._launch()
        began = time.monotonic()
        assert launcher.stdin
        assert launcher.stdout
        print("start", file=launcher.stdin, flush=True)
        self.pid = int(launcher.stdout.readline().split()[1])
        self.until_ready()
        self.starts_s.append(time.monotonic() - began)

    def _launch(self) -> subprocess.Popen[str]:
        with (self.folder / "server.log").open("ab") as log:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.launcher", "serve", "--port", str(self.port)],
                env={**self.environment, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self.launcher

    def is_alive(self) -> bool:
        """Tell whether this life still goes on."""
        return _command(self.pid) not in (b"", b"resource_tracker")

    def arm(self, name: str, number: int) -> None:
        """Name the point at which the running process ends."""
        order = self.folder / "crash.new"
        order.write_text(f"{name} {number} {time.monotonic_ns()}", "ascii")
        order.replace(self.folder / "crash")

    def disarm(self) -> None:
        """Let the next life go on."""
        (self.folder / "crash").unlink(missing_ok=True)

    def end(self) -> int:
        """Wait for the end of this life; give its status. One that doesn't end is ended."""
        assert self.launcher
        assert self.launcher.stdout
        deadline = time.monotonic() + _END_S
        while self.is_alive():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGTERM)
                raise AssertionError("nothing came by the point that was armed")
            time.sleep(0.005)
        self.pid = 0
        return int(self.launcher.stdout.readline().split()[1])

    def stop(self) -> None:
        """Ask the running life to end, and the launcher with it."""
        if self.launcher is None:
            return
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            assert self.end() == 0
        assert self.launcher.stdin
        assert self.launcher.stdout
        self.launcher.stdin.close()
        self.launcher.wait(timeout=20)
        self.launcher.stdout.close()
        self.launcher = None
