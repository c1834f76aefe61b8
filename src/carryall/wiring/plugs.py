"""Settings -> the plugs: what touches the world, and has to be opened and closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from carryall.auth.vault import Vault
from carryall.catalog.migrate import migrate_postgres, migrate_sqlite
from carryall.catalog.postgres import PostgresCatalog
from carryall.catalog.sqlite import SqliteCatalog
from carryall.config import Settings
from carryall.leases.process import ProcessLeases
from carryall.leases.shared import SharedLeases
from carryall.operations.jobs import Bell
from carryall.operations.world import World
from carryall.rates.catalog import CatalogRates
from carryall.rates.memory import MemoryRates
from carryall.staging.disk import DiskStaging
from carryall.stores.local import LocalStore
from carryall.subscribers.metrics import PrometheusTelemetry
from carryall.subscribers.outbound import GuardedHttp, address_of
from carryall.system.clock import SystemClock
from carryall.system.ids import RandomIds
from carryall.wiring.stores import named_stores, prepare

_SHARED_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Plugs:
    """What touches the world, and what the verbs see of it.

    Attributes:
        shared: what processes tell each other at any moment (leases, rates), where several serve the same files.
    """

    settings: Settings
    catalog: SqliteCatalog | PostgresCatalog
    shared: SqliteCatalog | PostgresCatalog | None
    staging: DiskStaging
    local: LocalStore
    outbound: GuardedHttp
    telemetry: PrometheusTelemetry
    bell: Bell
    world: World

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Make everything ready; close it after the block."""
        self.staging.prepare()
        self.local.prepare()
        prepare(store for store in self.world.stores.values() if store is not self.local)
        await self._migrate()
        catalogs = [catalog for catalog in (self.catalog, self.shared) if catalog is not None]
        for catalog in catalogs:
            catalog.start()
        try:
            async with self.world.leases.beating():
                yield
        finally:
            await self.outbound.close()
            for store in self.world.stores.values():
                await store.close()
            for closable in (*reversed(catalogs), self.staging):
                await asyncio.to_thread(closable.close)

    async def _migrate(self) -> None:
        if self.settings.database_url:
            await migrate_postgres(self.settings.database_url)
            return
        migrate_sqlite(catalog_path(self.settings))
        if self.shared is not None:
            migrate_sqlite(_shared_path(self.settings))


def catalog_path(settings: Settings) -> Path:
    """Give the catalog's file, where it is one."""
    return settings.data_dir / "catalog.db"


def is_shared(settings: Settings) -> bool:
    """Tell whether other processes may serve the same files."""
    return settings.workers > 1 or settings.database_url is not None


def make_plugs(settings: Settings) -> Plugs:
    """Choose the plugs."""
    is_durable = settings.durability == "full"
    clock, ids, telemetry = SystemClock(), RandomIds(short_length=settings.short_id_length), PrometheusTelemetry()
    operators_urls = [url for url in (settings.webhook_url, settings.jwks_url) if url]
    catalog, shared = _catalog(settings, is_durable=is_durable), _shared(settings)
    staging = DiskStaging(settings.data_dir / "staging", is_durable=is_durable)
    local = LocalStore("local", settings.data_dir / "files", is_durable=is_durable)
    node = ids.long()
    return Plugs(
        settings=settings,
        catalog=catalog,
        shared=shared,
        staging=staging,
        local=local,
        outbound=GuardedHttp(trusted=[*(address_of(url) for url in operators_urls), *settings.trusted_hosts]),
        telemetry=telemetry,
        bell=Bell(),
        world=World(
            catalog=catalog,
            staging=staging,
            stores={local.name: local, **named_stores(settings, telemetry)},
            leases=SharedLeases(shared, catalog, node=node) if shared else ProcessLeases(node),
            rates=CatalogRates(shared) if shared else MemoryRates(),
            secrets=Vault(settings.secret_key or "", clock),
            telemetry=telemetry,
            clock=clock,
            ids=ids,
        ),
    )


def _catalog(settings: Settings, *, is_durable: bool) -> SqliteCatalog | PostgresCatalog:
    if settings.database_url:
        return PostgresCatalog(settings.database_url, is_durable=is_durable)
    return SqliteCatalog(catalog_path(settings), is_durable=is_durable)


def _shared(settings: Settings) -> SqliteCatalog | PostgresCatalog | None:
    """Give what needn't survive a power loss, and so isn't synced; on SQLite a file that no commit ever waits for."""
    if not is_shared(settings):
        return None
    if settings.database_url:
        return PostgresCatalog(settings.database_url, is_durable=False, connections=_SHARED_CONNECTIONS)
    return SqliteCatalog(_shared_path(settings), is_durable=False)


def _shared_path(settings: Settings) -> Path:
    return settings.data_dir / "shared.db"
