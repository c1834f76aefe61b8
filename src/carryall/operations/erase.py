"""Erasing: the row first, the bytes after. Bytes are erased by a job that the row's transaction wrote."""

import hashlib
from datetime import datetime

import structlog

from carryall.model.errors import StoreError
from carryall.model.file import Copy, File
from carryall.model.work import Event, Job
from carryall.operations.announce import Announce, file_data
from carryall.operations.placing import MAX_ATTEMPTS, job_id, lease_of
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.ids import Ids

log = structlog.get_logger(__name__)

KIND = "erase"


def remove_file(tx: Tx, file: File, *, now: datetime, ids: Ids, announce: Announce, why: str) -> None:
    """Take a file out of the catalog: its row, links, room and name; queue the erasing of its bytes.

    Args:
        why: "deleted", "expired", "replaced" or "undeliverable".
    """
    tx.files.remove(file.id)
    tx.usages.file_removed(file.owner, file.size)
    for copy in file.copies:
        tx.jobs.remove(job_id(file.id, copy.store))
        if copy.location or copy.attempts:
            queue_erasing(tx, copy, now=now, job_id=ids.long())
    data = {**file_data(file), "why": why}
    announce.publish(tx, Event(type="file.deleted", subject=file.id, owner=file.owner, created_at=now, data=data))
    log.info("file.deleted", id=file.id, owner=file.owner, bytes=file.size, why=why)


def erasing_id(store: str, location: str) -> str:
    """Give the id of the job that erases what a file left at a place as it moved away."""
    return f"{KIND}.{hashlib.sha256(f'{store} {location}'.encode()).hexdigest()[:40]}"


def queue_erasing(tx: Tx, copy: Copy, *, now: datetime, job_id: str) -> None:
    """Queue the erasing of a copy's bytes. Where a delivery's answer was never heard, its key has to do."""
    payload = {"store": copy.store, "key": copy.location or copy.key}
    tx.jobs.add(Job(id=job_id, kind=KIND, payload=payload, run_at=now, created_at=now, max_attempts=MAX_ATTEMPTS))


class Erase:
    """Removes bytes that no row points at."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._stores = world.stores
        self._leases = world.leases

    async def copy(self, store: str, key: str) -> None:
        """Erase one copy's bytes: what the job does. Bytes that a row points at again stay.

        Raises StoreError: it is always tried again, also when somebody has to correct something first.

        Args:
            key: where the bytes are, or the key that they were put under.
        """
        known = self._stores.get(store)
        if known is None:
            return
        async with self._leases.hold(lease_of(store, key)):
            if await self._catalog.read(lambda tx: tx.files.holds_key(store, key)):
                return
            try:
                await known.erase(key)
            except StoreError as error:
                raise StoreError(
                    error.message, retryable=True, code=error.stable_code, retry_after_s=error.retry_after_s
                ) from error
