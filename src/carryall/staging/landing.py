"""One write to one extent: chunks are gathered and written on a thread while the next ones arrive."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from carryall.model.errors import CarryallError, Unavailable
from carryall.model.upload import Segment
from carryall.staging.digest import Digester

_BATCH_BYTES = 1 << 20  # measured: a body in writes of 1 MiB goes 1.6 times as fast as in 64 KiB


_TOGETHER_BYTES = 16 << 20
_LEAST_BYTES = 8 << 10


class Gathering:
    """What the landings of one process may gather in memory together: a thousand slow clients fill no gigabyte."""

    def __init__(self) -> None:
        self.landings = 0

    @property
    def share_bytes(self) -> int:
        """Give how much each may gather before it is written."""
        return min(_BATCH_BYTES, max(_LEAST_BYTES, _TOGETHER_BYTES // max(1, self.landings)))


class DiskLanding:
    """Implements `ports.staging.Landing`. At most two batches (2 MiB) are in memory: one gathers, one is written."""

    def __init__(
        self,
        fd: int,
        segment: Segment,
        digester: Digester,
        do: Callable[..., Awaitable[Any]],
        *,
        gathering: Gathering,
        is_durable: bool,
    ) -> None:
        gathering.landings += 1
        self._gathering = gathering
        self._fd = fd
        self._start = segment.start
        self._length = self._synced = segment.length
        self._digester = digester
        self._do = do
        self._is_durable = is_durable
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._under_way: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.taken = 0

    async def put(self, chunk: bytes) -> None:
        """Take a non-empty chunk."""
        self._batch.append(chunk)
        self._batch_bytes += len(chunk)
        self.taken += len(chunk)
        if self._batch_bytes >= self._gathering.share_bytes:
            await self._send()

    async def sync(self) -> int:
        """Write and sync everything that was put."""
        await self._send()
        await self._settle()
        if self._is_durable:
            self._begin(self._do(os.fdatasync if hasattr(os, "fdatasync") else os.fsync, self._fd))
            await self._settle()
        self._synced = self._length
        return self._length

    async def digests(self) -> dict[str, str]:
        """Give the digests of what was put."""
        await self._send()
        await self._settle()
        return self._digester.hexadecimal()

    async def close(self) -> None:
        """Let go of the extent."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._gathering.landings -= 1
            with suppress(CarryallError):
                await self._do(self._let_go, fd)

    def _let_go(self, fd: int) -> None:
        """Close the extent. What came to nothing is cut off first: where the disk is full, its room is needed now."""
        try:
            if self._failure is not None:
                os.ftruncate(fd, self._synced - self._start)
        finally:
            os.close(fd)

    async def _send(self) -> None:
        await self._settle()
        if self._batch:
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            self._begin(self._write(batch))

    def _begin(self, step: Awaitable[None]) -> None:
        self._under_way = asyncio.ensure_future(self._attempt(step))

    async def _settle(self) -> None:
        """Wait for the write or sync that is under way. A cancellation of the waiter doesn't touch it."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
            self._under_way = None
        if self._failure is not None:
            raise self._failure

    async def _attempt(self, step: Awaitable[None]) -> None:
        """Take one step. A failure is final, whatever it is."""
        try:
            # After a failed fsync the kernel may have dropped the dirty pages: a second one would succeed, and lie.
            await step
        except BaseException as failure:  # noqa: BLE001  # _settle raises it
            self._failure = failure

    async def _write(self, batch: list[bytes]) -> None:
        self._length += await self._do(self._write_all, batch, self._length - self._start)

    def _write_all(self, batch: list[bytes], offset: int) -> int:
        data = batch[0] if len(batch) == 1 else b"".join(batch)
        self._digester.update(data)
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, offset)
            if count == 0:
                raise Unavailable("The server's disk takes no bytes.", code="disk_failed")
            offset += count
            view = view[count:]
        return len(data)
