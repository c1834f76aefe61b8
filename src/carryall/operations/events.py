"""Follow what happens: events in their order, as they come, to whoever may see them."""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from carryall.model.errors import CarryallError, RateLimited
from carryall.model.principal import Principal
from carryall.model.work import Event
from carryall.operations.jobs import Bell
from carryall.operations.world import World
from carryall.ports.cancellation import ended
from carryall.ports.catalog import Tx

log = structlog.get_logger(__name__)

_LOOK_S = 1.0
_PAGE = 100
_REMEMBERED = 1000
_AT_MOST = 20  # a browser has six connections for each site, and a person has several browsers
_COME_BACK_S = 10


@dataclass(frozen=True, slots=True)
class Interest:
    """Whose events somebody follows.

    Attributes:
        principal: who follows; sees no others than those about what they see.
        owner: those about this owner's things; None: everybody's.
    """

    principal: Principal
    owner: str | None

    def covers(self, event: Event) -> bool:
        """Tell whether an event is for them."""
        if self.owner is not None and event.owner != self.owner:
            return False
        external = event.data.get("main_service_file_id")
        external_id = None if external is None else str(external)
        return self.principal.sees(event.owner, file_id=event.subject, external_id=external_id)


class Feed:
    """Looks for new events: each second and after our own commits, once for all in this process who follow.

    Nothing is kept for anybody who follows but how far they are. Who is farther behind than the latest events, which
    are remembered, reads the catalog, a page at a time.
    """

    def __init__(self, world: World, bell: Bell) -> None:
        self._catalog = world.catalog
        self._ear = bell.ear()
        self._recent: list[Event] = []
        self._floor = 0  # every event after this one, up to the tip, is among the recent ones
        self._tip = 0
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._followers: Counter[str] = Counter()

    @asynccontextmanager
    async def following(self, interest: Interest, *, after: int | None) -> AsyncIterator["Following"]:
        """Follow from now on, or from behind the event `after`. Raises RateLimited (`too_many_streams`)."""
        who = interest.principal.id
        if self._followers[who] >= _AT_MOST:
            raise RateLimited(
                f"You follow events {_AT_MOST} times already, as often as is allowed. End one first.",
                code="too_many_streams",
                retry_after_s=_COME_BACK_S,
                limit=_AT_MOST,
            )
        self._followers[who] += 1
        try:
            last = await self._catalog.read(_last_id)
            self._begin(last)
            # One that is ahead of us comes from before a backup: what is new since then can't be told.
            yield Following(self, interest, last if after is None else min(after, last))
        finally:
            self._followers[who] -= 1
            self._followers += Counter()  # drops those who follow no more
            if not self._followers:
                await self._end()

    def _begin(self, last: int) -> None:
        if self._looking is None:
            self._recent, self._floor, self._tip = [], last, last
            self._looking = asyncio.create_task(self._look())

    async def _end(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            await ended(looking)

    async def _look(self) -> None:
        try:
            while True:
                found = await self._found()
                self._add(found)
                if len(found) < _PAGE:
                    await self._ear.wait(_LOOK_S)
        finally:
            self._tell()

    async def _found(self) -> Sequence[Event]:
        tip = self._tip
        try:
            return await self._catalog.read(lambda tx: tx.events.after(tip, owner=None, limit=_PAGE))
        except CarryallError as error:
            log.warning("events.unreadable", reason=error.stable_code)
            return []

    def _add(self, found: Sequence[Event]) -> None:
        if not found:
            return
        self._recent += found
        self._tip = found[-1].id
        beyond = len(self._recent) - _REMEMBERED
        if beyond > 0:
            self._floor = self._recent[beyond - 1].id
            del self._recent[:beyond]
        self._tell()

    def _tell(self) -> None:
        """Wake everybody who waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self) -> None:
        """Wait for news. Raises what has ended the looking, if something did."""
        if self._looking is not None and self._looking.done():
            self._looking.result()
        await self._news.wait()

    async def step(self, interest: Interest, position: int) -> tuple[list[Event], int]:
        """Give the next events behind a position, at most a page, and the position behind them."""
        if position >= self._floor:
            begin = bisect_right(self._recent, position, key=lambda event: event.id)
            newer, tip = self._recent[begin:], max(position, self._tip)
            seen = [event for event in newer if interest.covers(event)]
            return (seen, tip) if len(seen) <= _PAGE else (seen[:_PAGE], seen[_PAGE - 1].id)
        return await self._catalog.read(lambda tx: _page(tx, interest, position))

    def is_up_to_date(self, position: int) -> bool:
        """Tell whether nothing is known behind a position."""
        return position >= self._tip


class Following:
    """One who follows."""

    def __init__(self, feed: Feed, interest: Interest, position: int) -> None:
        self._feed = feed
        self._interest = interest
        self.position = position
        """The id of the last event that was given or passed over."""

    async def next(self, *, seconds: float) -> list[Event]:
        """Give the next events, 1 to 100; none when none came for so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found, self.position = await self._feed.step(self._interest, self.position)
                    if found:
                        return found
                    if self._feed.is_up_to_date(self.position):
                        await self._feed.wait()
        except TimeoutError:
            return []


def _last_id(tx: Tx) -> int:
    return next((event.id for event in tx.events.latest(1)), 0)


def _page(tx: Tx, interest: Interest, position: int) -> tuple[list[Event], int]:
    """Read a page; what isn't theirs between its end and the present is passed over."""
    last = _last_id(tx)
    found = tx.events.after(position, owner=interest.owner, limit=_PAGE)
    end = found[-1].id if len(found) == _PAGE else max(last, position)
    return [event for event in found if interest.covers(event)], end
