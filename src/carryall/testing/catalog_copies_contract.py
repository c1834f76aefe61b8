"""What every catalog must remember of copies, across files; part of CatalogContract."""

from datetime import timedelta
from typing import Any

from carryall.model.file import Copy, CopyState, File
from carryall.ports.catalog import Catalog, Tx
from carryall.ports.catalog_copies import Amount
from carryall.testing.catalog_files_contract import add_files, numbered
from carryall.testing.fakes import MORNING

HOUR = timedelta(hours=1)
STORED, QUEUED, FAILED, GONE = CopyState.STORED, CopyState.QUEUED, CopyState.FAILED, CopyState.GONE


def with_copies(number: int, *copies: Copy, **changes: Any) -> File:
    """Give one of many files; its id is its number, its size ten times that."""
    values: dict[str, Any] = {"id": f"{number:02}", "size": number * 10, "last_read_at": None, "created_at": MORNING}
    return numbered(number, **values | changes, copies=copies)


class CopyRules:
    """What is remembered of copies."""

    async def test_copies_are_found_by_their_store(self, catalog: Catalog) -> None:
        """However far they are; not those that are only cached; in pages, by the file's id."""
        here, there = Copy("s3", "k", STORED), Copy("far", "k", STORED)
        cached = Copy("s3", "k", STORED, is_cache=True)
        files = [with_copies(n, here if n % 2 else there) for n in range(6)]
        await add_files(catalog, *files, with_copies(6, Copy("s3", "k", QUEUED)), with_copies(7, cached))

        first = await catalog.read(lambda tx: _ids(tx.copies.in_store("s3", limit=3)))
        then = await catalog.read(lambda tx: _ids(tx.copies.in_store("s3", after=first[-1], limit=3)))

        assert (["01", "03", "05"], ["06"]) == (first, then)
        (found,) = await catalog.read(lambda tx: tx.copies.in_store("far", limit=1))
        assert files[0] == found

    async def test_copies_that_nobody_looked_at_are_found(self, catalog: Catalog) -> None:
        """Never, or before a moment; what is gone always, and what is on its way not."""
        checks = {1: None, 2: MORNING, 3: MORNING + HOUR, 4: MORNING - HOUR}
        files = [with_copies(n, Copy("s3", "k", STORED, checked_at=at)) for n, at in checks.items()]
        gone, on_its_way = Copy("s3", "k", GONE, checked_at=MORNING + HOUR), Copy("s3", "k", QUEUED)
        await add_files(catalog, *files, with_copies(5, gone), with_copies(6, on_its_way))

        def due(tx: Tx) -> list[str]:
            return _ids(tx.copies.unchecked("s3", MORNING, limit=9))

        assert ["01", "04", "05"] == await catalog.read(due)
        assert ["04"] == await catalog.read(lambda tx: _ids(tx.copies.unchecked("s3", MORNING, after="01", limit=1)))
        assert [] == await catalog.read(lambda tx: _ids(tx.copies.unchecked("far", MORNING, limit=9)))

    async def test_copies_on_their_way_are_found(self, catalog: Catalog) -> None:
        """Queued, being delivered, or failed and to be tried again."""
        waits = Copy("s3", "k", FAILED, next_try_at=MORNING)
        copies = [Copy("s3", "k", state) for state in CopyState]
        files = [with_copies(n, copy, Copy("far", "k", STORED)) for n, copy in enumerate([*copies, waits])]
        await add_files(catalog, *files)

        found = await catalog.read(lambda tx: tx.copies.under_way(limit=9))

        assert [QUEUED, CopyState.DELIVERING, FAILED] == [copy.state for one in found if (copy := one.copy_in("s3"))]
        assert found[1:] == await catalog.read(lambda tx: tx.copies.under_way(after=found[0].id, limit=2))

    async def test_cached_copies_are_found_as_they_were_read(self, catalog: Catalog) -> None:
        """Those first that nobody read for longest: by the last reading, the file's making, or the copy's return."""
        old = Copy("local", "k", STORED, is_cache=True, stored_at=MORNING)
        back = Copy("local", "k", STORED, is_cache=True, stored_at=MORNING + HOUR * 4)
        files = [
            with_copies(1, old, last_read_at=MORNING + HOUR * 3),
            with_copies(2, old, created_at=MORNING + HOUR),
            with_copies(3, back, last_read_at=MORNING + HOUR),
            with_copies(4, old, created_at=MORNING - HOUR, last_read_at=MORNING + HOUR * 2),
            with_copies(5, Copy("local", "k", QUEUED, is_cache=True)),
            with_copies(6, Copy("local", "k", STORED, stored_at=MORNING)),
            with_copies(7, Copy("local", "k", FAILED, is_cache=True)),
        ]
        await add_files(catalog, *files)

        assert ["02", "04", "01", "03"] == await catalog.read(lambda tx: _ids(tx.copies.cached("local", limit=9)))
        assert ["04", "01"] == await catalog.read(lambda tx: _ids(tx.copies.cached("local", offset=1, limit=2)))
        assert 10 + 20 + 30 + 40 + 50 == await catalog.read(lambda tx: tx.copies.cached_bytes("local"))
        assert 0 == await catalog.read(lambda tx: tx.copies.cached_bytes("s3"))

    async def test_stores_are_counted(self, catalog: Catalog) -> None:
        """Copies and their bytes, however far they are; cached ones aren't counted."""
        both = (Copy("a", "k", STORED), Copy("b", "k", QUEUED))
        await add_files(catalog, with_copies(1, *both), with_copies(2, *both), with_copies(3, both[1]))
        await add_files(catalog, with_copies(4, Copy("a", "k", STORED, is_cache=True)))

        counted = await catalog.read(lambda tx: tx.copies.amounts())

        assert {"a": Amount(2, 30), "b": Amount(3, 60)} == counted


def _ids(files: Any) -> list[str]:
    return [file.id for file in files]
