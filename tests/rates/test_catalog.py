"""Rates of several processes together, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.postgres import PostgresCatalog
from carryall.catalog.sqlite import SqliteCatalog
from carryall.ports.catalog import Catalog, Tx
from carryall.ports.rates import Rates
from carryall.rates.catalog import CatalogRates
from carryall.testing.rates_contract import RatesContract

_PROCESSES = 3


@asynccontextmanager
async def opened(catalog: Any) -> AsyncIterator[Catalog]:
    """Give the catalog, open inside the block."""
    catalog.start()
    yield catalog
    await asyncio.to_thread(catalog.close)


class OnCatalogs(RatesContract):
    """The contract where each process has a catalog of its own on the same database."""

    def make_catalog(self, tmp_path: Path) -> Any:
        """Give another catalog on the test's database."""
        raise NotImplementedError

    async def make_rates(self, tmp_path: Path) -> AsyncIterator[Sequence[Rates]]:
        """Give three."""
        async with AsyncExitStack() as stack:
            opening = (stack.enter_async_context(opened(self.make_catalog(tmp_path))) for _ in range(_PROCESSES))
            catalogs = [await one for one in opening]
            self.catalog = catalogs[0]
            yield [CatalogRates(one) for one in catalogs]

    async def move_on(self, by: timedelta) -> None:
        """Move what was written the other way: the database's clock is not ours."""
        await self.jump(by)

    async def jump(self, by: timedelta) -> None:
        """The same: the database has one clock."""
        earlier = text("UPDATE hits SET at = at - :by").bindparams(by=by // timedelta(microseconds=1))

        def work(tx: Tx) -> None:
            tx.hits._connection.execute(earlier)  # type: ignore[attr-defined]

        await self.catalog.write(work)

    async def test_old_hits_are_forgotten(self, rates: Rates) -> None:
        """Rows go when they count no more: a key's with its next hit, all others from time to time."""
        for key in ("alice", "alice", "bob", "carol"):
            await rates.hit(key, 5)
        await self.move_on(timedelta(seconds=61))
        await rates.hit("alice", 5)

        assert 2 == await self.catalog.write(lambda tx: tx.hits.forget())
        assert 0 == await self.catalog.write(lambda tx: tx.hits.forget())


class TestOnSqlite(OnCatalogs):
    """Several processes on one file."""

    def make_catalog(self, tmp_path: Path) -> Any:
        """Give another catalog on the file."""
        path = tmp_path / "catalog.db"
        if not path.exists():
            migrate_sqlite(path)
        return SqliteCatalog(path, is_durable=False)


class TestOnPostgres(OnCatalogs):
    """Several processes, on several machines perhaps, on one PostgreSQL."""

    @pytest.fixture(autouse=True)
    def server(self, postgres: Any) -> None:
        """Make a database."""
        self.url = postgres.url(postgres.new_database())

    def make_catalog(self, tmp_path: Path) -> Any:
        """Give another catalog on the database."""
        return PostgresCatalog(self.url, is_durable=False, connections=4)
