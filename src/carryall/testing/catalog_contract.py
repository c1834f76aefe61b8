"""What every catalog must do: subclass CatalogContract, say how to make one, and pass."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from carryall.model.account import User
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_accounts_contract import LinkRules, UsageRules, UserRules
from carryall.testing.catalog_copies_contract import CopyRules
from carryall.testing.catalog_errands_contract import ErrandRules
from carryall.testing.catalog_files_contract import FileRules
from carryall.testing.catalog_leases_contract import LeaseRules
from carryall.testing.catalog_shared_contract import SharedRules
from carryall.testing.catalog_uploads_contract import UploadRules
from carryall.testing.catalog_work_contract import EventRules, JobRules
from carryall.testing.fakes import MORNING
from carryall.testing.gates import Gate, ThreadGate

_PATIENCE_S = 10


class _Wrong(Exception):
    """What a verb raises inside a transaction."""


def _add(name: str, *, fails: bool = False, at: Gate | None = None) -> Callable[[Tx], str]:
    """Give work that adds a user, waits at a gate, and fails when it is told to."""

    def work(tx: Tx) -> str:
        tx.users.add(User(name, MORNING))
        if at is not None:
            at.wait()
        if fails:
            raise _Wrong(name)
        return name

    return work


async def names(catalog: Catalog) -> list[str]:
    """List the users."""
    return [user.name for user in await catalog.read(lambda tx: tx.users.all())]


class TransactionRules:
    """What is true of transactions."""

    gate: type[Gate] = ThreadGate
    """Where a transaction of the catalog can be made to wait."""

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
        gate = self.gate()
        blocking = asyncio.ensure_future(catalog.write(_add("0", at=gate)))
        await gate.is_reached()
        numbers = range(1, 40)
        waiting = [asyncio.ensure_future(catalog.write(_add(str(n), fails=n % 3 == 0))) for n in numbers]
        await asyncio.sleep(0)
        gate.open()

        results = await asyncio.gather(*waiting, return_exceptions=True)
        await blocking

        assert [str(n) if n % 3 else _Wrong for n in numbers] == [
            type(result) if isinstance(result, BaseException) else result for result in results
        ]
        assert {"0", *(str(n) for n in numbers if n % 3)} == set(await names(catalog))

    async def test_a_broken_rule_of_the_database_undoes_nobody_elses_work(self, catalog: Catalog) -> None:
        """The same where the database itself refuses, because a name is taken."""
        gate = self.gate()
        blocking = asyncio.ensure_future(catalog.write(_add("taken", at=gate)))
        await gate.is_reached()
        waiting = [asyncio.ensure_future(catalog.write(_add(name))) for name in ("one", "taken", "two", "one")]
        await asyncio.sleep(0)
        gate.open()

        results = await asyncio.gather(*waiting, return_exceptions=True)
        await blocking

        first, taken, two, again = [isinstance(result, BaseException) for result in results]
        assert (True, False) == (taken, two)
        assert first != again
        assert ["one", "taken", "two"] == await names(catalog)

    async def test_nobody_sees_what_isnt_committed(self, catalog: Catalog) -> None:
        """A read beside a transaction sees what was there before it."""
        await catalog.write(_add("before"))
        gate = self.gate()
        writing = asyncio.ensure_future(catalog.write(_add("during", at=gate)))
        await gate.is_reached()

        assert ["before"] == await names(catalog)

        gate.open()
        await writing
        assert ["before", "during"] == await names(catalog)

    async def test_a_read_is_a_snapshot(self, catalog: Catalog) -> None:
        """What one read function sees doesn't change while it looks."""
        gate = self.gate()

        def look_twice(tx: Tx) -> tuple[int, int]:
            first = len(tx.users.all())
            gate.wait()
            return first, len(tx.users.all())

        reading = asyncio.ensure_future(catalog.read(look_twice))
        await gate.is_reached()
        await catalog.write(_add("meanwhile"))
        gate.open()

        assert (0, 0) == await reading

    async def test_reads_dont_write(self, catalog: Catalog) -> None:
        """Writing in a read is an error and changes nothing."""
        with pytest.raises(Exception):  # noqa: B017, PT011  # a mistake of ours: any error will do
            await catalog.read(_add("alice"))

        assert [] == await names(catalog)

    async def test_cancelling_doesnt_undo(self, catalog: Catalog) -> None:
        """A transaction that has begun is committed, although nobody waits for it any more."""
        gate = self.gate()
        writing = asyncio.ensure_future(catalog.write(_add("alice", at=gate)))
        await gate.is_reached()
        writing.cancel()
        await asyncio.wait([writing])
        gate.open()

        await catalog.write(_add("bob"))
        async with asyncio.timeout(_PATIENCE_S):
            while await names(catalog) != ["alice", "bob"]:  # noqa: ASYNC110  # nobody tells when it is committed
                await asyncio.sleep(0.01)


class CatalogContract(
    TransactionRules,
    UploadRules,
    LeaseRules,
    FileRules,
    CopyRules,
    UserRules,
    UsageRules,
    LinkRules,
    ErrandRules,
    JobRules,
    EventRules,
    SharedRules,
):
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

    @pytest.fixture
    async def catalogs(self, tmp_path: Path) -> AsyncIterator[Sequence[Catalog]]:
        """Give the same catalog as two processes open it."""
        opened = asynccontextmanager(self.make_catalog)
        async with opened(tmp_path) as one, opened(tmp_path) as other:
            yield one, other

    async def test_what_was_committed_is_there_after_a_restart(self, tmp_path: Path) -> None:
        """A new process finds what the one before committed."""
        opened = asynccontextmanager(self.make_catalog)
        async with opened(tmp_path) as catalog:
            await catalog.write(_add("alice"))

        async with opened(tmp_path) as catalog:
            assert ["alice"] == await names(catalog)
