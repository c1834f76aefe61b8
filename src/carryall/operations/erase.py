"""Erasing: the row first, the bytes after. Bytes are erased by a job that the row's transaction wrote."""

from datetime import datetime

import structlog

from carryall.model.file import File
from carryall.model.work import Event, Job
from carryall.operations.announce import Announce
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.ids import Ids

log = structlog.get_logger(__name__)

KIND = "erase"


def remove_file(tx: Tx, file: File, *, now: datetime, ids: Ids, announce: Announce, why: str) -> None:
    """Take a file out of the catalog: its row, links, room and name; queue the erasing of its bytes.

    Args:
        why: "deleted", "expired" or "replaced".
    """
    tx.files.remove(file.id)
    tx.usages.file_removed(file.owner, file.size)
    for copy in file.copies:
        payload = {"store": copy.store, "key": copy.key}
        tx.jobs.add(Job(id=ids.long(), kind=KIND, payload=payload, run_at=now, created_at=now))
    data = {"file_id": file.id, "name": file.name, "size": file.size, "why": why}
    announce.publish(tx, Event(type="file.deleted", subject=file.id, owner=file.owner, created_at=now, data=data))
    log.info("file.deleted", id=file.id, owner=file.owner, bytes=file.size, why=why)


class Erase:
    """Removes bytes that no row points at."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._stores = world.stores

    async def copy(self, store: str, key: str) -> None:
        """Erase one copy's bytes: what the job does. Bytes that a row points at again stay."""
        known = self._stores.get(store)
        if known is None or await self._catalog.read(lambda tx: tx.files.holds_key(store, key)):
            return
        await known.erase(key)
