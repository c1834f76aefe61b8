"""Several processes start on a new folder at once, on a disk that takes its time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.faults.conftest import Disk

from carryall.catalog.sqlite import sqlite_engine

_AT_ONCE = 3


def _open_new(path: Path, together: threading.Barrier) -> None:
    engine = sqlite_engine(path, begin="BEGIN IMMEDIATE", pragmas=())
    together.wait()
    try:
        with closing(engine.connect()) as connection, connection.begin():
            pass
    finally:
        engine.dispose()


def test_a_new_catalog_is_opened_by_many_at_once(disk: Disk) -> None:
    """Each wants it alone to begin its log; SQLite lets nobody wait for that, so we do. It was "database is locked"."""
    together = threading.Barrier(_AT_ONCE)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for number in range(10):
            path = disk.folder / f"{number}.db"
            opened = [threads.submit(_open_new, path, together) for _ in range(_AT_ONCE)]
            assert [None] * _AT_ONCE == [one.result() for one in opened]
