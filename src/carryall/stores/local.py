"""Files on the local disk, adopted from staging by a hard link where both are on one file system."""

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from carryall.model.errors import Missing, NoRoom, StoreError
from carryall.ports.cancellation import shielded
from carryall.ports.store import Capabilities, Room, Sent, Source, Stored

T = TypeVar("T")
_SHARDS = 256
_READ_BYTES = 1 << 20
_THREADS = 16
_HALF = ".half"  # the ending of a copy that isn't finished; never a key, since keys have no dot at their start


class LocalStore:
    """Implements `ports.store.Store`: `root/<shard>/<key>`. Keys are generated; a client's name never gets here."""

    capabilities = Capabilities(is_local=True, has_room=True)

    def __init__(self, name: str, root: Path, *, is_durable: bool = True) -> None:
        self.name = name
        self._root = root
        self._is_durable = is_durable
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"store-{name}")

    def prepare(self) -> None:
        """Make the folders, durably. Called once before use."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for shard in range(_SHARDS):
            (self._root / f"{shard:02x}").mkdir(exist_ok=True, mode=0o700)
        for folder in (self._root, *self._root.parents):  # which of them are new isn't known any more
            with suppress(PermissionError):  # not ours, and so not made by us
                self._sync(folder)

    async def close(self) -> None:
        """Wait for the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file: a link where its bytes are on this file system, else a copy."""
        try:
            if source.path is None:
                stored = await self._fetch(self.path(key), source, sent)
            else:
                stored = await shielded(self._do(self._put, self.path(key), source.path, source.size))
        except Missing as error:  # the folder, or the staged bytes: nobody asked for a file that isn't there
            raise StoreError(f"Store {self.name} failed.", retryable=True, code="disk_failed") from error
        sent(source.size)
        return stored

    async def _fetch(self, target: Path, source: Source, sent: Sent) -> Stored:
        """Bring the bytes of a file that lies elsewhere, under a name that nobody reads yet."""
        half = target.with_name(f"{target.name}.{secrets.token_hex(4)}{_HALF}")
        creating = asyncio.ensure_future(self._do(_create, half))
        try:
            landing = await asyncio.shield(creating)
        except asyncio.CancelledError:
            creating.add_done_callback(lambda made: _drop(made.result(), half) if not made.exception() else None)
            raise
        try:
            taken, digest = 0, hashlib.sha256()
            reading = await source.open(0, source.size)
            try:
                async for chunk in reading:
                    await self._do(_append, landing, chunk, digest)
                    taken += len(chunk)
                    sent(taken)
            finally:
                await reading.aclose()
            if taken != source.size or digest.hexdigest() != source.sha256:
                raise StoreError("What came isn't the file that was sent.", retryable=True, code="store_damaged")
            return await self._do(self._finish, landing, half, target)
        finally:
            await shielded(self._do(_drop, landing, half))

    def _finish(self, fd: int, half: Path, target: Path) -> Stored:
        os.fsync(fd)
        half.replace(target)
        self._sync(target.parent)
        return _stat(target)

    def _put(self, target: Path, source: Path, size: int) -> Stored:
        if source.lstat().st_size != size:
            raise StoreError("The staged bytes are not as many as were counted.", retryable=False, code="staging_lost")
        if not _link(source, target):
            self._replace(target, source)
        try:
            self._sync(target.parent)
        except OSError:
            # The kernel takes the name for synced now. Only a new one is synced by whoever tries again.
            target.unlink(missing_ok=True)
            raise
        return _stat(target)

    def _replace(self, target: Path, source: Path) -> None:
        """Take the place of what an unfinished completion left, or copy from another file system; at one stroke."""
        half = target.with_name(target.name + _HALF)
        half.unlink(missing_ok=True)
        try:
            if not _link(source, half):
                _copy(source, half)
            half.replace(target)
        finally:
            half.unlink(missing_ok=True)  # a rename between two names of one file leaves both

    async def open(self, location: str, start: int, stop: int) -> "LocalReading":
        """Open the half-open range."""
        opening = asyncio.ensure_future(self._do(_open, self.path(location)))
        try:
            fd = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise
        return LocalReading(fd, start, stop, self._do)

    async def erase(self, location: str) -> None:
        """Remove a file."""

        def unlink() -> None:
            with suppress(FileNotFoundError):
                self.path(location).unlink()

        await self._do(unlink)

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        return await self._do(_stat, self.path(location))

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over everything."""
        for shard in range(_SHARDS):
            for found in await self._do(_stat_all, self._root / f"{shard:02x}"):
                yield found

    async def link(self, location: str) -> str | None:
        """Give none: nobody but this server sees the folder."""
        await self.stat(location)
        return None

    def address(self, location: str) -> None:
        """Give none."""

    async def about(self) -> Room:
        """Tell the file system's room."""
        usage = await self._do(shutil.disk_usage, self._root)
        return Room(total=usage.total, used=usage.used, free=usage.free)

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Leave it to the sweep, which sees them in `list`."""
        return 0

    async def ready(self) -> None:
        """Raise StoreError when the store can't be used now."""

        def look() -> None:
            if not os.access(self._root / "00", os.W_OK | os.X_OK):  # one of our own: a disk may be mounted at the root
                raise StoreError(f"The folder of store {self.name} can't be written.", retryable=True)

        await self._do(look)

    def path(self, location: str) -> Path:
        """Tell where the bytes lie."""
        return self._root / f"{zlib.crc32(location.encode()) % _SHARDS:02x}" / location

    def _sync(self, folder: Path) -> None:
        if self._is_durable and os.name != "nt":
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    async def _do(self, work: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except FileNotFoundError as error:
            raise Missing("The stored file isn't there.", code="file_damaged") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoom("The server's disk is full.", retry_after_s=60) from error
            raise StoreError(f"Store {self.name} failed.", retryable=True, code="disk_failed") from error


class LocalReading:
    """Implements `ports.store.Reading` over one open file."""

    def __init__(self, fd: int, start: int, stop: int, do: Callable[..., Awaitable[Any]]) -> None:
        self._fd = fd
        self._start = start
        self._stop = stop
        self._do = do

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the range in chunks."""
        at = self._start
        while at < self._stop:
            chunk: bytes = await self._do(os.pread, self._fd, min(_READ_BYTES, self._stop - at), at)
            if not chunk:
                raise StoreError("The stored file is shorter than it was.", retryable=False, code="file_damaged")
            at += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _open(path: Path) -> int:
    """Open a file for reading. Neither it nor its folder may be a symbolic link (threat 27)."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return os.open(path.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _close_opened(opening: "asyncio.Future[int]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


def _link(source: Path, target: Path) -> bool:
    """Make a hard link; False where something has the name already, or the file system can't."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, _READ_BYTES)
        writing.flush()
        os.fsync(writing.fileno())


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _append(fd: int, chunk: bytes, digest: "hashlib._Hash") -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(fd, left) :]
    digest.update(chunk)


def _drop(fd: int, half: Path) -> None:
    os.close(fd)
    half.unlink(missing_ok=True)


def _stat(path: Path) -> Stored:
    stat = path.stat(follow_symlinks=False)
    # Ages are taken from the file system's own clock, which also gave the time of the last write.
    age_s = max(0.0, time.time() - stat.st_mtime)  # noqa: TID251  # see above
    return Stored(location=path.name, size=stat.st_size, age_s=age_s)


def _stat_all(folder: Path) -> list[Stored]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append(_stat(path))
    return found
