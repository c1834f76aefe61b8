"""Stores beside the built-in one, and the runners that bring files there."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.operations.conftest import House, declared, house_on

from carryall.model.errors import StoreError
from carryall.model.file import Copy, CopyState, File
from carryall.model.principal import Principal
from carryall.operations.jobs import Bell
from carryall.operations.sources import CopySource
from carryall.ports.store import Capabilities, Reading, Room, Sent, Source, Stored
from carryall.stores.local import LocalStore
from carryall.testing.fakes import ScriptedBody
from carryall.work.runner import Runner


class FarStore:
    """A `ports.store.Store` that isn't on this machine, as far as anybody can tell: a local one behind a wire.

    Attributes:
        is_away: nobody can reach it.
        is_full: it takes no file.
        cut_after: readings break after so many bytes, once.
        puts: keys that were put.
    """

    def __init__(self, inner: LocalStore) -> None:
        self.name = inner.name
        self.capabilities = Capabilities(has_room=True, keys="encoded")
        self.is_away = False
        self.is_full = False
        self.cut_after: int | None = None
        self.puts: list[str] = []
        self._inner = inner

    def _reach(self) -> LocalStore:
        if self.is_away:
            raise StoreError(f"Store {self.name} can't be reached.", retryable=True, code="store_unreachable")
        return self._inner

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file."""
        if isinstance(source, CopySource):
            self.puts.append(key)
            source = replace(source, is_streamed=True)
            if self.is_full:
                raise StoreError(f"Store {self.name} is full.", retryable=False, code="store_full")
        stored = await self._reach().put(_flat(key), source, sent=sent)
        return replace(stored, location=key)

    async def open(self, location: str, start: int, stop: int) -> Reading:
        """Open the half-open range."""
        return _Wire(self, await self._reach().open(_flat(location), start, stop))

    async def erase(self, location: str) -> None:
        """Remove a file."""
        await self._reach().erase(_flat(location))

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        return replace(await self._reach().stat(_flat(location)), location=location)

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over everything."""
        async for stored in self._reach().list():
            yield stored

    async def link(self, location: str) -> None:
        """Give none."""

    def address(self, location: str) -> None:
        """Give none."""

    async def about(self) -> Room:
        """Tell the room."""
        return await self._reach().about()

    async def ready(self) -> None:
        """Raise StoreError when it is away."""
        self._reach()

    async def abort_leftovers(self, older_than: Any) -> int:
        """Find none."""
        return 0

    def path(self, location: str) -> None:
        """Tell nothing: it is far away."""

    async def close(self) -> None:
        """Close the store behind."""
        await self._inner.close()


class _Wire:
    def __init__(self, store: FarStore, reading: Reading) -> None:
        self._store = store
        self._reading = reading

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._reading:
            if self._store.cut_after is not None:
                cut, self._store.cut_after = self._store.cut_after, None
                yield chunk[:cut]
                raise StoreError("The connection was cut.", retryable=True, code="store_unreachable")
            yield chunk

    async def aclose(self) -> None:
        await self._reading.aclose()


@asynccontextmanager
async def places(folder: Path, target: str = "b", *, keep_bytes: int | None = 0) -> AsyncIterator[House]:
    """Furnish a house with the stores local, b and c (in folders of their own) and far."""
    inner = {name: LocalStore(name, folder / name, is_durable=False) for name in ("b", "c", "far")}
    for store in inner.values():
        store.prepare()
    others: Mapping[str, Any] = {**inner, "far": FarStore(inner["far"])}
    try:
        async with house_on(folder, others=others, target=target, keep_bytes=keep_bytes) as house:
            yield house
    finally:
        for store in others.values():
            await store.close()


def far_of(house: House) -> FarStore:
    """Give the far store."""
    store = house.world.stores["far"]
    assert isinstance(store, FarStore)
    return store


async def run_due(house: House) -> None:
    """Run what is due, as the server's runners would: deliveries, erasing, trimming."""
    verbs: Any = {
        "deliver": house.deliver.copy,
        "erase": lambda job: house.erase.copy(job.payload["store"], job.payload["key"]),
        "trim": lambda _: house.cache.trim(),
        "announce": lambda job: house.announce.tell(job.payload["event"]),
    }
    await Runner(house.queue, verbs, Bell(), house.telemetry, lanes=4).run_due()


async def arrived(house: House, who: Principal, content: bytes = b"content", *, target: str = "", **how: Any) -> File:
    """Bring a file in and to its stores; give it as it is then."""
    file = await house.door.accept(who, declared(target=target or None, **how), ScriptedBody(content))
    await run_due(house)
    return await now(house, file)


async def now(house: House, file: File) -> File:
    """Give a file as the catalog has it."""
    found = await house.world.catalog.read(lambda tx: tx.files.get(file.id))
    assert found is not None
    return found


def states(file: File) -> dict[str, CopyState]:
    """Give how far each copy is."""
    return {copy.store: copy.state for copy in file.copies}


def bytes_of(house: House, copy: Copy) -> Path:
    """Give where a copy's bytes lie, behind the store's back."""
    (found,) = (path for path in (house.folder / _folder(copy.store)).rglob("*") if path.name == _flat(copy.location))
    return found


def kept(house: House, store: str) -> int:
    """Count what lies in a store."""
    return sum(path.is_file() for path in (house.folder / _folder(store)).rglob("*"))


def _flat(location: str) -> str:
    return location.replace("/", "+")


def _folder(store: str) -> str:
    return "files" if store == "local" else store
