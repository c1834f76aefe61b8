"""Two servers on one PostgreSQL and one shared folder behave as one."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.ports import free_port

SERVICE = {"X-Auth-Token": "two-servers-service-token"}
MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
_START_S = 60.0


@dataclass
class Server:
    """One of the two."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def wait_until_ready(self) -> None:
        """Wait until it serves."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx2.get(f"{self.url}/ready", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log_path.read_text())


@dataclass
class Pair:
    """Both servers, and a user of theirs."""

    servers: list[Server]
    environment: dict[str, str]
    folder: Path

    def client(self, number: int, **headers: str) -> httpx2.Client:
        """Give a client of one of them."""
        return httpx2.Client(base_url=self.servers[number].url, timeout=30, headers=headers)

    def cli(self, *arguments: str) -> str:
        """Run the command line beside them."""
        done = subprocess.run(
            [sys.executable, "-m", "carryall", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def new_user(self, name: str) -> tuple[httpx2.Client, httpx2.Client]:
        """Make a user; give their clients of both servers."""
        token = self.cli("users", "token", name, "--add").strip().splitlines()[-1].strip()
        return self.client(0, Authorization=f"Bearer {token}"), self.client(1, Authorization=f"Bearer {token}")


def _start(folder: Path, environment: dict[str, str], name: str) -> Server:
    port = free_port()
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "carryall", "serve", "--port", str(port)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Server(f"http://127.0.0.1:{port}", process, log_path)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: Any) -> Iterator[Pair]:
    """Start both at once, on nothing: one of them makes the tables."""
    folder = tmp_path_factory.mktemp("two")
    name = postgres.new_database()
    postgres.run("DROP SCHEMA public CASCADE", database=name)
    postgres.run("CREATE SCHEMA public", database=name)
    environment = {
        **os.environ,
        "AUTH_TOKEN": SERVICE["X-Auth-Token"],
        "CARRYALL_ADMIN_TOKEN": "two-servers-admin-token",
        "CARRYALL_DATA_DIR": str(folder / "data"),
        "CARRYALL_DATABASE_URL": postgres.url(name),
        "CARRYALL_LOG_FORMAT": "json",
        "CARRYALL_USER_TOTAL_MB": "5",
        "CARRYALL_USER_REQUESTS_PER_MINUTE": "40",
    }
    servers = [_start(folder, environment, name) for name in ("a", "b")]
    try:
        for server in servers:
            server.wait_until_ready()
        yield Pair(servers, environment, folder)
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGTERM)
        statuses = [server.process.wait(timeout=40) for server in servers]
    assert [0, 0] == statuses, "".join(server.log_path.read_text() for server in servers)


def test_what_one_takes_the_other_serves(pair: Pair) -> None:
    """A file is there for both as soon as either has answered, and gone for both as soon as either deleted it."""
    with pair.client(0, **SERVICE) as a, pair.client(1, **SERVICE) as b:
        for number in range(10):
            data = os.urandom(1000 + number)
            taker, other = (a, b) if number % 2 else (b, a)
            made = taker.post("/v1/files", params={"filename": f"{number}.bin"}, content=data).json()
            read = other.get(f"/v1/files/{made['id']}/content")
            assert (200, data) == (read.status_code, read.content)
            assert 204 == other.delete(f"/v1/files/{made['id']}").status_code
            assert 404 == taker.get(f"/v1/files/{made['id']}").status_code


def test_an_upload_goes_on_anywhere(pair: Pair) -> None:
    """A tus upload that begins at A goes on at B and ends at A, byte-identical."""
    data = os.urandom(3 * MIB + 1)
    with pair.client(0, **SERVICE) as a, pair.client(1, **SERVICE) as b:
        begun = a.post("/files/", headers={**TUS, "Upload-Length": str(len(data))})
        path = httpx2.URL(begun.headers["Location"]).path
        offset = 0
        for client, end in ((a, MIB), (b, 2 * MIB + 7), (a, len(data))):
            answer = client.patch(path, headers={**BYTES, "Upload-Offset": str(offset)}, content=data[offset:end])
            assert (204, str(end)) == (answer.status_code, answer.headers["Upload-Offset"]), answer.text
            offset = end
            assert str(end) == (b if client is a else a).head(path, headers=TUS).headers["Upload-Offset"]

        assert [data, data] == [client.get(path).content for client in (a, b)]


def test_a_rival_at_the_other_server_gets_the_upload(pair: Pair) -> None:
    """A stalled request at A leaves when B continues the upload, and what A had is kept."""
    data = os.urandom(2 * MIB)
    with pair.client(0, **SERVICE) as a, pair.client(1, **SERVICE) as b:
        begun = a.post("/files/", headers={**TUS, "Upload-Length": str(len(data))})
        path = httpx2.URL(begun.headers["Location"]).path
        host, port = pair.servers[0].url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as stalled:
            head = {**SERVICE, **BYTES, "Host": host, "Upload-Offset": "0", "Content-Length": str(len(data))}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            stalled.sendall(f"PATCH {path} HTTP/1.1\r\n{lines}\r\n".encode() + data[:MIB])
            deadline = time.monotonic() + 20
            offset = 0
            while not offset and time.monotonic() < deadline:  # a HEAD asks nobody to leave: it waits for a checkpoint
                offset = int(b.head(path, headers=TUS).headers["Upload-Offset"])
            answer = b.patch(path, headers={**BYTES, "Upload-Offset": str(offset)}, content=data[offset:])
            assert 204 == answer.status_code, answer.text

        assert data == a.get(path).content


def test_the_quota_is_shared(pair: Pair) -> None:
    """Of uploads that come to both at once as many fit as there is room for, to the byte (threat 14)."""
    a, b = pair.new_user("greedy")
    with a, b, concurrent.futures.ThreadPoolExecutor(8) as pool:
        sending = [pool.submit((a, b)[n % 2].post, "/v1/files", content=bytes(MIB)) for n in range(12)]
        statuses = [sent.result().status_code for sent in sending]
        usage = b.get("/v1/me").json()["usage"]

    assert 5 == statuses.count(201)
    assert {201, 413, 507, 403} >= set(statuses)
    assert (5 * MIB, 0) == (usage["stored_bytes"], usage["reserved_bytes"])


def test_the_rate_is_shared(pair: Pair) -> None:
    """Requests at both count together; who came too often is told when to come again (threat 14)."""
    a, b = pair.new_user("hasty")
    with a, b, concurrent.futures.ThreadPoolExecutor(8) as pool:
        asking = [pool.submit((a, b)[n % 2].get, "/v1/me") for n in range(60)]
        answers = [asked.result() for asked in asking]

    assert 40 == [answer.status_code for answer in answers].count(200)
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in answers if answer.status_code == 429)


def test_the_command_line_works_beside_them(pair: Pair) -> None:
    """Every command uses the same database; no password of it is shown."""
    pair.cli("migrate")
    pair.cli("doctor")
    assert "alice" in pair.cli("users", "token", "alice", "--add") + pair.cli("users", "ls")
    shown = pair.cli("settings")
    assert "CARRYALL_DATABASE_URL" in shown
    assert "postgresql://" not in shown


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("mysql://user:secret-horse@host/db", 2, "it must look like postgresql://"),
        ("postgresql://user:secret/horse@host/db", 2, "it must look like postgresql://"),
        ("postgresql://user:secret-horse@127.0.0.1:1/db", 1, "PostgreSQL can't be reached"),
        ("postgresql://postgres@/nothing?host={host}", 1, "PostgreSQL has no database of the name"),
    ],
)
def test_a_wrong_address_is_one_sentence(tmp_path: Path, postgres: Any, url: str, status: int, said: str) -> None:
    """Whatever is wrong with CARRYALL_DATABASE_URL, it is said once, without traceback and password."""
    given = url.replace("{host}", str(postgres.data))
    done = subprocess.run(
        [sys.executable, "-m", "carryall", "migrate"],
        env={**os.environ, "CARRYALL_DATA_DIR": str(tmp_path / "data"), "CARRYALL_DATABASE_URL": given},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    printed = done.stdout.decode() + done.stderr.decode()

    assert (status, True) == (done.returncode, said in printed), printed
    assert "Traceback" not in printed
    assert "horse" not in printed
