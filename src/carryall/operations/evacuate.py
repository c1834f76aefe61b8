"""Move every file of one store to another, beside a running server: bring it there, switch, erase later."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import structlog

from carryall.model.errors import CarryallError, Malformed
from carryall.model.file import File
from carryall.model.work import Job
from carryall.operations.apart import are_apart
from carryall.operations.cache import Cache
from carryall.operations.deliver import Deliver
from carryall.operations.move import begin_move, switched
from carryall.operations.pace import Pace
from carryall.operations.queue import LEASE, Queue
from carryall.operations.world import World
from carryall.ports.cancellation import beside
from carryall.ports.catalog import Tx

log = structlog.get_logger(__name__)

_AT_ONCE = 4
_PAGE = 64
_PAUSE_S = 1.0
_SAMPLE_BYTES = 16 << 20
_SAMPLE_S = 2.0

Outcome = Literal["moved", "gone", "busy", "failed"]
"""Of one file: here now; not there any more; somebody else brings it at the moment; it couldn't be brought."""


@dataclass(frozen=True, slots=True)
class Stayed:
    """A file that couldn't be moved, and why."""

    file: File
    why: str


@dataclass
class MoveReport:
    """What was moved, and what stayed.

    Attributes:
        moved: how many files, and their bytes.
    """

    moved: int = 0
    size: int = 0
    stayed: dict[str, Stayed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MoveWish:
    """From where to where, and how fast."""

    source: str
    to: str
    pace: Pace | None = None


class Evacuate:
    """Empties a store into another one. Nothing is kept in memory: an interrupted run is begun anew and goes on."""

    def __init__(self, world: World, deliver: Deliver, cache: Cache) -> None:
        self._world = world
        self._catalog = world.catalog
        self._stores = world.stores
        self._clock = world.clock
        self._deliver = deliver
        self._cache = cache
        self._queue = Queue(world)
        self._jobs: dict[str, Job] = {}

    def check(self, source: str, to: str) -> None:
        """Raise Malformed unless files can go from one to the other. The first needn't be in the settings any more."""
        if to not in self._stores:
            known = ", ".join(self._stores)
            raise Malformed(f"There is no store {to} in the settings. There are: {known}.", code="store_unknown")
        if source == to:
            raise Malformed("A store can't be emptied into itself.", code="store_unknown")

    async def _check_apart(self, wish: MoveWish) -> None:
        """Raise Malformed where both names stand for one place: what is to be erased would be what was brought."""
        source, to = self._stores.get(wish.source), self._stores[wish.to]
        if source is not None and not await are_apart(to, source, self._world.ids):
            raise Malformed(
                f"The stores {wish.source} and {wish.to} are the same place: nothing can be moved between them.",
                code="stores_same",
            )

    async def amount(self, source: str) -> tuple[int, int]:
        """Give how many files have a copy in a store, or on its way there, and their bytes together."""
        found = (await self._catalog.read(lambda tx: tx.copies.amounts())).get(source)
        return (0, 0) if found is None else (found.copies, found.size)

    async def speed(self, source: str) -> float | None:
        """Measure how many bytes a second can be read from a store; None where nothing can be."""
        store, taken, began = self._stores.get(source), 0, time.monotonic()
        if store is None:
            return None
        for file in await self._catalog.read(lambda tx: tx.copies.in_store(source, limit=_PAGE)):
            copy = file.stored_copy(source)
            if copy is None or taken >= _SAMPLE_BYTES or time.monotonic() - began > _SAMPLE_S:
                continue
            with suppress(CarryallError):
                reading = await store.open(copy.location, 0, min(file.size, _SAMPLE_BYTES))
                try:
                    async for chunk in reading:
                        taken += len(chunk)
                finally:
                    await reading.aclose()
        return taken / max(time.monotonic() - began, 1e-6) if taken else None

    async def named_by(self, store: str) -> list[str]:
        """Give the plans that send files to a store."""
        plans = await self._catalog.read(lambda tx: tx.plans.all())
        return [plan.name for plan in plans if plan.target is not None and store in plan.target.stores]

    async def run(self, wish: MoveWish, told: Callable[[int, int], None] = lambda *_: None) -> MoveReport:
        """Move every file, those too that come meanwhile; what can't be moved is in the report.

        Raises Malformed for stores that make no sense, and StoreError where the new one takes nothing.

        Args:
            told: is told of progress: files and bytes more than before.
        """
        self.check(wish.source, wish.to)
        if (await self.amount(wish.source))[0]:
            await self._check_apart(wish)
        report = MoveReport()
        async with self._leasing():
            while outcomes := await self._pass(wish, report, told):
                if "moved" not in outcomes:
                    await asyncio.sleep(_PAUSE_S)
        return report

    async def _pass(self, wish: MoveWish, report: MoveReport, told: Callable[[int, int], None]) -> set[Outcome]:
        """Go through the store once; give what became of the files that are to be looked at again."""
        outcomes: set[Outcome] = set()
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def one(file: File) -> Outcome:
            async with at_once:
                return await self._one(file, wish, report, told)

        async for page in self._pages(wish.source):
            todo = [file for file in page if file.id not in report.stayed]
            outcomes |= set(await asyncio.gather(*map(one, todo)))
        return outcomes & {"moved", "busy"}

    async def _pages(self, source: str) -> AsyncIterator[Sequence[File]]:
        after = ""
        while True:
            page = await self._catalog.read(lambda tx, last=after: tx.copies.in_store(source, after=last, limit=_PAGE))  # type: ignore[misc]
            if not page:
                return
            yield page
            after = page[-1].id

    async def _one(self, file: File, wish: MoveWish, report: MoveReport, told: Callable[[int, int], None]) -> Outcome:
        sent = 0

        def progress(number: int) -> None:
            nonlocal sent
            told(0, number - sent)
            sent = number

        try:
            outcome = await self._move(file.id, wish, progress)
        except CarryallError as error:
            log.warning("move.failed", file=file.id, source=wish.source, to=wish.to, reason=error.stable_code)
            report.stayed[file.id] = Stayed(file, error.message)
            outcome = "failed"
        is_moved = outcome == "moved"
        told(outcome in ("moved", "gone"), file.size - sent if is_moved else -sent)
        if is_moved:
            report.moved += 1
            report.size += file.size
        return outcome

    async def _move(self, file_id: str, wish: MoveWish, sent: Callable[[int], None]) -> Outcome:
        begun = await self._catalog.write(lambda tx: self._begin(tx, file_id, wish))
        if not isinstance(begun, Job):
            return begun
        self._jobs[begun.id] = begun
        try:
            await self._deliver.copy(begun, pace=wish.pace, sent=sent)
        except CarryallError as error:
            if error.retryable and begun.max_attempts > 1:
                wait = timedelta(seconds=error.retry_after_s or 0)
                await self._queue.retry(begun, wait=wait, error=error.message)
            else:
                await self._queue.give_up(begun, error.message)
            raise
        finally:
            del self._jobs[begun.id]
        await self._queue.done(begun)
        return await self._catalog.read(lambda tx: _ended(tx, file_id, wish))

    def _begin(self, tx: Tx, file_id: str, wish: MoveWish) -> Job | Outcome:
        file = tx.files.get(file_id)
        if file is None or not _is_in(file, wish.source):
            return "gone"
        if file.stored_copy(wish.to) is not None:
            keeps = self._cache.keeps(file.target.moved(wish.source, wish.to))
            switched(tx, file, wish.source, wish.to, now=self._clock.now(), keeps_cache=keeps)
            return "moved"
        return begin_move(tx, self._world, file, wish.source, wish.to) or "busy"

    @asynccontextmanager
    async def _leasing(self) -> AsyncIterator[None]:
        """Keep the leases of the jobs that are under way inside the block."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE.total_seconds() / 3)
                with suppress(CarryallError):  # there are two more times until they run out
                    await self._queue.renew(list(self._jobs))

        async with beside(renew()):
            yield


def _ended(tx: Tx, file_id: str, wish: MoveWish) -> Outcome:
    """Tell what became of a file whose move ended: it may have been deleted, or another process was quicker."""
    file = tx.files.get(file_id)
    if file is None:
        return "gone"
    return "busy" if _is_in(file, wish.source) else "moved"


def _is_in(file: File, store: str) -> bool:
    copy = file.copy_in(store)
    return copy is not None and not copy.is_cache
