"""Carry files to the stores that they are promised to: what a delivery's job does, and who waits for it."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import structlog

from carryall.model.errors import CarryallError, Missing, StoreError
from carryall.model.file import Copy, CopyState, File
from carryall.model.work import Event, Job, JobState
from carryall.operations.announce import Announce, copy_data
from carryall.operations.cache import Cache
from carryall.operations.erase import remove_file
from carryall.operations.heal import DAMAGE, Heal, look_at, was_delivered
from carryall.operations.move import switched
from carryall.operations.pace import Pace
from carryall.operations.placing import job_id, lease_of, queue_deliveries
from carryall.operations.queue import LONGEST_WAIT, back_off
from carryall.operations.sources import CopySource
from carryall.operations.world import World
from carryall.ports.cancellation import beside, shielded
from carryall.ports.catalog import Tx
from carryall.ports.store import Sent, Store, Stored

log = structlog.get_logger(__name__)

_TOLD_EVERY_S = 2.0
_LOOK_EVERY_S = 0.5
_SLOW_ATTEMPTS = 6  # from here on a back-off waits for five minutes and more
_TRUSTED_FOR = timedelta(hours=1)  # local bytes that were compared with their digest since then aren't read twice
_UNREADABLE = "file_unreadable"
_NEVER = frozenset({"store_refused", _UNREADABLE})
"""What no later try can mend, unless it says that it is retryable."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the deliveries that somebody waited for stand.

    Attributes:
        state: "delivered" when as many stores have the file as were asked for; "failed" when a try failed without
            which they can't; "pending" else.
        failure: the copy that failed, then.
    """

    state: Literal["delivered", "failed", "pending"]
    file: File
    failure: Copy | None = None


class Deliver:
    """Brings files to stores, one copy at a time."""

    def __init__(self, world: World, announce: Announce, heal: Heal, cache: Cache) -> None:
        self._catalog = world.catalog
        self._stores = world.stores
        self._leases = world.leases
        self._telemetry = world.telemetry
        self._clock = world.clock
        self._ids = world.ids
        self._announce = announce
        self._heal = heal
        self._cache = cache
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def copy(self, job: Job, *, pace: Pace | None = None, sent: Sent = lambda _: None) -> None:
        """Bring a file to a store, perhaps in place of another one (operations/move.py): what the job does.

        Raises StoreError, with the time until the next try, if there is one.
        """
        file_id, name = job.payload["file_id"], job.payload["store"]
        found = await self._catalog.read(lambda tx: tx.files.get(file_id))
        copy = found.copy_in(name) if found else None
        if copy is not None:
            async with self._leases.hold(lease_of(name, copy.key)):  # nobody else puts or erases there meanwhile
                await self._copy(job, pace, sent)

    async def _copy(self, job: Job, pace: Pace | None, sent: Sent) -> None:
        file_id, name = job.payload["file_id"], job.payload["store"]
        file = await self._catalog.write(lambda tx: self._begin(tx, file_id, name, job.attempts))
        if file is None:
            return
        try:
            stored = await self._carried(file, name, pace, sent)
            link = await self._link(name, stored) if stored and file.wants_link else None
        except CarryallError as error:
            raise await self._failed(file, name, job, error) from error
        if stored is not None:
            await shielded(self._arrived(file, job, stored, link))

    def _begin(self, tx: Tx, file_id: str, store: str, attempts: int) -> File | None:
        file = tx.files.get(file_id)
        copy = file.copy_in(store) if file else None
        if file is None or copy is None or copy.is_stored:
            return None
        begun = replace(copy, state=CopyState.DELIVERING, attempts=attempts, sent_bytes=0, next_try_at=None)
        tx.files.put_copy(file_id, begun)
        return file.changed(begun)

    async def _carried(self, file: File, name: str, pace: Pace | None, told: Sent) -> Stored | None:
        """Bring the bytes from a copy that can be read; give None where nobody wants them any more."""
        store = self._stores.get(name)
        if store is None:
            raise StoreError(f"There is no store {name} in the settings.", retryable=False, code="store_not_found")
        failure: CarryallError | None = None
        for source in self._sources(file, store, pace):
            if not await self._is_sound(source):
                continue
            try:
                return await self._put(file, store, source, told)
            except CarryallError as error:
                failure = error
                if not await self._is_at_fault(source, error):
                    raise
        may_come_back = await self._may_be_read(file, but=name)
        raise StoreError("No store can give the file's bytes.", retryable=may_come_back, code=_UNREADABLE) from failure

    async def _may_be_read(self, file: File, *, but: str) -> bool:
        """Tell whether there still is a copy elsewhere that wasn't found lost: its store may only be away."""
        now = await self._catalog.read(lambda tx: tx.files.get(file.id))
        return now is not None and any(copy.is_stored and copy.store != but for copy in now.copies)

    def _sources(self, file: File, to: Store, pace: Pace | None) -> Sequence[CopySource]:
        """Give the copies that the file can be read from, those on this machine first."""
        found = [
            CopySource(file, copy, self._stores[copy.store], pace, is_streamed=to.capabilities.is_local)
            for copy in file.copies
            if copy.is_stored and copy.store != to.name and copy.store in self._stores
        ]
        return sorted(found, key=lambda source: not source.store.capabilities.is_local)

    async def _is_at_fault(self, source: CopySource, error: CarryallError) -> bool:
        """Tell whether a delivery failed because its source can't be read any more, and not because of the store."""
        try:
            await source.store.stat(source.copy.location)
        except CarryallError as gone:
            log.error("copy.unreadable", file=source.file.id, store=source.copy.store, reason=gone.stable_code)
            await self._heal.damaged_by(source.file.id, source.copy, gone)
            return True
        if error.stable_code in DAMAGE and source.store.capabilities.is_local:
            return not await self._is_sound(source, is_trusted=False)
        return isinstance(error, Missing)

    async def _is_sound(self, source: CopySource, *, is_trusted: bool = True) -> bool:
        """Compare local bytes with their digest, unless that was done just now: what is damaged isn't carried on.

        A local store compares what it is brought. Providers' bytes are protected on their way, and aren't read twice.
        """
        checked_at = source.copy.checked_at
        is_fresh = checked_at is not None and self._clock.now() - checked_at < _TRUSTED_FOR
        if not source.store.capabilities.is_local or (is_trusted and (is_fresh or source.is_streamed)):
            return True
        try:
            look = await look_at(source.file, source.copy, source.store, pace=source.pace)
        except StoreError:  # the carrying tells
            return True
        if look.damage is not None:
            await self._heal.damaged(source.file.id, source.copy, look.damage)
            return False
        await self._heal.sound(source.file.id, source.copy, look.tag)
        return True

    async def _link(self, name: str, stored: Stored) -> str | None:
        store = self._stores[name]
        return await store.link(stored.location) if store.capabilities.has_links else None

    async def _put(self, file: File, store: Store, source: CopySource, told: Sent) -> Stored | None:
        """Put, and write down from time to time how many bytes have been taken; stop when the file is deleted."""
        copy, so_far = file.copy_in(store.name), 0
        if copy is None:
            return None

        def sent(number: int) -> None:
            nonlocal so_far
            so_far = number
            told(number)

        async def tell() -> None:
            is_wanted = True
            while is_wanted:
                await asyncio.sleep(_TOLD_EVERY_S)
                with suppress(CarryallError):
                    is_wanted = await self._catalog.write(lambda tx: tx.files.note_sent(file.id, store.name, so_far))
            patience.reschedule(0)  # it ends now

        patience = asyncio.timeout(None)
        try:
            async with patience, beside(tell()):
                return await store.put(copy.key, source, sent=sent)
        except TimeoutError:
            if not patience.expired():
                raise
            return None

    async def _arrived(self, file: File, job: Job, stored: Stored, link: str | None) -> None:
        """Transaction D: the copy is stored, its event, and what the file's target was waiting for."""
        name = job.payload["store"]
        arrived = await self._catalog.write(lambda tx: self._arrive(tx, job, stored, link))
        if arrived is None:  # deleted meanwhile, so nobody knows of these bytes; but the next file may have the key
            if not await self._catalog.read(lambda tx: tx.files.holds_key(name, stored.location)):
                await self._stores[name].erase(stored.location)
            return
        self._telemetry.delivered(name, "stored", file.size)
        log.info("copy.stored", file=file.id, owner=file.owner, store=name, bytes=file.size)
        self._ring(file.id)

    def _arrive(self, tx: Tx, job: Job, stored: Stored, link: str | None) -> File | None:
        now, file_id, store = self._clock.now(), job.payload["file_id"], job.payload["store"]
        before = tx.files.get(file_id)
        copy = before.copy_in(store) if before else None
        if before is None or copy is None:
            return None
        there = replace(
            copy,
            state=CopyState.STORED,
            location=stored.location,
            tag=stored.tag,
            link=link,
            sent_bytes=0,
            error=None,
            error_code=None,
            next_try_at=None,
            stored_at=now,
            checked_at=now,
        )
        tx.files.put_copy(file_id, there)
        file, there = self._settled(tx, before.changed(there), there, job)
        if not there.is_cache:
            data = {**copy_data(file, there), "link": link, "is_delivered": file.is_delivered}
            self._publish(tx, "copy.stored", file, now, data)
        if file.is_delivered and not before.is_delivered and not was_delivered(tx, before):
            self._announce.release(tx, "file.stored", file_id)
        self._cache.settle(tx, file)
        return file

    def _settled(self, tx: Tx, file: File, there: Copy, job: Job) -> tuple[File, Copy]:
        """Let a file that was brought in place of another store's copy be here from now on, and no more there."""
        if "from" not in job.payload:
            return file, there
        source = job.payload["from"]
        keeps = self._cache.keeps(file.target.moved(source, there.store))
        moved = switched(tx, file, source, there.store, now=self._clock.now(), keeps_cache=keeps)
        return moved, moved.copy_in(there.store) or there

    def _publish(self, tx: Tx, event_type: str, file: File, now: datetime, data: Mapping[str, object]) -> None:
        self._announce.publish(tx, Event(type=event_type, subject=file.id, owner=file.owner, created_at=now, data=data))

    async def _failed(self, file: File, store: str, job: Job, error: CarryallError) -> StoreError:
        """Write down why a try failed and when the next one is; give the error that the runner is to see."""
        is_hopeless = error.stable_code in _NEVER and not error.retryable
        is_final = is_hopeless or job.attempts >= job.max_attempts
        wait = self._wait(job, error)
        await self._catalog.write(lambda tx: self._fail(tx, file.id, store, error, None if is_final else wait))
        self._telemetry.delivered(store, "given up" if is_final else "failed", 0)
        log.warning(
            "copy.failed",
            file=file.id,
            store=store,
            attempts=job.attempts,
            reason=error.stable_code,
            next_try_s=None if is_final else int(wait.total_seconds()),
        )
        self._ring(file.id)
        seconds = None if is_final else max(1, int(wait.total_seconds()))
        return StoreError(error.message, retryable=not is_final, code=error.stable_code, retry_after_s=seconds)

    def _wait(self, job: Job, error: CarryallError) -> timedelta:
        if error.retry_after_s is not None:
            return min(LONGEST_WAIT, timedelta(seconds=error.retry_after_s))
        # What somebody has to correct first is not asked for every few seconds.
        return back_off(job.attempts if error.retryable else max(job.attempts, _SLOW_ATTEMPTS))

    def _fail(self, tx: Tx, file_id: str, store: str, error: CarryallError, wait: timedelta | None) -> None:
        now = self._clock.now()
        file = tx.files.get(file_id)
        copy = file.copy_in(store) if file else None
        if file is None or copy is None:
            return
        # What was there once and can't be brought again is lost, and looked for again by each scrub.
        is_lost = wait is None and copy.stored_at is not None and error.stable_code == _UNREADABLE
        failed = replace(
            copy,
            state=CopyState.GONE if is_lost else CopyState.FAILED,
            sent_bytes=0,
            error=error.message,
            error_code=error.stable_code,
            next_try_at=None if wait is None else now + wait,
        )
        # Who gives up hears of one failure, and finds nothing later.
        is_over = file.gives_up and not copy.is_cache and copy.stored_at is None and file.changed(failed).is_failing
        failed = replace(failed, next_try_at=None) if is_over else failed
        tx.files.put_copy(file_id, failed)
        if not failed.is_cache:
            at = failed.next_try_at.isoformat() if failed.next_try_at else None
            data = {**copy_data(file, failed), "error": error.message, "code": error.stable_code, "next_try_at": at}
            self._publish(tx, "copy.failed", file, now, data)
        if is_over:
            remove_file(tx, file, now=now, ids=self._ids, announce=self._announce, why="undeliverable")
        elif wait is None:
            self._cache.settle(tx, file.changed(failed))

    async def retry(self, file_id: str, stores: Sequence[str]) -> None:
        """Try deliveries that failed or wait once more, now. What is being tried goes on."""
        now = self._clock.now()

        def work(tx: Tx) -> None:
            file = tx.files.get(file_id)
            if file is not None:
                due = [c for c in file.copies if c.store in stores and not (c.is_stored or _runs(tx, file, c))]
                for copy in due:
                    tx.files.put_copy(file_id, replace(copy, state=CopyState.QUEUED, next_try_at=None))
                queue_deliveries(tx, file, [copy.store for copy in due], now=now)

        await self._catalog.write(work)
        self._announce.wake()

    async def wait(self, file: File, *, seconds: float) -> Outcome:
        """Wait until a file is where it was promised to be, a try failed for it, or the time is up."""
        rung = asyncio.Event()
        self._waiting[file.id].add(rung)
        try:
            async with asyncio.timeout(seconds):
                while (outcome := await self._look(file)).state == "pending":
                    with suppress(TimeoutError):  # another process may have delivered it
                        async with asyncio.timeout(_LOOK_EVERY_S):
                            await rung.wait()
                    rung.clear()
        except TimeoutError:
            outcome = await self._look(file)
        finally:
            self._waiting[file.id].discard(rung)
            if not self._waiting[file.id]:
                del self._waiting[file.id]
        return outcome

    async def _look(self, waited: File) -> Outcome:
        file, failed = await self._catalog.read(lambda tx: _stands(tx, waited.id))
        if file is None and waited.gives_up and failed is not None:
            return Outcome("failed", waited, failed)
        if file is None:
            raise Missing("The file was deleted meanwhile.", code="file_not_found")
        if file.is_delivered:
            return Outcome("delivered", file)
        failures = [copy for copy in file.copies if copy.state is CopyState.FAILED and not copy.is_cache]
        if failures and file.is_failing:
            return Outcome("failed", file, failures[0])
        return Outcome("pending", file)

    def _ring(self, file_id: str) -> None:
        """Wake those who wait for a file, and those who tell of it."""
        self._announce.wake()
        for rung in self._waiting.get(file_id, ()):
            rung.set()


def _runs(tx: Tx, file: File, copy: Copy) -> bool:
    job = tx.jobs.get(job_id(file.id, copy.store))
    return job is not None and job.state is JobState.RUNNING


def _stands(tx: Tx, file_id: str) -> tuple[File | None, Copy | None]:
    """Give a file as it is; one that is gone since a delivery failed as the failure that its event tells of."""
    file = tx.files.get(file_id)
    event = tx.events.of("copy.failed", file_id) if file is None else None
    if event is None:
        return file, None
    told = event.data
    return None, Copy(told["store"], "", CopyState.FAILED, error=told["error"], error_code=told["code"])
