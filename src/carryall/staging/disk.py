"""Bytes land on the local disk, in extents named after their upload.

`root/<shard>/<upload id>.<segment>.<extent>`; names are ours alone, so a flat name needs no directory per upload.
Every call that touches the disk runs on threads of this module: a slow disk slows its own uploads and nobody else.
"""

import asyncio
import errno
import os
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from carryall.model.errors import NoRoom, Unavailable
from carryall.model.upload import Segment
from carryall.ports.staging import Extent, Staged
from carryall.staging.digest import Digester, digest_file
from carryall.staging.landing import DiskLanding, Gathering

T = TypeVar("T")
_HEAD_BYTES = 8192
_SHARDS = 256  # measured on ext4: creating a file is 2-3 times cheaper than in one folder
_THREADS = 32
_COPY_BYTES = 1 << 26
_LOST = "The server's disk lost a part of this upload. Start it again."


class DiskStaging:
    """Implements `ports.staging.Staging`."""

    def __init__(self, root: Path, *, is_durable: bool = True) -> None:
        self._root = root
        self._is_durable = is_durable
        self._gathering = Gathering()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="staging")

    def prepare(self) -> None:
        """Make the folders, durably. Called once before use."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for shard in range(_SHARDS):
            (self._root / f"{shard:02x}").mkdir(exist_ok=True, mode=0o700)
        if self._is_durable:
            for folder in (self._root, *self._root.parents):  # which of them are new isn't known any more
                with suppress(PermissionError):  # not ours, and so not made by us
                    sync_directory(folder)

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown()

    async def land(self, upload_id: str, segment: Segment, *, algorithms: Iterable[str] = ()) -> DiskLanding:
        """Begin a write at the segment's length."""
        path = self._extent(upload_id, segment)
        opening = asyncio.ensure_future(self._do(self._open_at, path, segment.length - segment.start))
        try:
            fd = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # It may be about to cut the extent, which the next holder of the lease must not find done to its bytes.
            await asyncio.wait([opening])
            _close_opened(opening)
            raise
        return DiskLanding(
            fd, segment, Digester(algorithms), self._do, gathering=self._gathering, is_durable=self._is_durable
        )

    def _open_at(self, path: Path, length: int) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _fit(fd, length)
            if length == 0 and self._is_durable:  # new, or never counted: its name may not be durable yet
                _sync_names([path])
        except BaseException:
            os.close(fd)
            raise
        return fd

    async def move(self, upload_id: str, segment: Segment, to_upload_id: str, to_segment: Segment) -> None:
        """Make an extent of one upload an extent of another."""
        source, target = self._extent(upload_id, segment), self._extent(to_upload_id, to_segment)

        def rename() -> None:
            source.replace(target)
            if self._is_durable:
                sync_directory(target.parent)

        await self._do(rename)

    async def link(self, upload_id: str, segment: Segment, to_upload_id: str, to_segment: Segment) -> None:
        """Make a finished extent of one upload an extent of another, too."""
        sources, targets = self._extents_of(upload_id, segment), self._extents_of(to_upload_id, to_segment)

        def link() -> None:
            for source, target in zip(sources, targets, strict=True):
                with suppress(FileExistsError):
                    os.link(source, target, follow_symlinks=False)
            if self._is_durable:
                _sync_names(targets)

        await self._do(link)

    async def discard(self, upload_id: str, segments: Iterable[Segment]) -> None:
        """Remove these extents."""
        paths = {path for segment in segments for path in self._extents_of(upload_id, segment)}
        await self._do(_unlink_all, paths | {self._extent(upload_id, segment) for segment in segments})

    async def discard_all(self, upload_id: str) -> None:
        """Remove everything staged for an upload."""
        await self._do(lambda: _unlink_all(self._shard(upload_id).glob(f"{upload_id}.*")))

    async def join(self, upload_id: str, segments: Sequence[Segment], *, algorithms: Iterable[str]) -> dict[str, str]:
        """Make one extent of all the segments."""
        path = self._whole(upload_id, segments)
        if _is_one_extent(segments):
            await self._do(self._trim, path, segments[0].length)
        else:
            await self._do(self._join, upload_id, segments)
        return await self._do(digest_file, path, list(algorithms))

    def _join(self, upload_id: str, segments: Sequence[Segment]) -> None:
        target = self._whole(upload_id, segments)
        target.unlink(missing_ok=True)  # what somebody who stands still may have open stays theirs
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            for segment in segments:
                for path, (_, length) in zip(self._extents_of(upload_id, segment), segment.pieces, strict=True):
                    _append(path, out, length)
            if self._is_durable:
                os.fsync(out)
        finally:
            os.close(out)

    async def staged(self, upload_id: str, segments: Sequence[Segment]) -> Staged:
        """Give the joined bytes."""
        path, size = self._whole(upload_id, segments), sum(segment.length for segment in segments)
        await self._do(self._trim, path, size)
        return Staged(size=size, path=path, head=await self._do(_head, path))

    def _trim(self, path: Path, length: int) -> None:
        """Cut off, durably, what a write left that was never counted."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if _fit(fd, length) and self._is_durable:
                os.fsync(fd)
        finally:
            os.close(fd)

    async def extents(self) -> AsyncIterator[Extent]:
        """Walk over everything that is staged."""
        for shard in range(_SHARDS):
            for extent in await self._do(_extents_in, self._root / f"{shard:02x}"):
                yield extent

    async def ready(self) -> int:
        """Give the free room in bytes."""

        def look() -> int:
            if not os.access(self._root, os.W_OK):
                raise Unavailable("The staging folder can't be written.", code="staging_failed")
            stat = os.statvfs(self._root)
            return stat.f_bavail * stat.f_frsize

        return await self._do(look)

    def _shard(self, upload_id: str) -> Path:
        return self._root / f"{zlib.crc32(upload_id.encode()) % _SHARDS:02x}"

    def _extent(self, upload_id: str, segment: Segment) -> Path:
        return self._shard(upload_id) / f"{upload_id}.{segment.index}.{segment.extent}"

    def _extents_of(self, upload_id: str, segment: Segment) -> list[Path]:
        """Give every staged file that holds bytes of a segment, in the order of its pieces."""
        return [self._shard(upload_id) / f"{upload_id}.{segment.index}.{extent}" for extent, _ in segment.pieces]

    def _whole(self, upload_id: str, segments: Sequence[Segment]) -> Path:
        if _is_one_extent(segments):
            return self._extent(upload_id, segments[0])
        # After a succession every segment has a later extent, so a zombie's join goes to another name.
        return self._shard(upload_id) / f"{upload_id}.joined-{max(segment.extent for segment in segments)}"

    async def _do(self, work: Callable[..., T], *args: object) -> T:
        """Run on a thread. A cancelled caller leaves only when the thread has: its lease guards what is done there."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # looked at, so that nobody reports it as forgotten
            raise
        except OSError as error:
            raise disk_error(error) from error


def disk_error(error: OSError) -> Unavailable:
    """Say what the operating system said in our words; its own text holds paths."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom("The server's disk is full. Nothing was kept of this request.", retry_after_s=60)
    return Unavailable("The server's disk failed. Nothing was kept of this request.", code="disk_failed")


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive power loss. Does nothing where directories can't be synced (Windows)."""
    if os.name == "nt":
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_one_extent(segments: Sequence[Segment]) -> bool:
    """Tell whether the whole lies in one file that nobody else may still write to; else it is joined by copying."""
    return len(segments) == 1 and not segments[0].frozen


def _sync_names(paths: Sequence[Path]) -> None:
    """Make new names of one folder survive power loss. After a failure they are gone, as they are for the disk.

    The folder's next sync would succeed and keep nothing of them: only a name that is made anew has something to sync.
    """
    try:
        sync_directory(paths[0].parent)
    except OSError:
        _unlink_all(paths)
        raise


def _close_opened(opening: "asyncio.Future[int]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


def _fit(fd: int, length: int) -> bool:
    """Cut an extent to its row's length; tell whether it was longer. Raises Unavailable when it is shorter."""
    held = os.fstat(fd).st_size
    if held < length:
        raise Unavailable(_LOST, code="staging_lost", held=held, recorded=length)
    if held > length:
        os.ftruncate(fd, length)
    return held > length


def _append(source: Path, out: int, length: int) -> None:
    """Append the first `length` bytes of a file."""
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        at = 0
        while at < length:
            copied = _copy_some(fd, out, at, min(length - at, _COPY_BYTES))
            if copied == 0:
                raise Unavailable(_LOST, code="staging_lost", held=at, recorded=length)
            at += copied
    finally:
        os.close(fd)


def _copy_some(fd: int, out: int, at: int, size: int) -> int:
    """Copy some bytes by reflink or in the kernel, where both can; give how many."""
    with suppress(AttributeError, OSError):  # not Linux, or a file system without it; some give 0 instead
        if copied := os.copy_file_range(fd, out, size, offset_src=at):
            return copied
    return os.write(out, os.pread(fd, min(size, 1 << 20), at))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _unlink_all(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()


def _extents_in(folder: Path) -> list[Extent]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            stat = path.stat(follow_symlinks=False)
            upload_id, _, rest = path.name.partition(".")
            segment, _, extent = rest.partition(".")
            # Ages are taken from the file system's own clock, which also gave the time of the last write.
            age_s = max(0.0, time.time() - stat.st_mtime)  # noqa: TID251  # see above
            found.append(
                Extent(
                    upload_id=upload_id,
                    segment=int(segment) if segment.isdecimal() else -1,
                    extent=int(extent) if extent.isdecimal() else 0,
                    size=stat.st_size,
                    age_s=age_s,
                )
            )
    return found
