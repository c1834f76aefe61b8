"""Try a store out with two files of our own: write, look, read, list, link, erase."""

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from carryall.model.errors import CarryallError, Missing, StoreError
from carryall.operations.sources import PathSource
from carryall.ports.ids import Ids
from carryall.ports.store import Store, Stored

SMALL_BYTES = 1 << 10
LARGE_BYTES = 8 << 20
_RANGE = (3 * (1 << 20) - 7, 4 * (1 << 20) + 9)
_LISTED = 10_000
_OWNER = "carryall-test"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried.

    Attributes:
        moved_bytes: how many bytes of files it wrote or read.
        note: what it found out.
        error: why it failed, if it did.
    """

    what: str
    seconds: float
    moved_bytes: int = 0
    note: str = ""
    error: CarryallError | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    moved_bytes: int = 0
    note: str = ""


class Trial:
    """One trial of one store. It touches no file but its own two, and erases them, whatever happens."""

    def __init__(self, store: Store, ids: Ids, folder: Path) -> None:
        """Take a folder of this machine for the two files."""
        self._store = store
        self._folder = folder
        self._content = os.urandom(LARGE_BYTES)  # chance can't be compressed, so the times are those of any file
        is_generated = store.capabilities.keys == "generated"
        names = (f"{_OWNER}-{ids.long()}" for _ in range(2)) if is_generated else _named(ids.long())
        self._small, self._large = names
        self._begun: dict[str, str] = {}

    async def run(self, told: Callable[[Step], None]) -> Step | None:
        """Try everything, up to the first failure, which is given; each step is told as it ends."""
        failed = None
        for what, work in self._plan():
            step = await _timed(what, work)
            told(step)
            if step.error:
                failed = step
                break
        if self._begun:
            step = await _timed("erase", self._erase)
            told(step)
            failed = failed or (step if step.error else None)
        return failed

    def _plan(self) -> tuple[tuple[str, Callable[[], Awaitable[_Done]]], ...]:
        return (
            ("ready", self._ready),
            ("write 1 KiB", lambda: self._write(self._small, SMALL_BYTES)),
            ("write 8 MiB", lambda: self._write(self._large, LARGE_BYTES)),
            ("look", self._look),
            ("read a range", lambda: self._read(*_RANGE)),
            ("read 8 MiB", lambda: self._read(0, LARGE_BYTES)),
            ("list", self._list),
            ("link", self._link),
            ("room", self._room),
        )

    async def _ready(self) -> _Done:
        await self._store.ready()
        return _Done()

    async def _write(self, key: str, size: int) -> _Done:
        path, content = self._folder / f"{size}", self._content[:size]
        await asyncio.to_thread(path.write_bytes, content)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        name = f"carryall-test-{size}.bin"
        self._begun[key] = key
        stored = await self._store.put(key, PathSource(path, size, name, "application/octet-stream", digest))
        self._begun[key] = stored.location
        _require(stored, size)
        return _Done(size)

    async def _look(self) -> _Done:
        _require(await self._store.stat(self._begun[self._large]), LARGE_BYTES)
        return _Done()

    async def _read(self, start: int, stop: int) -> _Done:
        reading = await self._store.open(self._begun[self._large], start, stop)
        at = start
        try:
            async for chunk in reading:
                if chunk != self._content[at : at + len(chunk)] or at + len(chunk) > stop:
                    raise _damaged()
                at += len(chunk)
        finally:
            await reading.aclose()
        if at != stop:
            raise _damaged()
        return _Done(stop - start)

    async def _list(self) -> _Done:
        """Look for both files; in a store with very many others, among some of them."""
        wanted, looked = set(self._begun.values()), 0
        async for stored in self._store.list():
            looked += 1
            wanted.discard(stored.location)
            if not wanted:
                return _Done(note=f"both are among the first {looked}")
            if looked == _LISTED:
                return _Done(note=f"not among the first {looked}: there are many")
        raise StoreError("The store doesn't list what it has just stored.", retryable=True)

    async def _link(self) -> _Done:
        link = await self._store.link(self._begun[self._large])
        return _Done(
            note=f"at {urlsplit(link).hostname}" if link else "none of its own: clients get links to this server"
        )

    async def _room(self) -> _Done:
        free = (await self._store.about()).free
        return _Done(note="it doesn't say" if free is None else f"{free / (1 << 30):.1f} GiB are free")

    async def _erase(self) -> _Done:
        for location in self._begun.values():
            await self._store.erase(location)
        for location in self._begun.values():
            try:
                await self._store.stat(location)
            except Missing:
                continue
            raise StoreError("A file is still there after it was erased.", retryable=True)
        return _Done()


async def _timed(what: str, work: Callable[[], Awaitable[_Done]]) -> Step:
    began, done, error = time.monotonic(), _Done(), None
    try:
        done = await work()
    except CarryallError as raised:
        error = raised
    return Step(what, time.monotonic() - began, done.moved_bytes, done.note, error)


def _named(file_id: str) -> tuple[str, str]:
    return f"{_OWNER}/{file_id}/small.bin", f"{_OWNER}/{file_id}/large.bin"


def _require(stored: Stored, size: int) -> None:
    if stored.size != size:
        raise _damaged()


def _damaged() -> StoreError:
    return StoreError("The store has other bytes than were sent.", retryable=True, code="store_damaged")
