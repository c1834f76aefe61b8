"""Reading parts out of a source: into few buffers that are used again, so that memory has a bound."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from carryall.model.errors import StoreError
from carryall.ports.store import Source
from carryall.stores.s3.options import MEBIBYTE
from carryall.stores.s3.parts import Buffer, Checksum, Part, Protection

_HELD_BYTES = 16 * MEBIBYTE  # larger parts (16 MiB is enough for files of 156 GiB) are read twice instead of held
_SMALL_BYTES = MEBIBYTE  # a part up to this waits for no turn
_READ_BYTES = 256 << 10  # what stays in the processor's cache between reading and the checksum
_WRITE_BYTES = 512 << 10  # measured: 256 KiB costs 10 % more, 1 MiB gains nothing; a slow line sends it within a minute


class Loader:
    """Loads at most `turns` large parts at a time."""

    def __init__(self, turns: int, threads: ThreadPoolExecutor) -> None:
        self._turns = asyncio.Semaphore(turns)
        self._threads = threads
        self._spare: list[bytearray] = []
        self._loaded = 0

    @asynccontextmanager
    async def load(
        self, source: Source, start: int, stop: int, *, protection: Protection, told: Callable[[int], None]
    ) -> AsyncIterator[Part]:
        """Give the half-open range as a part. Its memory is taken back afterwards."""
        size = stop - start
        checksum = Checksum(protection)
        async with nullcontext() if size <= _SMALL_BYTES else self._turns:
            if size > _HELD_BYTES:
                await _read_through(source, start, stop, checksum)
                yield Part(size, lambda: _chunks(source, start, stop), checksum, told)
                return
            self._loaded += 1
            try:
                buffer = self._buffer(size)
                held = memoryview(buffer)[:size]
                await self._fill(held, source, start, checksum)
                yield Part(size, lambda: _slices(held), checksum, told)
                # Only now: after a failure the bytes may still be in some connection's hands.
                if size > _SMALL_BYTES:
                    self._spare.append(buffer)
            finally:
                self._loaded -= 1
                if not self._loaded:
                    self._spare.clear()

    def _buffer(self, size: int) -> bytearray:
        """Give one that was used before where it is large enough; a new one has to be zeroed first."""
        spare = self._spare.pop() if self._spare and size > _SMALL_BYTES else b""
        return spare if isinstance(spare, bytearray) and len(spare) >= size else bytearray(size)

    async def _fill(self, held: memoryview, source: Source, start: int, checksum: Checksum) -> None:
        if source.path is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, _fill_from_disk, held, source.path, start, checksum)
            return
        at = 0
        async for chunk in _chunks(source, start, start + len(held)):
            held[at : at + len(chunk)] = chunk
            checksum.update(chunk)
            at += len(chunk)


def _fill_from_disk(held: memoryview, path: Path, start: int, checksum: Checksum) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError("The staged bytes can't be read.", retryable=True, code="staging_lost") from error
    try:
        at = 0
        while at < len(held):
            room = held[at : at + _READ_BYTES]
            count = os.preadv(fd, [room], start + at)
            if not count:
                raise _too_few()
            checksum.update(room[:count])
            at += count
    except OSError as error:
        raise StoreError("The staged bytes can't be read.", retryable=True, code="staging_lost") from error
    finally:
        os.close(fd)


async def _read_through(source: Source, start: int, stop: int, checksum: Checksum) -> None:
    if checksum.protection != "tls":
        async for chunk in _chunks(source, start, stop):
            checksum.update(chunk)


async def _slices(held: memoryview) -> AsyncIterator[Buffer]:
    for at in range(0, len(held), _WRITE_BYTES):
        yield held[at : at + _WRITE_BYTES]


async def _chunks(source: Source, start: int, stop: int) -> AsyncIterator[Buffer]:
    """Read a source; exactly as many bytes as were asked for, or an error."""
    left = stop - start
    reading = await source.open(start, stop)
    try:
        async for chunk in reading:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    finally:
        await reading.aclose()
    if left:
        raise _too_few()


def _too_few() -> StoreError:
    return StoreError("The bytes aren't as many as were counted.", retryable=False, code="staging_lost")
