"""Thousands of uploads that nobody continues: cheap, quick to start with, and gone in time (faults 18 and 19)."""

import asyncio
import signal
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.wire.clock import MovedClock
from tests.wire.crowd import ask, many, memory_bytes, watched
from tests.wire.speakers import STREAM, eventually
from tests.wire.speakers import ask as asked

MIB = 1 << 20
READY_S = 10
BESIDE_S = 2
EXPIRY = timedelta(hours=120)
FIRST = b"the first bytes of many"


@dataclass
class Crowd:
    """A server with uploads that were left behind, and how it was with the first and the last of them."""

    server: Any
    clock: MovedClock
    count: int
    who: dict[str, str]
    first_s: float = 0.0
    last_s: float = 0.0
    grown_bytes: int = 0

    def usage(self) -> dict[str, int]:
        """Give what the user holds."""
        return dict(asked(self.server.port, "GET", "/v1/me", self.who).json()["usage"])

    def staged(self) -> int:
        """Count the staged files."""
        return sum(1 for _ in (self.server.data_dir / "staging").glob("*/*"))

    def catalog(self, statement: str) -> None:
        """Change the catalog of the stopped server."""
        with closing(sqlite3.connect(self.server.data_dir / "catalog.db")) as database, database:
            database.execute(statement)


async def abandon(crowd: Crowd, number: int) -> float:
    """Begin an upload, send a little of it and go away; give how long that took."""
    spoken = {"Tus-Resumable": "1.0.0", "Content-Type": STREAM, "Upload-Length": "1000"}
    headers = {**crowd.who, **spoken, "Content-Length": str(len(FIRST))}
    began = time.monotonic()
    status, _, _ = await ask(crowd.server.port, "POST", "/files/", headers, [FIRST])
    assert status == 201, (number, status)
    return time.monotonic() - began


@pytest.fixture(scope="module", params=[600, pytest.param(10_000, marks=pytest.mark.long)])
def crowd(
    request: pytest.FixtureRequest,
    make_module_server: Callable[..., Any],
    require_program: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Crowd:
    """That many uploads on one server, by a user who may."""
    clock = MovedClock(require_program("faketime"), tmp_path_factory.mktemp("clock"))
    server = make_module_server(CARRYALL_MAX_OPEN_UPLOADS="1000000", **clock.environment)
    made = Crowd(server, clock, request.param, server.bearer(server.jwt("leaver", exp=2**33)))
    before = memory_bytes(server.process.pid)
    took = asyncio.run(many(made.count, lambda number: abandon(made, number), at_once=4))
    made.first_s, made.last_s = (statistics.median(some) for some in (took[20:220], took[-200:]))
    made.grown_bytes = memory_bytes(server.process.pid) - before
    return made


@pytest.mark.timeout(300)
def test_each_costs_as_little_as_the_first(crowd: Crowd) -> None:
    """The time for one doesn't grow with their number (5 times at most), nor the memory (200 MB at most)."""
    print(f"{crowd.count} uploads: {crowd.first_s * 1000:.1f} ms, then {crowd.last_s * 1000:.1f} ms each")
    print(f"memory: +{crowd.grown_bytes / MIB:.0f} MiB")

    assert crowd.count == crowd.usage()["open_uploads"]
    assert crowd.last_s < 5 * crowd.first_s
    assert crowd.grown_bytes < 200_000_000


def test_lists_and_uploads_go_on_beside_them(crowd: Crowd) -> None:
    """A list and an upload of the same user, and of another one, take less than 2 s."""
    began = time.monotonic()
    for who in (crowd.who, crowd.server.bearer(crowd.server.jwt("other"))):
        with crowd.server.client(headers=who) as client:
            assert client.get("/v1/files").status_code == 200
            assert client.post("/v1/files?filename=a", content=b"a").status_code == 201
    assert time.monotonic() - began < BESIDE_S


async def _beside(crowd: Crowd, done: Callable[[], bool], within_s: float) -> float:
    """Wait until it is done, while small requests are answered; give how long it took."""
    async with watched(crowd.server, "/v1/files", crowd.who) as seen:
        began = time.monotonic()
        while not await asyncio.to_thread(done):
            assert time.monotonic() - began < within_s, crowd.usage()
            await asyncio.sleep(0.05)
    assert max(seen.waits_s) <= BESIDE_S, seen.waits_s
    return time.monotonic() - began


@pytest.mark.timeout(240)
def test_a_restart_is_quick(crowd: Crowd) -> None:
    """Ready within 10 s after kill -9; what nobody can resume is cleared behind the start, and the rest is as it was.

    A third of them are made one-shot uploads in the catalog: so many at once can't be cut in the middle.
    """
    crowd.server.stop(signal.SIGKILL)
    crowd.catalog("UPDATE uploads SET is_resumable = 0 WHERE rowid % 3 = 0")
    began = time.monotonic()
    crowd.server.start_again()
    took_s = time.monotonic() - began
    left = crowd.count - crowd.count // 3
    cleared_s = asyncio.run(_beside(crowd, lambda: crowd.usage()["open_uploads"] == left, 60))
    print(f"restart with {crowd.count} open uploads: {took_s:.1f} s, one-shot ones gone {cleared_s:.1f} s later")

    assert took_s <= READY_S
    assert eventually(lambda: crowd.staged() == left, 20)
    assert 1000 * left == crowd.usage()["reserved_bytes"]


@pytest.mark.timeout(240)
def test_all_go_when_their_time_is_up(crowd: Crowd) -> None:
    """At their deadline all are swept within a minute; not one request beside it is missed or slow."""
    left = crowd.count - crowd.count // 3
    crowd.clock.set(EXPIRY - timedelta(hours=1))
    assert left == crowd.usage()["open_uploads"]
    crowd.clock.set(EXPIRY + timedelta(minutes=10))
    took_s = asyncio.run(_beside(crowd, lambda: crowd.usage()["open_uploads"] == 0, 60))
    print(f"{left} uploads swept in {took_s:.1f} s")

    assert eventually(lambda: crowd.staged() == 0, 20)
    assert 0 == crowd.usage()["reserved_bytes"]
