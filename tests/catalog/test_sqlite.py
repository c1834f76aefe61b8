"""The catalog on SQLite."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from carryall.catalog.sqlite import SqliteCatalog
from carryall.model.account import User
from carryall.model.errors import NoRoom, Unavailable
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_contract import CatalogContract
from carryall.testing.fakes import MORNING


class TestSqliteCatalog(CatalogContract):
    """SQLite keeps the contract."""

    @pytest.fixture(autouse=True)
    def template(self, migrated: Path) -> None:
        """Remember where an empty database is."""
        self.migrated = migrated

    async def make_catalog(self, tmp_path: Path) -> AsyncIterator[Catalog]:
        """Give the catalog in a file."""
        path = tmp_path / "catalog.db"
        if not path.exists():
            shutil.copy(self.migrated, path)
        catalog = SqliteCatalog(path)
        catalog.start()
        yield catalog
        catalog.close()


@pytest.fixture
def path(migrated: Path, tmp_path: Path) -> Path:
    """Give an empty database."""
    return Path(shutil.copy(migrated, tmp_path / "catalog.db"))


@pytest.fixture
async def catalog(path: Path) -> AsyncIterator[SqliteCatalog]:
    """Give an empty catalog."""
    made = SqliteCatalog(path)
    made.start()
    yield made
    made.close()


def add(name: str) -> Callable[[Tx], None]:
    """Give work that adds a user."""
    return lambda tx: tx.users.add(User(name, MORNING))


async def test_transactions_share_commits(catalog: SqliteCatalog) -> None:
    """What gathers while a commit waits for the disk is committed together."""
    commits: list[int] = []
    event.listen(catalog._writing, "commit", lambda _: commits.append(1))

    await asyncio.gather(*(catalog.write(add(f"user{number}")) for number in range(60)))

    assert len(commits) < 20
    assert 60 == len(await catalog.read(lambda tx: tx.users.all()))


async def test_a_cancelled_order_is_not_begun(catalog: SqliteCatalog) -> None:
    """Who gives up before the transaction begins gets none, and those beside get theirs."""
    entered, may_end = threading.Event(), threading.Event()

    def block(_: Tx) -> None:
        entered.set()
        may_end.wait(10)

    blocking = asyncio.ensure_future(catalog.write(block))
    await asyncio.to_thread(entered.wait, 10)
    tasks = [asyncio.ensure_future(catalog.write(add(f"user{number}"))) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    may_end.set()
    await asyncio.gather(blocking, tasks[0], tasks[2], tasks[3])

    assert ["user0", "user2", "user3"] == [user.name for user in await catalog.read(lambda tx: tx.users.all())]


@pytest.mark.parametrize("company", [1, 30])
async def test_a_full_disk_is_no_room(path: Path, company: int) -> None:
    """A database that can't grow says so to everybody in the commit, keeps nothing of it, and goes on afterwards."""
    catalog = SqliteCatalog(path)
    room = event.listens_for(catalog._writing, "connect")(
        lambda connection, _: connection.execute(f"PRAGMA max_page_count = {path.stat().st_size // 4096}")
    )
    catalog.start()
    try:
        results = await asyncio.gather(
            *(catalog.write(add(f"{number}" * 100_000)) for number in range(company)), return_exceptions=True
        )
        assert [NoRoom] * company == [type(result) for result in results]
        assert [] == list(await catalog.read(lambda tx: tx.users.all()))

        event.remove(catalog._writing, "connect", room)
        catalog._writing.dispose()  # the next connection has room again
        await catalog.write(add("alice"))
        assert ["alice"] == [user.name for user in await catalog.read(lambda tx: tx.users.all())]
    finally:
        catalog.close()


async def test_a_value_that_doesnt_fit_is_its_own_error(catalog: SqliteCatalog) -> None:
    """A number beyond 64 bits, or half a character, breaks its own transaction and nobody else's."""
    wrong = [
        lambda tx: tx.usages.reserve("alice", 1 << 70, total_bytes=None),
        add("\ud800"),
    ]

    results = await asyncio.gather(
        *(catalog.write(work) for work in (add("one"), *wrong, add("two"))), return_exceptions=True
    )

    assert [False, True, True, False] == [isinstance(result, Exception) for result in results]
    assert ["one", "two"] == [user.name for user in await catalog.read(lambda tx: tx.users.all())]


@pytest.mark.parametrize("company", [0, 5])
@pytest.mark.parametrize("breakage", ["ROLLBACK", "COMMIT"])
async def test_the_writer_survives_everything(catalog: SqliteCatalog, company: int, breakage: str) -> None:
    """Whatever happens to a commit, everybody in it gets an answer, and the next one succeeds."""

    def broken(tx: Tx) -> None:
        tx.users._connection.exec_driver_sql(breakage)  # type: ignore[attr-defined]
        raise ZeroDivisionError

    entered = threading.Event()
    blocking = asyncio.ensure_future(catalog.write(lambda _: entered.wait(10)))
    orders = [asyncio.ensure_future(catalog.write(work)) for work in (broken, *[add("alice")] * company)]
    entered.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(blocking, *orders, return_exceptions=True)
        await catalog.write(add("bob"))

    assert isinstance(results[1], Exception)
    assert "bob" in [user.name for user in await catalog.read(lambda tx: tx.users.all())]


async def test_closing_finishes_what_was_ordered(path: Path) -> None:
    """Orders that came before the end are carried out; a catalog that is closed says so, and keeps nobody waiting."""
    catalog = SqliteCatalog(path)
    catalog.start()
    orders = [asyncio.ensure_future(catalog.write(add(f"user{number}"))) for number in range(100)]
    await asyncio.sleep(0)
    await asyncio.to_thread(catalog.close)
    await asyncio.gather(*orders)

    with pytest.raises(Unavailable):
        async with asyncio.timeout(5):
            await catalog.write(add("late"))
    with pytest.raises(Unavailable):
        await catalog.read(lambda tx: tx.users.all())


async def test_a_database_that_isnt_there_is_unavailable(tmp_path: Path) -> None:
    """A catalog whose tables were never made says that it can't be used, without SQL in the text (threat 25)."""
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    catalog.start()
    try:
        for order in (catalog.write(add("alice")), catalog.read(lambda tx: tx.users.all())):
            with pytest.raises(Unavailable) as raised:
                await order
            assert "users" not in raised.value.message
    finally:
        catalog.close()


@pytest.mark.parametrize(("is_durable", "synchronous"), [(True, 2), (False, 1)])
def test_commits_wait_for_the_disk(path: Path, is_durable: bool, synchronous: int) -> None:  # noqa: FBT001
    """WAL with synchronous=FULL unless the operator trades durability for speed; rows can't point at nothing."""
    catalog = SqliteCatalog(path, is_durable=is_durable)
    with catalog._writing.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    catalog.close()

    assert ["wal", synchronous, 1] == found
