"""Copies that are missing or differ: tell them by looking, bring them anew from a sibling, or call them lost."""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from functools import partial

import structlog

from carryall.model.errors import CarryallError, Missing, StoreError
from carryall.model.file import Copy, CopyState, File
from carryall.model.work import Event
from carryall.operations.announce import Announce, copy_data
from carryall.operations.pace import Pace
from carryall.operations.placing import queue_deliveries
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.store import Store

log = structlog.get_logger(__name__)

DAMAGE = frozenset({"file_damaged", "store_damaged"})
"""Codes by which a store says that what it has isn't what it was given."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a copy was found to be.

    Attributes:
        damage: what is wrong with it, for people; None where nothing is.
        tag: what the provider tells its bytes apart by now.
    """

    damage: str | None = None
    tag: str | None = None


async def look_at(file: File, copy: Copy, store: Store, *, is_deep: bool = False, pace: Pace | None = None) -> Look:
    """Compare a copy with what it should be: size and tag, and where they are cheap or the tag has changed, the bytes.

    Args:
        is_deep: the bytes are read and compared with their SHA-256 in any case, and not only where they are local.

    Raises StoreError where the store can't be looked at: that is no damage.
    """
    try:
        there = await store.stat(copy.location)
        if there.size != file.size:
            return Look(f"It has {there.size} bytes in store {copy.store} and should have {file.size}.")
        is_other = None not in (copy.tag, there.tag) and copy.tag != there.tag
        is_read = is_deep or is_other or store.capabilities.is_local
        if is_read and await _sha256(file, copy, store, pace) != file.sha256:
            return Look(f"Its bytes in store {copy.store} aren't those that were stored there.")
    except Missing:
        await _check_there(store)
        return Look(f"It isn't in store {copy.store} any more.")
    except StoreError as error:
        if error.stable_code in DAMAGE:
            return Look(error.message)
        raise
    return Look(tag=there.tag)


async def _check_there(store: Store) -> None:
    """Raise StoreError where a folder of this machine isn't there as a whole: a disk that isn't mounted lost none."""
    if store.capabilities.is_local:
        await store.ready()


async def _sha256(file: File, copy: Copy, store: Store, pace: Pace | None) -> str:
    digest = hashlib.sha256()
    reading = await store.open(copy.location, 0, file.size)
    try:
        async for chunk in reading:
            if pace is not None:
                await pace.take(len(chunk))
            await asyncio.to_thread(digest.update, chunk)
    finally:
        await reading.aclose()
    return digest.hexdigest()


class Heal:
    """Sees to copies that were found damaged."""

    def __init__(self, world: World, announce: Announce) -> None:
        self._catalog = world.catalog
        self._stores = world.stores
        self._clock = world.clock
        self._announce = announce

    async def damaged(self, file_id: str, copy: Copy, why: str) -> CopyState | None:
        """Write down that a copy isn't what it should be; give what it is now.

        QUEUED: a sibling has the bytes, and they are brought from there. GONE: none has, and the file is lost unless
        they come back. None: the row says something else by now, so that nothing is known of it.
        """
        state = await self._catalog.write(lambda tx: self._mark(tx, file_id, copy, why))
        if state is CopyState.GONE:
            log.error("file.damaged", file=file_id, store=copy.store, reason=why)
        elif state is not None:
            log.warning("copy.damaged", file=file_id, store=copy.store, reason=why)
            self._announce.wake()
        return state

    async def damaged_by(self, file_id: str, copy: Copy, error: CarryallError) -> None:
        """The same for who only wanted to read: what is no damage, or can't be written now, is left for a scrub."""
        if not isinstance(error, Missing) and error.stable_code not in DAMAGE:
            return
        why = f"It isn't in store {copy.store} any more." if isinstance(error, Missing) else error.message
        try:
            if copy.store in self._stores:
                await _check_there(self._stores[copy.store])
            await self.damaged(file_id, copy, why)
        except CarryallError as failure:
            log.warning("copy.unmarked", file=file_id, store=copy.store, reason=failure.stable_code)

    def _mark(self, tx: Tx, file_id: str, copy: Copy, why: str) -> CopyState | None:
        file, now = tx.files.get(file_id), self._clock.now()
        held = unchanged(file, copy)
        if file is None or held is None:
            return None
        siblings = [one for one in file.copies if one.is_stored and one.store != copy.store]
        is_curable = copy.store in self._stores and any(one.store in self._stores for one in siblings)
        state = CopyState.QUEUED if is_curable else CopyState.GONE
        marked = replace(held, state=state, error=why, attempts=0, next_try_at=None, checked_at=now)
        marked = replace(marked, error_code="copy_damaged" if is_curable else "file_damaged")
        tx.files.put_copy(file_id, marked)
        if is_curable:
            queue_deliveries(tx, file, [copy.store], now=now)
        if state is not held.state:
            told = file.is_delivered or was_delivered(tx, file)
            data = {**copy_data(file, marked), "why": why, "was_delivered": told}
            event = partial(Event, subject=file_id, owner=file.owner, created_at=now, data=data)
            self._announce.publish(tx, event(type="copy.damaged") if is_curable else event(type="file.damaged"))
        return state

    async def sound(self, file_id: str, copy: Copy, tag: str | None) -> bool:
        """Write down that a copy was looked at and is what it should be; give whether it was taken for gone before."""

        def work(tx: Tx) -> bool:
            held = unchanged(tx.files.get(file_id), copy)
            if held is None:
                return False
            sound = replace(held, state=CopyState.STORED, tag=tag or held.tag, checked_at=self._clock.now())
            tx.files.put_copy(file_id, replace(sound, error=None, error_code=None))
            return held.state is CopyState.GONE

        return await self._catalog.write(work)


def unchanged(file: File | None, copy: Copy) -> Copy | None:
    """Give a copy as its row says now, if it still is at the place where somebody looked."""
    held = file.copy_in(copy.store) if file is not None else None
    if held is None or held.location != copy.location or held.state not in (CopyState.STORED, CopyState.GONE):
        return None
    return held


def was_delivered(tx: Tx, file: File) -> bool:
    """Tell whether a file was where it was promised to be before a copy of it was damaged: who waited was told then."""
    damage = tx.events.of("copy.damaged", file.id)
    return damage is not None and bool(damage.data["was_delivered"])
