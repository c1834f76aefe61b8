"""A server under many clients, killed again and again: the clients, who kills, and what is written about it."""

import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from tests.crash import inside, many_requests, one_request
from tests.crash.victim import ADMIN, Victim, bearer
from tests.crash.wire import Kept, Told, Wire

SENDERS: tuple[Callable[[Wire, bytes], Kept], ...] = (
    one_request.by_form,
    one_request.by_put,
    one_request.by_name,
    one_request.by_gallery,
    many_requests.by_tus,
    many_requests.by_tus_at_once,
    many_requests.by_tus_parts,
    many_requests.by_draft,
    many_requests.by_chunks,
    many_requests.by_shuffled_chunks,
)
CLIENTS = 8
_SIZES = (40, 1000, 70_000, 70_000, 300_000, 1_500_000)
_MOST_BYTES = 300 << 20  # on the disk at once
_DELETED = 0.5  # of the files: the campaign is longer than a disk is large


@dataclass
class Report:
    """What came of a campaign."""

    seed: int
    workers: int
    kills: Counter[str] = field(default_factory=Counter)
    restarts_s: list[float] = field(default_factory=list)
    checks: int = 0
    surprises: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # acknowledged, and not as it was
    wrong: list[str] = field(default_factory=list)  # everything else that has to hold

    def of(self, told: Told, seconds: float) -> dict[str, Any]:
        """Give it as JSON has it: sizes in bytes, times in seconds."""
        restarts = self.restarts_s or [0.0]
        return {
            "seed": self.seed,
            "workers": self.workers,
            "clients": CLIENTS,
            "seconds": round(seconds, 1),
            "kills": dict(self.kills),
            "checks": self.checks,
            "files_acknowledged": len(told.kept),
            "bytes_acknowledged": told.size,
            "by_protocol": dict(Counter(kept.door for kept in told.kept.values())),
            "resumed": told.resumed,
            "deleted_or_replaced": len(told.gone),
            "lost": len(self.lost),
            "wrong": len(self.wrong),
            "surprises": len(self.surprises),
            "restart_s": {
                "min": round(min(restarts), 2),
                "median": round(statistics.median(restarts), 2),
                "max": round(max(restarts), 2),
            },
        }


@dataclass
class Campaign:
    """One server, its clients, and the dice that say when it ends."""

    victim: Victim
    seed: int
    told: Told = field(default_factory=Told)
    is_over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin a report."""
        self.report = Report(self.seed, self.victim.workers)
        self._dice = random.Random(self.seed)

    def run(self, *, kills: int, within_s: float) -> dict[str, Any]:
        """Kill so many times, or until the time is over; then let everybody end, and look at everything."""
        began = time.monotonic()
        self.victim.start()
        clients = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            while self.report.kills.total() < kills and time.monotonic() - began < within_s:
                if self.report.surprises or self.report.lost or self.report.wrong:
                    break
                time.sleep(self._dice.uniform(0.05, 1.2))  # the moment of the kill is the experiment
                self._kill()
                self.report.wrong += inside.doctor(self.victim.environment)
                self.report.checks += 1
        finally:
            self.is_over.set()
            for client in clients:
                client.join(timeout=120)
        self._look_at_all()
        return self.report.of(self.told, time.monotonic() - began)

    def _kill(self) -> None:
        """Kill one worker, or all there is and start again; come back when somebody serves."""
        workers = self.victim.worker_pids() if self.victim.workers > 1 else []
        if len(workers) > 1 and self._dice.random() < 0.5:
            self.report.kills["one worker"] += 1
            os.kill(self._dice.choice(workers), signal.SIGKILL)  # who started it starts another one
            self.victim.until_ready()
            return
        self.report.kills["the server"] += 1
        self.victim.kill()
        began = time.monotonic()
        self.victim.start()
        self.report.restarts_s.append(time.monotonic() - began)

    def _client(self, number: int) -> None:
        """Send one file after another by one protocol after another; read and delete some."""
        dice = random.Random(self.seed * 1000 + number)
        # What a client does must not depend on the others: each has its own owner, name and dice.
        with httpx2.Client(base_url=self.victim.url, timeout=30, headers=bearer(f"client{number}")) as http:
            wire = Wire(http, self.told, dice)
            try:
                while not self.is_over.is_set():
                    kept = dice.choice(SENDERS)(wire, dice.randbytes(dice.choice(_SIZES)))
                    kept.owner = number
                    self.told.keeps(kept)
                    self._afterwards(wire, kept)
            except (AssertionError, httpx2.HTTPError, KeyError, ValueError) as error:
                self.report.surprises.append(f"client {number}: {type(error).__name__}: {error}")

    def _afterwards(self, wire: Wire, kept: Kept) -> None:
        if wire.dice.random() < 0.3:
            self._read(wire, kept)
        is_named = kept.digest == wire.under_name
        if kept.file_id and not is_named and (wire.dice.random() < _DELETED or self._held() > _MOST_BYTES):
            self.told.loses(kept.digest, is_sure=False)
            wire.until_answered("DELETE", f"/v1/files/{kept.file_id}", headers=ADMIN, also=(404,))
            self.told.loses(kept.digest, is_sure=True)
            self._read(wire, kept)

    def _held(self) -> int:
        with self.told.lock:
            return sum(kept.size for digest, kept in self.told.kept.items() if digest not in self.told.gone)

    def _read(self, wire: Wire, kept: Kept) -> None:
        """See that a file has its bytes, or is gone when it was deleted."""
        if kept.digest in self.told.gone and kept.file_id:  # links that aren't there may be tried 60 times a minute
            got = wire.until_answered("GET", f"/v1/files/{kept.file_id}/content", headers=ADMIN, also=(404, 410))
        else:
            got = wire.until_answered("GET", kept.read_at, also=(404, 410))
        is_gone = got.status_code in (404, 410)
        if kept.digest in self.told.gone:
            if not is_gone:
                self.report.lost.append(f"{kept.door} {kept.read_at} came back")
        elif is_gone and kept.digest in self.told.unsure:
            return
        elif is_gone or one_request.digest_of(got.content) != kept.digest:
            self.report.lost.append(f"{kept.door} {kept.read_at}: {got.status_code}, {len(got.content)} of {kept.size}")

    def _look_at_all(self) -> None:
        """Read every file that was acknowledged, and compare the catalog with all that was ever sent."""
        for number in range(CLIENTS):
            with httpx2.Client(base_url=self.victim.url, timeout=30, headers=bearer(f"client{number}")) as http:
                wire = Wire(http, self.told, self._dice)
                for kept in [kept for kept in self.told.kept.values() if kept.owner == number]:
                    self._read(wire, kept)
        self.victim.stop()
        view = inside.look(self.victim.environment)
        wrong = self.report.wrong
        wrong += view.wrong
        if self.victim.workers == 1:  # several give up each other's within a minute, when they are sure
            wrong += view.one_shots
        wrong += [f"{file} is what nobody sent" for file, one in view.files.items() if one not in self.told.sent]
        wrong += [f"{file} has {count} events" for file, count in view.stored.items() if count != 1]
        wrong += [f"{file} has no event" for file in view.files if file not in view.stored]
        twice = [one for one, count in view.digests.items() if count > 1 and one not in self.told.twice]
        wrong += [f"{self.told.sent.get(one)} {one} became several files" for one in twice]
        self._look_later()

    def _look_later(self) -> None:
        """See that six days later, when uploads have expired, the files' bytes are on the disk, and no others."""
        view = inside.later(self.victim.environment, timedelta(days=6))
        self.report.wrong += [text for _, text in view.findings]
        data = Path(self.victim.environment["CARRYALL_DATA_DIR"])
        staged, stored = (sum(path.is_file() for path in (data / room).rglob("*")) for room in ("staging", "files"))
        if (staged, stored) != (0, len(view.files)):
            self.report.wrong.append(f"{staged} extents and {stored} stored files, for {len(view.files)} files")
