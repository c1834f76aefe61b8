"""The documents as the tests read them, and a server like the one that they tell to start."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.servers import ports

from carryall.config import SETTINGS

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_START_S = 20.0


@dataclass(frozen=True)
class Serving:
    """A server that runs in a folder of its own; its data is in `folder/data`."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder that the README is in."""
    return ROOT


@pytest.fixture(scope="session")
def documents() -> dict[str, str]:
    """Give the text of every document by its path: those in the root, and all below docs/."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")]
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(paths)}


@pytest.fixture(scope="session")
def fenced(documents: dict[str, str]) -> Callable[[str, str], list[str]]:
    """Give a function that gives a document's blocks of one language, in their order."""
    return lambda document, language: [text for kind, text in FENCE.findall(documents[document]) if kind == language]


@pytest.fixture(scope="session")
def plain_environment() -> dict[str, str]:
    """Give the environment without any name that is a setting, so that a server has its defaults."""
    known = {name for one in SETTINGS for name in one.names}
    return {name: value for name, value in os.environ.items() if name not in known}


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Give a function that finds a TCP port that nobody has."""
    return ports.free_port


@pytest.fixture
def serve(plain_environment: dict[str, str], free_port: Callable[[], int]) -> Iterator[Callable[..., Serving]]:
    """Start a server in a folder, as `make serve` does; names that are given are its only settings."""
    running: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, **settings: str) -> Serving:
        port = free_port()
        command = [sys.executable, "-m", "carryall", "serve", "--port", str(port)]
        log = folder / "server.log"
        with log.open("wb") as lines:
            running.append(
                subprocess.Popen(
                    command, cwd=folder, env=plain_environment | settings, stdin=subprocess.DEVNULL, stderr=lines
                )
            )
        url = f"http://127.0.0.1:{port}"
        _wait(url, running[-1], log)
        return Serving(url, folder, running[-1])

    yield start
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)


@pytest.fixture
def shell(plain_environment: dict[str, str], require_program: Callable[[str], str]) -> Callable[[str, Path], str]:
    """Give a function that runs a document's shell commands in a folder, and gives what they printed.

    `.venv/bin/` is where this interpreter's programs are. What a newcomer would notice ends the run: an error of any
    command, and an answer of 400 or more.
    """
    for program in ("bash", "curl", "openssl"):
        require_program(program)
    prelude = """
set -euo pipefail
curl() { command curl --fail-with-body --silent --show-error "$@"; }
"""

    def run(script: str, folder: Path) -> str:
        programs = {"carryall": f"'{sys.executable}' -m carryall", "python": f"'{sys.executable}'"}
        script = re.sub(r"\.venv/bin/(carryall|python)\b", lambda named: programs[named[1]], script)
        command = ["bash", "-c", prelude + script]
        done = subprocess.run(
            command, cwd=folder, env=plain_environment, capture_output=True, check=False, text=True, timeout=50
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text('utf-8')}")
