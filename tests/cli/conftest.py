"""The command line as people run it: in processes of its own, on a data folder of its own, beside a real server."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.servers import ports

from carryall.config import SETTINGS

_WAIT_S = 30.0
# A command is mostly the loading of its modules. This process loads them once and becomes each command by a fork.
_FORKS = """
import json, os, signal, sys
import carryall.wiring
from carryall.cli.main import main

for line in sys.stdin:
    ask = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os.environ.clear()
        os.environ.update(ask["environment"])
        os.chdir(ask["folder"])
        for number, (path, how) in enumerate(ask["streams"]):
            os.dup2(os.open(path, how), number)
        sys.argv = ["carryall", *ask["words"]]
        main()
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_ISSUER, _AUDIENCE = "main-service", "uploads"
Run = subprocess.CompletedProcess[str]


@dataclass
class Terminal:
    """A process whose standard streams are a terminal."""

    process: subprocess.Popen[bytes]
    master: int
    seen: str = ""

    def read_until(self, text: str) -> str:
        """Read what appears until the text does; give all of it so far."""
        deadline = time.monotonic() + _WAIT_S
        while text not in self.seen and time.monotonic() < deadline and self._read(0.1):
            pass
        assert text in self.seen, self.seen
        return self.seen

    def end(self) -> tuple[int, str]:
        """Read to the end; give the exit status and everything that appeared."""
        while self._read(_WAIT_S):
            pass
        os.close(self.master)
        return self.process.wait(timeout=_WAIT_S), self.seen

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], timeout_s)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # Linux's way to say that nobody has the terminal open any more
            return False
        self.seen += data.decode().replace("\r\n", "\n")
        return bool(data)


class Forks:
    """Runs commands to their end, quickly."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = [sys.executable, "-c", _FORKS]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: str) -> Run:
        """Run one command; give its status and what it printed."""
        paths = [self._folder / name for name in ("stdin", "stdout", "stderr")]
        for path in paths:
            path.write_text(stdin if path.name == "stdin" else "", "utf-8")
        streams = [(str(path), os.O_RDONLY if path.name == "stdin" else os.O_WRONLY) for path in paths]
        ask = {"words": words, "folder": str(folder), "environment": dict(environment), "streams": streams}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(ask) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return Run(words, status, *(path.read_text("utf-8") for path in paths[1:]))

    def end(self) -> None:
        """Let it go."""
        self._process.communicate(timeout=_WAIT_S)


@dataclass
class Place:
    """A folder with a data folder, and the settings that commands get there."""

    folder: Path
    environment: dict[str, str]
    private_key: bytes
    forks: Forks
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Where the data is, if there is any."""
        return self.folder / "data"

    def set(self, **settings: str) -> None:
        """Set environment names for everything that runs from now on."""
        self.environment |= settings

    def run(self, *arguments: str, stdin: str = "") -> Run:
        """Run a command to its end."""
        return self.forks.run(arguments, self.folder, self.environment, stdin)

    def result(self, *arguments: str) -> str:
        """Run a command that must succeed; give its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on; its words go to `folder/log`."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                self._command(*arguments), cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.running.append(process)
        return process

    def terminal(self, *arguments: str) -> Terminal:
        """Start a command on a terminal."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            self._command(*arguments), cwd=self.folder, env=self.environment,
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.running.append(process)
        return Terminal(process, master)

    def shell(self, line: str) -> str:
        """Run a line that somebody was told to paste; give what it printed."""
        return subprocess.run(
            ["sh", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, check=True, text=True
        ).stdout

    def free_port(self) -> int:
        """Give a TCP port that nobody has."""
        return ports.free_port()

    def serve(self, *arguments: str) -> "Serving":
        """Start a server and wait until it answers."""
        port = self.free_port()
        process = self.start("serve", "--port", str(port), *arguments)
        serving = Serving(f"http://127.0.0.1:{port}", port, process, self)
        serving.wait_until_ready()
        return serving

    def log(self) -> str:
        """Give what the command that was started last has said so far."""
        return (self.folder / "log").read_text("utf-8")

    def jwt(self, subject: str) -> dict[str, str]:
        """Give the headers of a user of the main service."""
        claims = {"sub": subject, "iss": _ISSUER, "aud": _AUDIENCE, "exp": int(time.time()) + 600}
        token = jwt.encode({"alg": "RS256"}, claims, RSAKey.import_key(self.private_key), algorithms=["RS256"])
        return {"Authorization": f"Bearer {token}"}

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "carryall", *arguments]


@dataclass
class Serving:
    """A server that runs."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    place: Place

    def wait_until_ready(self) -> None:
        """Wait for its first answer."""
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx2.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.place.log()}")

    def client(self, headers: dict[str, str] | None = None) -> httpx2.Client:
        """Give a client with these headers."""
        return httpx2.Client(base_url=self.url, headers=headers or {}, timeout=30)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, wait, and give its exit status."""
        self.process.send_signal(how)
        return self.process.wait(timeout=_WAIT_S)


@pytest.fixture(scope="session")
def key_pair() -> tuple[bytes, str]:
    """Give the main service's private and public key, in PEM form."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password)
    return private, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Give what runs commands quickly."""
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


@pytest.fixture
def place(tmp_path: Path, key_pair: tuple[bytes, str], forks: Forks) -> Iterator[Place]:
    """Give a folder in which nothing was run yet; what was started there is ended afterwards."""
    known = {name for one in SETTINGS for name in one.names}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {
        "MAIN_SERVICE_JWT_PUBLIC_KEY": key_pair[1],
        "EXPECTED_JWT_ISSUER": _ISSUER,
        "EXPECTED_JWT_AUDIENCE": _AUDIENCE,
        "TERM": "dumb",
    }
    place = Place(tmp_path, environment, key_pair[0], forks)
    yield place
    for process in place.running:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=_WAIT_S)


@pytest.fixture
def upload() -> Callable[..., dict[str, Any]]:
    """Give a function that uploads bytes through /v1 and gives what the server says of the file."""

    def post(client: httpx2.Client, name: str, content: bytes, **query: str) -> dict[str, Any]:
        answer = client.post("/v1/files", content=content, params={"name": name, **query})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return post
