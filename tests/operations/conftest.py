"""A house without a face: the verbs with the real plugs, on a folder of the test's own, with a clock that is moved."""

import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from carryall.auth.vault import Vault
from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.sqlite import SqliteCatalog
from carryall.checks.sniff import sniff
from carryall.leases.process import ProcessLeases
from carryall.model.account import Usage
from carryall.model.file import File
from carryall.model.principal import ALL_SCOPES, Kind, Plan, Principal, Scope
from carryall.model.target import Target
from carryall.model.upload import Declared, Upload
from carryall.model.work import Event
from carryall.operations.admit import Admission
from carryall.operations.announce import Announce
from carryall.operations.cache import Cache
from carryall.operations.completion import Completion
from carryall.operations.deliver import Deliver
from carryall.operations.doctor import Doctor, Finding
from carryall.operations.erase import Erase
from carryall.operations.evacuate import Evacuate
from carryall.operations.expire import Expire
from carryall.operations.files import Files
from carryall.operations.heal import Heal
from carryall.operations.ingest import Door, DoorRules
from carryall.operations.inspect import Inspection
from carryall.operations.jobs import Bell
from carryall.operations.placing import Targets
from carryall.operations.queue import Queue
from carryall.operations.reading import Reader
from carryall.operations.scrub import Scrub
from carryall.operations.serve import Serve
from carryall.operations.streams import Checkpoints
from carryall.operations.world import World
from carryall.ports.catalog_files import FileQuery
from carryall.ports.leases import Leases
from carryall.ports.store import Store
from carryall.rates.memory import MemoryRates
from carryall.staging import disk
from carryall.staging.disk import DiskStaging
from carryall.stores import local
from carryall.stores.local import LocalStore
from carryall.system.ids import RandomIds
from carryall.testing.fakes import CollectingTelemetry, ManualClock

EXPIRY = timedelta(hours=24)
SWEEP_AFTER = timedelta(hours=1)
ADMIN = Principal("admin", "admin", Kind.ADMIN, Plan("admin"), frozenset({*ALL_SCOPES, Scope.ADMIN}))


def user(name: str = "alice", **plan: Any) -> Principal:
    """Give a user whose plan has these limits; of another service, so that there need be no row of theirs."""
    return Principal(f"jwt:{name}", name, Kind.JWT, Plan("jwt", **plan))


def declared(size: int | None = None, name: str = "a.bin", **more: Any) -> Declared:
    """Say what a client would say."""
    return Declared(name=name, door="v1", size=size, **more)


def sha256(content: bytes) -> str:
    """Give the hexadecimal digest."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class House:
    """The verbs, and what they use."""

    world: World
    door: Door
    serve: Serve
    files: Files
    expire: Expire
    erase: Erase
    deliver: Deliver
    cache: Cache
    scrub: Scrub
    evacuate: Evacuate
    doctor: Doctor
    queue: Queue
    announce: Announce
    clock: ManualClock
    telemetry: CollectingTelemetry
    folder: Path
    told: list[Event] = field(default_factory=list)

    async def usage(self, owner: str = "jwt:alice") -> Usage:
        """Give what an owner uses."""
        return await self.world.catalog.read(lambda tx: tx.usages.get(owner))

    async def upload(self, upload_id: str) -> Upload:
        """Give an upload's row."""
        found = await self.world.catalog.read(lambda tx: tx.uploads.get(upload_id))
        assert found is not None
        return found

    async def all_files(self) -> list[File]:
        """Give every file."""
        return await self.serve.find(ADMIN, FileQuery(sort="created", limit=1000))

    async def content(self, file: File, start: int = 0, stop: int | None = None) -> bytes:
        """Read a file as a download would."""
        reading = await self.serve.read(file, start, file.size if stop is None else stop)
        try:
            return b"".join([chunk async for chunk in reading])
        finally:
            await reading.aclose()

    async def findings(self) -> list[Finding]:
        """Ask the doctor about everything but the room on the disk."""
        return [finding async for finding in self.doctor.examine() if finding.about != "disk"]

    async def is_sound(self) -> None:
        """Check rows against bytes and counters against rows; nothing may be wrong."""
        assert [] == [finding.text for finding in await self.findings() if finding.is_wrong]

    async def is_tidy(self) -> None:
        """Check that not even a leftover is there."""
        assert [] == [finding.text for finding in await self.findings()]

    def staged(self) -> list[str]:
        """List the names in staging."""
        return sorted(path.name for path in (self.folder / "staging").glob("*/*"))

    def stored(self) -> list[str]:
        """List the names in the local store."""
        return sorted(path.name for path in (self.folder / "files").glob("*/*"))

    async def run_jobs(self, kind: str) -> int:
        """Run the due jobs of one kind, as the runner would; give how many."""
        jobs = [job for job in await self.queue.claim(100) if job.kind == kind]
        for job in jobs:
            if kind == "erase":
                await self.erase.copy(job.payload["store"], job.payload["key"])
            else:
                await self.announce.tell(job.payload["event"])
            await self.queue.done(job)
        return len(jobs)


class Listener:
    """A subscriber that keeps what it is told."""

    def __init__(self, told: list[Event]) -> None:
        self._told = told

    async def tell(self, event: Event) -> None:
        """Keep it."""
        self._told.append(event)


Wrap = Callable[[Any], Any]


@asynccontextmanager
async def house_on(
    folder: Path,
    *,
    clock: ManualClock | None = None,
    checkpoints: Checkpoints | None = None,
    is_durable: bool = False,
    wrap: Wrap = lambda plug: plug,
    make_leases: Callable[[SqliteCatalog], Leases] = lambda _: ProcessLeases(),
    others: Mapping[str, Store] = MappingProxyType({}),
    target: str = "local",
    keep_bytes: int | None = 0,
) -> AsyncIterator[House]:
    """Furnish a house on a folder; on the same folder again, it is another process. `wrap` goes around each plug.

    Args:
        others: stores beside the built-in one; the caller's to close.
        target: where files go unless they say something else.
        keep_bytes: the room for local copies that no target asks for; None keeps all.
    """
    catalog = SqliteCatalog(folder / "catalog.db", is_durable=is_durable)
    staging = DiskStaging(folder / "staging", is_durable=is_durable)
    store = LocalStore("local", folder / "files", is_durable=is_durable)
    staging.prepare()
    store.prepare()
    catalog.start()
    clock = clock or ManualClock()
    telemetry = CollectingTelemetry()
    world = World(
        catalog=wrap(catalog),
        staging=wrap(staging),
        stores={"local": wrap(store), **others},
        leases=make_leases(catalog),
        rates=MemoryRates(),
        secrets=Vault("a key for tests only", clock),
        telemetry=telemetry,
        clock=clock,
        ids=RandomIds(short_length=8),
    )
    try:
        yield furnished(
            world,
            folder,
            clock,
            telemetry,
            checkpoints or Checkpoints(),
            target=Target.parse(target),
            keep_bytes=keep_bytes,
        )
    finally:
        catalog.close()
        staging.close()
        await store.close()


def furnished(
    world: World,
    folder: Path,
    clock: ManualClock,
    telemetry: CollectingTelemetry,
    checkpoints: Checkpoints,
    *,
    target: Target,
    keep_bytes: int | None = 0,
) -> House:
    """Wire the verbs."""
    told: list[Event] = []
    announce = Announce(
        world,
        Bell(),
        subscriber=Listener(told),
        wants=lambda event: event.type == "file.stored",
        complete=lambda event, _: replace(event, data={**event.data, "url": "https://here"}),
    )
    admission = Admission(world)
    completion = Completion(world, Inspection(sniff), announce)
    door = Door(world, admission, completion, DoorRules(EXPIRY, checkpoints, Targets(world.stores, target)))
    heal, cache = Heal(world, announce), Cache(world, announce, limit_bytes=keep_bytes)
    deliver = Deliver(world, announce, heal, cache)
    serve = Serve(world, Reader(world, heal, cache))
    return House(
        world=world,
        door=door,
        serve=serve,
        files=Files(world, serve, announce),
        expire=Expire(world, door, announce, admin=ADMIN, sweep_after=SWEEP_AFTER),
        erase=Erase(world),
        deliver=deliver,
        cache=cache,
        scrub=Scrub(world, heal, every=timedelta(days=30), bytes_per_s=1 << 40),
        evacuate=Evacuate(world, deliver, cache),
        doctor=Doctor(world),
        queue=Queue(world),
        announce=announce,
        clock=clock,
        telemetry=telemetry,
        folder=folder,
        told=told,
    )


@pytest.fixture(autouse=True)
def few_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread bytes over 4 folders: making and removing all of them takes longer than most of these tests."""
    monkeypatch.setattr(disk, "_SHARDS", 4)
    monkeypatch.setattr(local, "_SHARDS", 4)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty database to copy."""
    path = tmp_path_factory.mktemp("migrated") / "catalog.db"
    migrate_sqlite(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, migrated: Path) -> Path:
    """Give a data folder with an empty catalog."""
    made = tmp_path / "data"
    made.mkdir()
    shutil.copy(migrated, made / "catalog.db")
    return made


@pytest.fixture
async def house(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[House]:
    """Give a house with a checkpoint every 4 KiB; at the end nothing in it may be wrong. Parameter: is it durable?"""
    every = Checkpoints(every_bytes=4096, every=timedelta(hours=1), least_bytes=1)
    async with house_on(folder, checkpoints=every, is_durable=getattr(request, "param", False)) as made:
        yield made
        await made.is_sound()


@pytest.fixture
def alice() -> Principal:
    """Give a user without limits."""
    return user()
