"""A queue on a real catalog, with a clock that is moved."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.work.steps import Run, nothing

from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.sqlite import SqliteCatalog
from carryall.leases.process import ProcessLeases
from carryall.operations.jobs import Bell
from carryall.operations.queue import Queue
from carryall.testing.fakes import CollectingTelemetry, ManualClock
from carryall.work.runner import Runner, Verbs
from carryall.work.schedule import PERIODIC


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    """Give an empty catalog."""
    migrate_sqlite(tmp_path / "catalog.db")
    made = SqliteCatalog(tmp_path / "catalog.db", is_durable=False)
    made.start()
    yield made
    made.close()


@pytest.fixture
def queue(catalog: SqliteCatalog, clock: ManualClock) -> Queue:
    """Give a queue; of the world it needs the catalog, the clock and the process's name alone."""
    return Queue(SimpleNamespace(catalog=catalog, clock=clock, leases=ProcessLeases("here")))  # type: ignore[arg-type]


@pytest.fixture
def bell() -> Bell:
    """Give a bell."""
    return Bell()


@pytest.fixture
def telemetry() -> CollectingTelemetry:
    """Give telemetry that remembers."""
    return CollectingTelemetry()


@pytest.fixture
def make(queue: Queue, bell: Bell, telemetry: CollectingTelemetry) -> Run:
    """Make a runner with these verbs, by kind; expire and sweep do nothing unless they are given."""

    def made(verbs: Verbs | None = None, *, lanes: int = 4, **which: Any) -> Runner:
        idle = {periodic.kind: nothing for periodic in PERIODIC}
        return Runner(queue, {**idle, **(verbs or {})}, bell, telemetry, lanes=lanes, **which)

    return made
