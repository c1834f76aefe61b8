"""Leases among the requests of several processes: rows that all of them see, behind each process's own line.

No clock is compared with another: a process is dead when its heart, as the rows count it, stands still for `_DEAD_S`
by the watcher's own monotonic clock (threat 30). Being wrong about that costs the holder its request, and nobody a
byte.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from carryall.leases.process import PATIENCE_S, ProcessLease, ProcessLeases
from carryall.model.errors import CarryallError, Unavailable
from carryall.ports.cancellation import beside, shielded
from carryall.ports.catalog import Catalog, Tx
from carryall.ports.catalog_leases import Held, Holder

log = structlog.get_logger(__name__)

_LOOK_S = 0.1  # how often a holder looks whether somebody asks, and a newcomer whether everybody left
_BEAT_S = 0.5
_DEAD_S = 3.0
_GIVE_TRIES = 10


class _Pulse:
    """Which processes seem alive, by what this one saw of their hearts."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def is_dead(self, node: str, beats: int | None) -> bool:
        """Look at a node's beats (None: it said that it is gone); tell whether it seems dead."""
        if beats is None:
            return True
        now = time.monotonic()
        known = self._seen.get(node)
        if known is None or known[0] != beats:
            self._seen[node] = (beats, now)
            return False
        return now - known[1] >= _DEAD_S


class SharedLeases:
    """Implements `ports.leases.Leases` for processes that share a catalog. Beats and answers inside `beating`."""

    def __init__(self, shared: Catalog, catalog: Catalog, *, node: str) -> None:
        """Take where leases are written (it may forget them at a power loss), and where uploads are."""
        self.node = node
        self._shared = shared
        self._catalog = catalog
        self._near = ProcessLeases(node)
        self._pulse = _Pulse()
        self._mine: dict[tuple[str, int | None], ProcessLease] = {}

    @asynccontextmanager
    async def hold(self, upload_id: str, segment: int | None = None) -> AsyncIterator[ProcessLease]:
        """Wait for the segment or the whole upload, first in this process, then among all."""
        async with self._near.hold(upload_id, segment) as lease:
            try:
                await self._take(upload_id, segment)
                self._mine[upload_id, segment] = lease
                yield lease
            finally:
                self._mine.pop((upload_id, segment), None)
                await shielded(self._give(upload_id, segment))

    async def is_held(self, upload_id: str) -> bool:
        """Tell whether anybody writes to this upload now."""
        if await self._near.is_held(upload_id):
            return True
        holders = await self._shared.read(lambda tx: tx.leases.holders(upload_id))
        return any(not self._pulse.is_dead(holder.node, holder.beats) for holder in holders)

    async def gone(self) -> Callable[[str | None], bool]:
        """Give a test for processes that are gone."""
        alive, _ = await self._nodes()
        return lambda node: node not in {None, *alive}

    async def tidy(self) -> None:
        """Take over, and let go of, what processes that are gone have left."""
        alive, dead = await self._nodes()
        for upload_id in await self._shared.read(lambda tx: tx.leases.left_over(alive)):
            if not await self.is_held(upload_id):
                async with self.hold(upload_id):
                    pass
        for node in dead:
            await self._shared.write(lambda tx, node=node: tx.leases.leave(node))  # type: ignore[misc]

    async def _nodes(self) -> tuple[set[str], set[str]]:
        """Give the processes that seem alive, this one among them, and those that seem dead."""
        beats = await self._shared.read(lambda tx: tx.leases.beats())
        dead = {node for node, count in beats.items() if self._pulse.is_dead(node, count)} - {self.node}
        return {*beats, self.node} - dead, dead

    async def _take(self, upload_id: str, segment: int | None) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while others := await self._try(upload_id, segment, over=()):
            dead = {other.node for other in others if self._pulse.is_dead(other.node, other.beats)}
            if dead and dead == {other.node for other in others} and await self._succeed(upload_id, segment, dead):
                return
            if time.monotonic() > give_up_at:
                raise Unavailable(
                    "Another request for this upload doesn't finish. Try again in a minute.",
                    code="upload_busy",
                    retry_after_s=60,
                )
            await asyncio.sleep(_LOOK_S)

    async def _try(self, upload_id: str, segment: int | None, *, over: Collection[str]) -> Sequence[Holder]:
        def work(tx: Tx) -> Sequence[Holder]:
            return tx.leases.take(upload_id, segment, node=self.node, over=over)

        return await shielded(self._shared.write(work))

    async def _succeed(self, upload_id: str, segment: int | None, dead: set[str]) -> bool:
        """Take over from holders that seem dead: first the fence, so that whatever they still commit is void."""
        upload = await self._catalog.read(lambda tx: tx.uploads.at(upload_id, 0))
        if upload is not None:
            await self._catalog.write(lambda tx: tx.uploads.raise_fence(upload_id, above=upload.fence))
        log.warning("lease.succeeded", upload=upload_id, segment=segment, nodes=sorted(dead))
        return not await self._try(upload_id, segment, over=dead)

    async def _give(self, upload_id: str, segment: int | None) -> None:
        for _ in range(_GIVE_TRIES):
            try:
                await self._shared.write(lambda tx: tx.leases.give(upload_id, segment, node=self.node))
            except CarryallError as error:
                log.warning("lease.kept", upload=upload_id, segment=segment, reason=error.stable_code)
                await asyncio.sleep(1)
            else:
                return

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Be there for the other processes inside the block."""
        await self._shared.write(lambda tx: tx.leases.beat(self.node))
        try:
            async with beside(self._live()):
                yield
        finally:
            with suppress(CarryallError):
                await self._shared.write(lambda tx: tx.leases.leave(self.node))

    async def _live(self) -> None:
        beat_at = 0.0
        while True:
            try:
                if time.monotonic() >= beat_at:
                    await self._shared.write(lambda tx: tx.leases.beat(self.node))
                    beat_at = time.monotonic() + _BEAT_S
                if mine := dict(self._mine):
                    _answer(mine, await self._shared.read(lambda tx: tx.leases.of(self.node)))
            except CarryallError as error:
                log.warning("lease.silent", reason=error.stable_code)  # others may succeed us: the fence holds
            await asyncio.sleep(_LOOK_S)


def _answer(mine: Mapping[tuple[str, int | None], ProcessLease], rows: Iterable[Held]) -> None:
    """Hand on what others ask, and leave what somebody took over."""
    known = {(row.upload_id, row.segment): row.is_asked for row in rows}
    for key, lease in mine.items():
        if known.get(key, True):
            lease.ask()
