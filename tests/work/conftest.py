"""A queue on a real catalog, with a clock that is moved."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.sqlite import SqliteCatalog
from carryall.leases.process import ProcessLeases
from carryall.operations.queue import Queue
from carryall.testing.fakes import ManualClock


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
