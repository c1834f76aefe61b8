"""A store is emptied into another one while a server serves reads and takes writes: no failed read, no lost file."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.servers.s3 import S3Server

_READERS = 3
_PAUSE_S = 0.02
_END_S = 120.0


@dataclass
class Traffic:
    """Clients that read, bring and delete files all the time, and what they saw."""

    server: Any
    who: Mapping[str, str]
    files: dict[str, bytes] = field(default_factory=dict)
    reads: int = 0
    brought: int = 0
    deleted: int = 0
    failures: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    is_quiet: threading.Event = field(default_factory=threading.Event)

    def bring(self, client: Any, number: int) -> str:
        """Upload a file of one of several sizes; give its id."""
        size = (0, 100, 10_000, 100_000, 1_500_000)[number % 5 if number % 50 else 4]
        content = number.to_bytes(4, "big") + random.Random(number).randbytes(size if number % 5 < 4 else 1000)
        answer = client.post("/v1/files", content=content, params={"name": f"datei {number} ä.bin"})
        assert answer.status_code == 201, answer.text
        self.files[answer.json()["id"]] = content
        return str(answer.json()["id"])

    def read(self, client: Any, file_id: str, content: bytes) -> None:
        """Read a file, whole or a range of it."""
        start = random.randrange(len(content)) if self.reads % 3 else 0
        headers = {"Range": f"bytes={start}-"} if self.reads % 3 else {}
        answer = client.get(f"/v1/files/{file_id}/content", headers=headers)
        if answer.status_code not in (200, 206) or answer.content != content[start:]:
            self.failures.append(f"{file_id}: {answer.status_code} {answer.content[:200]!r}")
        self.reads += 1

    def _reading(self) -> None:
        with self.server.client(headers=self.who) as client:
            while not self.is_over.is_set():
                file_id, content = random.choice(list(self.files.items()))
                try:
                    self.read(client, file_id, content)
                except OSError as error:
                    self.failures.append(f"{file_id}: {error}")

    def _writing(self) -> None:
        with self.server.client(headers=self.who) as client:
            while not (self.is_over.is_set() or self.is_quiet.is_set()):
                self.bring(client, 100_000 + self.brought)
                self.brought += 1
                short_lived = self.bring(client, 200_000 + self.brought)
                del self.files[short_lived]
                time.sleep(_PAUSE_S)  # so that it is sometimes being moved
                status = client.delete(f"/v1/files/{short_lived}").status_code
                if status not in (200, 204):
                    self.failures.append(f"delete: {status}")
                self.deleted += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let it go on inside the block."""
        threads = [threading.Thread(target=self._reading) for _ in range(_READERS)]
        threads.append(threading.Thread(target=self._writing))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join()


def evacuate(server: Any, *more: str, source: str = "b", to: str = "c") -> subprocess.Popen[str]:
    """Start to empty a store."""
    return subprocess.Popen(
        [sys.executable, "-m", "carryall", "stores", "evacuate", source, "--to", to, "--yes", *more],
        env=dict(server.environment),
        cwd=server.data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for a move that has to succeed; give what it said."""
    said, _ = process.communicate(timeout=600)
    assert 0 == process.returncode, said
    return said


def until(is_true: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + _END_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lying(root: Path) -> int:
    """Count the files below a folder."""
    return sum(path.is_file() for path in root.rglob("*"))


def stores(tmp_path: Path, *names: str) -> dict[str, str]:
    """Give the settings of named local stores."""
    kinds = {f"CARRYALL_STORE_{name.upper()}_KIND": "local" for name in names}
    return kinds | {f"CARRYALL_STORE_{name.upper()}_ROOT": str(tmp_path / name) for name in names}


def filled(server: Any, number: int) -> Traffic:
    """Bring so many files in."""
    traffic = Traffic(server, server.bearer(server.jwt("mover")))
    with server.client(headers=traffic.who) as client:
        for n in range(number):
            traffic.bring(client, n)
    return traffic


def check(traffic: Traffic, where: Path) -> None:
    """Everything is there, nothing was noticed, and after the grace nothing is left where it was."""
    server = traffic.server
    assert [] == traffic.failures[:5]
    assert 0 == server.change_catalog("UPDATE copies SET store = 'b' WHERE store = 'b'")
    server.cli("doctor")
    server.change_catalog("UPDATE jobs SET run_at = 0 WHERE kind = 'erase' AND state = 'queued'")
    until(lambda: 0 == lying(where))
    with server.client(headers=traffic.who) as client:
        digests = {i: hashlib.sha256(client.get(f"/v1/files/{i}/content").content).digest() for i in traffic.files}
    assert {i: hashlib.sha256(content).digest() for i, content in traffic.files.items()} == digests


def moved_under_traffic(server: Any, tmp_path: Path, number: int, *, kills: int = 0) -> None:
    """Empty b into c while clients do what they do; kill the move on its way, so many times."""
    root, to = tmp_path / "b", tmp_path / "c"
    traffic = filled(server, number)
    with traffic.going_on():
        for _ in range(kills):
            moving, before = evacuate(server), lying(to)
            until(lambda count=before: lying(to) > count + number // (kills + 2))  # type: ignore[misc]
            moving.send_signal(signal.SIGKILL)
            moving.communicate()
        process, enough = evacuate(server), traffic.brought + number // 20
        until(lambda: traffic.brought >= enough or process.poll() is not None)
        traffic.is_quiet.set()
        said = ended(process)
        assert "Still going to b: CARRYALL_TARGET" in said
    ended(evacuate(server))  # what came between its last look and now
    assert traffic.reads > number / 4
    assert traffic.brought > 0
    print(f"\n{len(traffic.files)} files, {traffic.reads} reads, {traffic.brought} brought, {traffic.deleted} deleted")
    check(traffic, root)


def test_files_move_under_traffic(make_server: Callable[..., Any], tmp_path: Path) -> None:
    """From a folder to another one, with a kill -9 half-way, beside readers, writers and deleters."""
    server = make_server(CARRYALL_TARGET="b", **stores(tmp_path, "b", "c"))

    moved_under_traffic(server, tmp_path, 100, kills=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_thousand_files_move_under_traffic(make_server: Callable[..., Any], tmp_path: Path) -> None:
    """The same with 1,000 files and three kills."""
    server = make_server(CARRYALL_TARGET="b", **stores(tmp_path, "b", "c"))

    moved_under_traffic(server, tmp_path, 1000, kills=3)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_thousand_files_move_to_s3(make_server: Callable[..., Any], tmp_path: Path) -> None:
    """The same into a real S3 server."""
    with _bucket(tmp_path) as settings:
        server = make_server(CARRYALL_TARGET="b", **stores(tmp_path, "b"), **settings)
        moved_under_traffic(server, tmp_path, 1000)


def test_files_move_to_s3_and_back(make_server: Callable[..., Any], tmp_path: Path) -> None:
    """Into a real S3 server, and out of it again."""
    with _bucket(tmp_path) as settings:
        server = make_server(CARRYALL_TARGET="b", **stores(tmp_path, "b"), **settings)
        traffic = filled(server, 20)
        assert "Moved 20 files" in ended(evacuate(server, "--rate", "50"))
        assert "Moved 20 files" in ended(evacuate(server, source="c", to="b"))
        with server.client(headers=traffic.who) as client:
            for file_id, content in traffic.files.items():
                traffic.read(client, file_id, content)
        assert [] == traffic.failures


@contextmanager
def _bucket(tmp_path: Path) -> Iterator[dict[str, str]]:
    server = S3Server(tmp_path / "s3")
    values = {
        "KIND": "s3",
        "BUCKET": "files",
        "ENDPOINT_URL": server.url,
        "ACCESS_KEY": "test:tester",
        "SECRET_KEY": "testing",
        "REGION": "us-east-1",
        "ADDRESSING": "path",
    }
    try:
        yield {f"CARRYALL_STORE_C_{name}": value for name, value in values.items()}
    finally:
        server.kill()
