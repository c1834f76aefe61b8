"""Files on their way into a store: from staging, or out of another store."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from carryall.model.errors import StoreError
from carryall.model.file import Copy, File
from carryall.operations.pace import Pace, PacedReading
from carryall.ports.store import Reading, Store

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PathSource:
    """A file of this machine's disk. Implements `ports.store.Source`."""

    path: Path
    size: int
    name: str
    media_type: str
    sha256: str

    async def open(self, start: int, stop: int) -> "PathReading":
        """Open the half-open range."""
        try:
            return PathReading(await asyncio.to_thread(os.open, self.path, os.O_RDONLY | os.O_CLOEXEC), start, stop)
        except OSError as error:
            raise StoreError("The staged bytes can't be read.", retryable=True, code="staging_lost") from error


class PathReading:
    """Implements `ports.store.Reading` over one open file."""

    def __init__(self, fd: int, start: int, stop: int) -> None:
        self._fd = fd
        self._start = start
        self._stop = stop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the range in chunks."""
        at = self._start
        while at < self._stop:
            chunk = await asyncio.to_thread(os.pread, self._fd, min(_READ_BYTES, self._stop - at), at)
            if not chunk:
                raise StoreError("The staged bytes are fewer than were counted.", retryable=False, code="staging_lost")
            at += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


@dataclass(frozen=True, slots=True)
class CopySource:
    """A file's copy in a store, on its way into another one. Implements `ports.store.Source`.

    Attributes:
        pace: how fast it may be read.
        is_streamed: its place on this machine isn't told, so that whoever takes the bytes reads them; two local copies
            that were linked would be one, and one damage would be both's.
    """

    file: File
    copy: Copy
    store: Store
    pace: Pace | None = None
    is_streamed: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return self.file.size

    @property
    def name(self) -> str:
        """What people call the file."""
        return self.file.name

    @property
    def media_type(self) -> str:
        """What it is served as."""
        return self.file.media_type

    @property
    def sha256(self) -> str:
        """Lower-case hexadecimal."""
        return self.file.sha256

    @property
    def path(self) -> Path | None:
        """Where the bytes lie on this machine, if they do."""
        return None if self.is_streamed or self.pace is not None else self.store.path(self.copy.location)

    async def open(self, start: int, stop: int) -> Reading:
        """Open the half-open range."""
        reading = await self.store.open(self.copy.location, start, stop)
        return reading if self.pace is None else PacedReading(reading, self.pace)
