"""What every catalog must do: subclass CatalogContract, say how to make one, and pass."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from carryall.model.account import User
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_accounts_contract import LinkRules, UsageRules, UserRules
from carryall.testing.catalog_files_contract import FileRules
from carryall.testing.catalog_uploads_contract import UploadRules
from carryall.testing.catalog_work_contract import EventRules, JobRules
from carryall.testing.fakes import MORNING

_PATIENCE_S = 10


class _Wrong(Exception):
    """What a verb raises inside a transaction."""


def _add(name: str, *, fails: bool = False) -> "_Work":
    return _Work(name, fails=fails)


class _Work:
    """Adds a user, and fails or waits when it is told to."""

    def __init__(self, name: str, *, fails: bool = False, waits: bool = False) -> None:
        self.entered, self.may_end = threading.Event(), threading.Event()
        self._name = name
        self._fails = fails
        if not waits:
            self.may_end.set()

    def __call__(self, tx: Tx) -> str:
        tx.users.add(User(self._name, MORNING))
        self.entered.set()
        assert self.may_end.wait(_PATIENCE_S)
        if self._fails:
            raise _Wrong(self._name)
        return self._name

    async def is_under_way(self) -> None:
        """Wait until the transaction has begun and written."""
        assert await asyncio.to_thread(self.entered.wait, _PATIENCE_S)


async def names(catalog: Catalog) -> list[str]:
    """List the users."""
    return [user.name for user in await catalog.read(lambda tx: tx.users.all())]


class TransactionRules:
    """What is true of transactions."""

    async def test_what_is_written_is_read(self, catalog: Catalog) -> None:
        """After write returns, every read sees it."""
        for number in range(20):
            await catalog.write(_add(f"{number:02}"))
            assert number + 1 == len(await names(catalog))

    async def test_a_transaction_that_fails_leaves_nothing(self, catalog: Catalog) -> None:
        """The error comes back as it is, and nothing of the transaction is kept."""
        with pytest.raises(_Wrong, match="alice"):
            await catalog.write(_add("alice", fails=True))

        assert [] == await names(catalog)

    async def test_a_failure_undoes_nobody_elses_work(self, catalog: Catalog) -> None:
        """Of transactions that share a commit, those that fail are alone in that."""
        blocker = _Work("0", waits=True)
        blocking = asyncio.ensure_future(catalog.write(blocker))
        await blocker.is_under_way()
        numbers = range(1, 40)
        waiting = [asyncio.ensure_future(catalog.write(_add(str(n), fails=n % 3 == 0))) for n in numbers]
        await asyncio.sleep(0)
        blocker.may_end.set()

        results = await asyncio.gather(*waiting, return_exceptions=True)
        await blocking

        assert [str(n) if n % 3 else _Wrong for n in numbers] == [
            type(result) if isinstance(result, BaseException) else result for result in results
        ]
        assert {"0", *(str(n) for n in numbers if n % 3)} == set(await names(catalog))

    async def test_a_broken_rule_of_the_database_undoes_nobody_elses_work(self, catalog: Catalog) -> None:
        """The same where the database itself refuses, because a name is taken."""
        blocker = _Work("taken", waits=True)
        blocking = asyncio.ensure_future(catalog.write(blocker))
        await blocker.is_under_way()
        waiting = [asyncio.ensure_future(catalog.write(_add(name))) for name in ("one", "taken", "two", "one")]
        await asyncio.sleep(0)
        blocker.may_end.set()

        results = await asyncio.gather(*waiting, return_exceptions=True)
        await blocking

        assert [False, True, False, True] == [isinstance(result, BaseException) for result in results]
        assert ["one", "taken", "two"] == await names(catalog)

    async def test_nobody_sees_what_isnt_committed(self, catalog: Catalog) -> None:
        """A read beside a transaction sees what was there before it."""
        await catalog.write(_add("before"))
        work = _Work("during", waits=True)
        writing = asyncio.ensure_future(catalog.write(work))
        await work.is_under_way()

        assert ["before"] == await names(catalog)

        work.may_end.set()
        await writing
        assert ["before", "during"] == await names(catalog)

    async def test_a_read_is_a_snapshot(self, catalog: Catalog) -> None:
        """What one read function sees doesn't change while it looks."""
        entered, may_end = threading.Event(), threading.Event()

        def look_twice(tx: Tx) -> tuple[int, int]:
            first = len(tx.users.all())
            entered.set()
            assert may_end.wait(_PATIENCE_S)
            return first, len(tx.users.all())

        reading = asyncio.ensure_future(catalog.read(look_twice))
        assert await asyncio.to_thread(entered.wait, _PATIENCE_S)
        await catalog.write(_add("meanwhile"))
        may_end.set()

        assert (0, 0) == await reading

    async def test_reads_dont_write(self, catalog: Catalog) -> None:
        """Writing in a read is an error and changes nothing."""
        with pytest.raises(Exception):  # noqa: B017, PT011  # a mistake of ours: any error will do
            await catalog.read(_add("alice"))

        assert [] == await names(catalog)

    async def test_cancelling_doesnt_undo(self, catalog: Catalog) -> None:
        """A transaction that has begun is committed, although nobody waits for it any more."""
        work = _Work("alice", waits=True)
        writing = asyncio.ensure_future(catalog.write(work))
        await work.is_under_way()
        writing.cancel()
        await asyncio.wait([writing])
        work.may_end.set()

        await catalog.write(_add("bob"))

        assert ["alice", "bob"] == await names(catalog)


class CatalogContract(TransactionRules, UploadRules, FileRules, UserRules, UsageRules, LinkRules, JobRules, EventRules):
    """The contract of `ports.catalog.Catalog`. Needs pytest-asyncio with `asyncio_mode = "auto"`.

    class TestMyCatalog(CatalogContract):
        async def make_catalog(self, tmp_path):
            catalog = MyCatalog(tmp_path / "my.db")
            yield catalog
            catalog.close()
    """

    def make_catalog(self, tmp_path: Path) -> AsyncIterator[Catalog]:
        """Give a catalog, then take it down; called again with the same path, give the same one. Yields once."""
        raise NotImplementedError

    @pytest.fixture
    async def catalog(self, tmp_path: Path) -> AsyncIterator[Catalog]:
        """Give the catalog under test, empty."""
        async with asynccontextmanager(self.make_catalog)(tmp_path) as made:
            yield made

    async def test_what_was_committed_is_there_after_a_restart(self, tmp_path: Path) -> None:
        """A new process finds what the one before committed."""
        opened = asynccontextmanager(self.make_catalog)
        async with opened(tmp_path) as catalog:
            await catalog.write(_add("alice"))

        async with opened(tmp_path) as catalog:
            assert ["alice"] == await names(catalog)
