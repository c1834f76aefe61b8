"""kill -9 at random moments: what was acknowledged is there whole, the rest is absent or resumable (I1-I7)."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

SERVICE_TOKEN = "crash-tests-service-token"
SERVICE = {"X-Auth-Token": SERVICE_TOKEN}
_UPLOADERS = 4
_LOOKED_AT = 60
_SIZES = (0, 1, 1000, 70_000, 1_500_000, 6_000_000)


@dataclass
class Told:
    """What the clients were told, over all lives of the server."""

    stored: dict[str, tuple[str, int]] = field(default_factory=dict)  # file id -> sha-256 and size
    links: dict[str, str] = field(default_factory=dict)  # file id -> path of its link
    deleted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)  # deletions whose answer was lost
    lock: threading.Lock = field(default_factory=threading.Lock)


class Victim:
    """A server that is killed and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "AUTH_TOKEN": SERVICE_TOKEN,
            "CARRYALL_ADMIN_TOKEN": "crash-tests-admin-token",
            "CARRYALL_DATA_DIR": str(self.data_dir),
            "CARRYALL_LOG_FORMAT": "json",
        }
        self.log_path = folder / "server.log"
        self.start()

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "carryall", "serve", "--port", str(self.port)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx2.get(f"{self.url}/ready", timeout=2).status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log_path.read_text())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def doctor(self) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "carryall", "doctor", "--json"],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout.decode() + done.stderr.decode()


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    server = Victim(tmp_path)
    yield server
    if server.process.poll() is None:
        server.kill()


def _upload_until(url: str, stop: threading.Event, told: Told, seed: int) -> None:
    """Upload and delete one file after another; write down only what was acknowledged."""
    dice = random.Random(seed)
    while not stop.is_set():
        data = dice.randbytes(dice.choice(_SIZES))
        digest = hashlib.sha256(data).hexdigest()
        try:
            with httpx2.Client(base_url=url, timeout=20) as client:
                if dice.random() < 0.5:
                    answer = client.post("/upload", params={"fileName": "raw.bin"}, content=data, headers=SERVICE)
                else:
                    answer = client.post("/upload", files={"file": ("form.bin", data)}, headers=SERVICE)
                if answer.status_code != 200:
                    continue
                body = answer.json()
                with told.lock:
                    told.stored[body["file_id"]] = (digest, len(data))
                    told.links[body["file_id"]] = body["link"].removeprefix(url)
                if dice.random() < 0.2:
                    _delete(client, body["file_id"], told)
        except (httpx2.TransportError, json.JSONDecodeError):
            continue


def _delete(client: httpx2.Client, file_id: str, told: Told) -> None:
    with told.lock:
        told.unsure.add(file_id)
    if client.delete(f"/v1/files/{file_id}", headers=SERVICE).status_code == 204:
        with told.lock:
            told.deleted.add(file_id)


def _check(victim: Victim, told: Told, dice: random.Random) -> None:
    newest = list(told.stored)[-_LOOKED_AT:]  # all of the last life, and a draw of those before
    older = dice.sample(list(told.stored), min(_LOOKED_AT, len(told.stored)))
    with httpx2.Client(base_url=victim.url, timeout=20) as client:
        for file_id in {*newest, *older}:
            digest, size = told.stored[file_id]
            got = client.get(told.links[file_id])
            if file_id in told.deleted:
                assert 404 == got.status_code, file_id
            elif file_id in told.unsure and got.status_code == 404:
                continue
            else:
                assert (200, size, digest) == (
                    got.status_code,
                    len(got.content),
                    hashlib.sha256(got.content).hexdigest(),
                ), file_id
        usage = client.get("/v1/me", headers=SERVICE).json()["usage"]
        listed = _all_files(client)
    # An upload whose answer was lost may exist, but only whole: what is listed is what is counted.
    assert sum(file["size"] for file in listed) == usage["stored_bytes"]
    assert 0 == usage["reserved_bytes"]
    status, report = victim.doctor()
    assert 0 == status, report


def _all_files(client: httpx2.Client) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    cursor: str | None = None
    while True:
        query = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
        page = client.get("/v1/files", params=query, headers=SERVICE).json()
        found += page["files"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _torment(victim: Victim, rounds: int, seed: int) -> Told:
    dice = random.Random(seed)
    told = Told()
    for number in range(rounds):
        stop = threading.Event()
        uploaders = [
            threading.Thread(target=_upload_until, args=(victim.url, stop, told, seed * 1000 + number * 10 + index))
            for index in range(_UPLOADERS)
        ]
        for uploader in uploaders:
            uploader.start()
        time.sleep(dice.uniform(0.05, 0.8))  # the moment of the kill is the experiment, not a wait for something
        victim.kill()
        stop.set()
        for uploader in uploaders:
            uploader.join(timeout=30)
        victim.start()
        _check(victim, told, dice)
    return told


@pytest.mark.timeout(240)
def test_acknowledged_files_survive_kill_9(victim: Victim) -> None:
    """After each of five kills every acknowledged file is byte-identical and the counters are right."""
    told = _torment(victim, rounds=5, seed=1)

    assert len(told.stored) > 20  # the kills met real work


@pytest.mark.crash_long
@pytest.mark.timeout(3600)
def test_acknowledged_files_survive_200_kills(victim: Victim) -> None:
    """The same at 200 random moments."""
    told = _torment(victim, rounds=200, seed=2)

    assert len(told.stored) > 500
