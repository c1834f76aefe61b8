"""The catalog on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from carryall.catalog.postgres import PostgresCatalog
from carryall.model.account import User
from carryall.model.errors import NoRoom, Unavailable
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_contract import CatalogContract, names
from carryall.testing.fakes import MORNING
from carryall.testing.gates import LoopGate


class TestPostgresCatalog(CatalogContract):
    """PostgreSQL keeps the contract."""

    gate = LoopGate

    @pytest.fixture(autouse=True)
    def server(self, postgres: Any) -> None:
        """Remember where databases are made."""
        self.postgres, self.urls = postgres, dict[Path, str]()

    async def make_catalog(self, tmp_path: Path) -> AsyncIterator[Catalog]:
        """Give the catalog in a database."""
        if tmp_path not in self.urls:
            self.urls[tmp_path] = self.postgres.url(self.postgres.new_database())
        catalog = PostgresCatalog(self.urls[tmp_path])
        catalog.start()
        yield catalog
        await asyncio.to_thread(catalog.close)


@pytest.fixture
async def catalog(postgres: Any) -> AsyncIterator[PostgresCatalog]:
    """Give an empty catalog."""
    made = PostgresCatalog(postgres.url(postgres.new_database()))
    made.start()
    yield made
    await asyncio.to_thread(made.close)


def add(name: str) -> Callable[[Tx], None]:
    """Give work that adds a user."""
    return lambda tx: tx.users.add(User(name, MORNING))


def run(tx: Tx, statement: str) -> Any:
    """Run a statement of the test's own in a transaction."""
    return tx.users._connection.execute(text(statement))  # type: ignore[attr-defined]


async def test_who_was_in_the_way_is_seen_the_second_time(catalog: PostgresCatalog) -> None:
    """Two who both find a name free: the second runs again, finds it taken, and says so."""
    gates, runs = [LoopGate(), LoopGate()], [0, 0]

    def take(tx: Tx, who: int) -> bool:
        runs[who] += 1
        if tx.users.get("alice") is not None:
            return False
        gates[who].wait()
        tx.users.add(User("alice", MORNING))
        return True

    both = [asyncio.ensure_future(catalog.write(lambda tx, who=who: take(tx, who))) for who in (0, 1)]  # type: ignore[misc]
    for gate in gates:
        await gate.is_reached()
    gates[0].open()
    assert await both[0]
    gates[1].open()

    assert not await both[1]
    assert [1, 2] == runs


async def test_a_name_that_stays_taken_is_an_error(catalog: PostgresCatalog) -> None:
    """Work that doesn't look before it writes isn't run for ever."""
    runs = 0

    def blind(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        add("alice")(tx)

    await catalog.write(blind)
    with pytest.raises(Unavailable) as raised:
        await catalog.write(blind)

    assert ("catalog_failed", 4) == (raised.value.stable_code, runs)
    assert "users" not in raised.value.message


async def test_a_full_disk_is_no_room(catalog: PostgresCatalog) -> None:
    """What PostgreSQL says when its disk is full comes out as NoRoom, once, and nothing is kept."""

    def full(tx: Tx) -> None:
        add("alice")(tx)
        run(tx, "DO $$ BEGIN RAISE disk_full; END $$")

    with pytest.raises(NoRoom):
        await catalog.write(full)
    assert [] == await names(catalog)


async def test_a_database_without_tables_is_unavailable(postgres: Any) -> None:
    """A catalog whose tables were never made says that it can't be used, without SQL in the text (threat 25)."""
    catalog = PostgresCatalog(postgres.url())
    catalog.start()
    for order in (catalog.write(add("alice")), catalog.read(lambda tx: tx.users.all())):
        with pytest.raises(Unavailable) as raised:
            await order
        assert "users" not in raised.value.message
    await asyncio.to_thread(catalog.close)


@pytest.mark.parametrize(("is_durable", "waits"), [(True, "on"), (False, "off")])
async def test_commits_wait_for_the_disk(postgres: Any, is_durable: bool, waits: str) -> None:  # noqa: FBT001
    """As the server is set, unless durability was traded for speed; always serializable, and reads only read."""
    catalog = PostgresCatalog(postgres.url(), is_durable=is_durable)
    catalog.start()

    def asked(tx: Tx) -> list[str]:
        shown = ("synchronous_commit", "transaction_isolation", "transaction_read_only")
        return [run(tx, f"SHOW {name}").scalar() for name in shown]

    assert [waits, "serializable", "off"] == await catalog.write(asked)
    assert [waits, "repeatable read", "on"] == await catalog.read(asked)
    await asyncio.to_thread(catalog.close)


async def test_closing_finishes_what_was_ordered(postgres: Any) -> None:
    """Orders that came before the end are carried out; a catalog that is closed says so, and keeps nobody waiting."""
    url = postgres.url(postgres.new_database())
    catalog = PostgresCatalog(url)
    catalog.start()
    orders = [asyncio.ensure_future(catalog.write(add(f"user{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(catalog.close)
    await asyncio.gather(*orders)

    for order in (catalog.write(add("late")), catalog.read(lambda tx: tx.users.all())):
        with pytest.raises(Unavailable) as raised:
            await order
        assert "catalog_closed" == raised.value.stable_code


async def test_many_more_orders_than_connections(postgres: Any) -> None:
    """Transactions wait for each other's connections, and every one is carried out."""
    catalog = PostgresCatalog(postgres.url(postgres.new_database()), connections=2)
    catalog.start()
    await asyncio.gather(*(catalog.write(add(f"user{number:03}")) for number in range(200)))

    assert 200 == len(await names(catalog))
    await asyncio.to_thread(catalog.close)
