"""Look at stored copies, again and again: what differs is healed, what was forgotten is delivered."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from carryall.model.errors import CarryallError
from carryall.model.file import Copy, CopyState, File
from carryall.operations.heal import Heal, look_at
from carryall.operations.pace import Pace
from carryall.operations.reconcile import Reconcile, Reconciled
from carryall.operations.world import World

log = structlog.get_logger(__name__)

SCRUB = "scrub"
BUDGET_S = 45 * 60.0  # of the hour between two turns of the job
_AT_ONCE = 4
_PAGE = 100
_FAILURES = 3  # in a row: the store isn't there, and no look of this time is of use


@dataclass(frozen=True, slots=True)
class ScrubWish:
    """What is to be looked at, and how.

    Attributes:
        stores: their names; None for all that are in the settings.
        before: copies that were looked at since then are left out; None looks at all.
        is_deep: remote bytes are read, too.
        is_dry: nothing is written or queued; what would be is only counted.
        budget_s: how long it may take.
    """

    stores: Sequence[str] | None = None
    before: datetime | None = None
    is_deep: bool = False
    is_dry: bool = False
    pace: Pace | None = None
    budget_s: float | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """A copy that isn't what it should be; `is_lost` where no other copy can bring it back."""

    file_id: str
    store: str
    why: str
    is_lost: bool


@dataclass
class ScrubReport:
    """What was seen.

    Attributes:
        looked: copies that were looked at, and their bytes.
        back: copies that were taken for lost, and are there.
        unseen: by store, how many copies couldn't be looked at, and why the last couldn't.
    """

    looked: int = 0
    size: int = 0
    back: int = 0
    damages: list[Damage] = field(default_factory=list)
    unseen: dict[str, tuple[int, str]] = field(default_factory=dict)
    reconciled: Reconciled = field(default_factory=Reconciled)


class Scrub:
    """Compares copies with what they should be."""

    def __init__(self, world: World, heal: Heal, *, every: timedelta, bytes_per_s: float) -> None:
        """Take what the job is to keep to: how often each copy is looked at (0: never), and how fast bytes are read."""
        self._catalog = world.catalog
        self._stores = world.stores
        self._clock = world.clock
        self._heal = heal
        self._reconcile = Reconcile(world)
        self._every = every
        self._bytes_per_s = bytes_per_s

    async def turn(self) -> ScrubReport:
        """Look at what is due: what the job does each hour."""
        if not self._every:
            return ScrubReport(reconciled=await self._reconcile.run())
        before = self._clock.now() - self._every
        wish = ScrubWish(before=before, pace=Pace(self._bytes_per_s), budget_s=BUDGET_S)
        report = await self.run(wish)
        log.info(
            "scrub.ended",
            copies=report.looked,
            bytes=report.size,
            damaged=len(report.damages),
            back=report.back,
            unseen=sum(number for number, _ in report.unseen.values()),
            requeued=report.reconciled.requeued,
        )
        return report

    async def amount(self, wish: ScrubWish) -> tuple[int, int]:
        """Give how many copies there are in the stores, and their bytes together."""
        amounts = await self._catalog.read(lambda tx: tx.copies.amounts())
        of_these = [amounts[store] for store in self._named(wish) if store in amounts]
        return sum(one.copies for one in of_these), sum(one.size for one in of_these)

    async def run(self, wish: ScrubWish, told: Callable[[File], None] = lambda _: None) -> ScrubReport:
        """Look at everything that the wish names.

        Args:
            told: is given each file whose copy was looked at.
        """
        report = ScrubReport(reconciled=await self._reconcile.run(is_dry=wish.is_dry))
        ends_at = None if wish.budget_s is None else time.monotonic() + wish.budget_s
        for store in self._named(wish):
            async for files in self._pages(store, wish):
                if ends_at is not None and time.monotonic() > ends_at:
                    return report
                looks = (self._look(file, copy, wish, report) for file in files if (copy := file.copy_in(store)))
                are_seen = await asyncio.gather(*looks)
                for file in files:
                    told(file)
                if not any(are_seen) and report.unseen.get(store, (0, ""))[0] >= _FAILURES:
                    break
        return report

    def _named(self, wish: ScrubWish) -> Sequence[str]:
        return [store for store in (wish.stores or self._stores) if store in self._stores]

    async def _pages(self, store: str, wish: ScrubWish) -> AsyncIterator[Sequence[File]]:
        """Give the files whose copies are due, a few at a time."""
        before, after = wish.before or self._clock.now() + timedelta(microseconds=1), ""
        while True:
            page = await self._catalog.read(
                lambda tx, last=after: tx.copies.unchecked(store, before, after=last, limit=_PAGE)  # type: ignore[misc]
            )
            for start in range(0, len(page), _AT_ONCE):
                yield page[start : start + _AT_ONCE]
            if len(page) < _PAGE:
                return
            after = page[-1].id

    async def _look(self, file: File, copy: Copy, wish: ScrubWish, report: ScrubReport) -> bool:
        """Look at one copy; tell whether it could be seen. What can't be seen now is looked at the next time."""
        store = self._stores[copy.store]
        try:
            look = await look_at(file, copy, store, is_deep=wish.is_deep, pace=wish.pace)
            if look.damage is None:
                report.back += copy.state is CopyState.GONE
                if not wish.is_dry:
                    await self._heal.sound(file.id, copy, look.tag)
                    report.reconciled.added += await self._reconcile.complete(file)
            else:
                await self._damaged(file, copy, look.damage, wish, report)
        except CarryallError as error:
            number, _ = report.unseen.get(copy.store, (0, ""))
            report.unseen[copy.store] = number + 1, error.message
            log.warning("scrub.unseen", file=file.id, store=copy.store, reason=error.stable_code)
            return False
        report.looked += 1
        report.size += file.size
        return True

    async def _damaged(self, file: File, copy: Copy, why: str, wish: ScrubWish, report: ScrubReport) -> None:
        if wish.is_dry:
            siblings = [one for one in file.copies if one.is_stored and one.store != copy.store]
            state = CopyState.QUEUED if any(one.store in self._stores for one in siblings) else CopyState.GONE
        else:
            found = await self._heal.damaged(file.id, copy, why)
            if found is None:  # deleted or moved meanwhile: there is nothing to be damaged
                return
            state = found
        report.damages.append(Damage(file.id, copy.store, why, is_lost=state is CopyState.GONE))
