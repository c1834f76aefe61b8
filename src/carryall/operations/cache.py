"""Local copies that nobody asked for: how long they stay, and when they come back."""

from collections.abc import Mapping

from carryall.model.file import Copy, CopyState, File
from carryall.model.target import Target
from carryall.model.work import Job
from carryall.operations.announce import Announce
from carryall.operations.erase import queue_erasing
from carryall.operations.placing import HOME, fresh_key, queue_deliveries
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.store import Store

TRIM = "trim"
_PAGE = 100
_LARGEST = 4  # a file that is brought back takes at most this part of the room: one must not drive out all others


class Cache:
    """Keeps copies in the built-in store of files whose targets have no local store."""

    def __init__(self, world: World, announce: Announce, *, limit_bytes: int | None) -> None:
        """Take the room: 0 keeps nothing that was delivered, None keeps all."""
        self._catalog = world.catalog
        self._stores = world.stores
        self._clock = world.clock
        self._ids = world.ids
        self._announce = announce
        self._limit_bytes = limit_bytes

    def keeps(self, target: Target) -> bool:
        """Tell whether a copy stays although its file was delivered, where its target is this one."""
        return self._limit_bytes != 0 and not _has_local(target, self._stores)

    def settle(self, tx: Tx, file: File) -> None:
        """See to a file's cached copy after a delivery, in its transaction."""
        if self._limit_bytes is None or not _is_cached(file):
            return
        if not self._limit_bytes:
            self._drop(tx, file)
            return
        now = self._clock.now()
        tx.jobs.put(Job(id=f"cache.{TRIM}", kind=TRIM, payload={}, run_at=now, created_at=now))

    def _drop(self, tx: Tx, file: File) -> bool:
        """Let a cached copy go if its file's target is reached and nothing is on its way; tell whether it went."""
        cached = file.copy_in(HOME)
        is_elsewhere = any(c.is_stored and c.store != HOME and c.store in self._stores for c in file.copies)
        if cached is None or not file.is_delivered or not is_elsewhere or any(c.is_under_way for c in file.copies):
            return False
        tx.files.remove_copy(file.id, cached.store)
        queue_erasing(tx, cached, now=self._clock.now(), job_id=self._ids.long())
        return True

    async def trim(self) -> int:
        """Let copies go until the rest fits into the room, those first that were read longest ago; give how many."""
        if self._limit_bytes is None:
            return 0
        gone, kept = 0, 0
        while True:
            dropped, stayed = await self._catalog.write(lambda tx, skip=kept: self._trim(tx, skip))  # type: ignore[misc]
            gone, kept = gone + dropped, kept + stayed
            if dropped + stayed < _PAGE:
                return gone

    def _trim(self, tx: Tx, skip: int) -> tuple[int, int]:
        """Look at a page of copies; give how many went and how many must stay: fewer than a page when all is done."""
        limit = self._limit_bytes or 0
        over = tx.copies.cached_bytes(HOME) - limit
        dropped = stayed = 0
        for file in tx.copies.cached(HOME, offset=skip, limit=_PAGE):
            if limit and over <= 0:
                break
            if self._drop(tx, file):
                dropped, over = dropped + 1, over - file.size
            else:
                stayed += 1
        return dropped, stayed

    async def fetch(self, file: File) -> None:
        """Queue the return of a file that was read from afar, where it fits."""
        limit = self._limit_bytes
        if not limit or file.size * _LARGEST > limit or not _may_be_cached(file, self._stores):
            return
        if await self._catalog.write(lambda tx: self._fetch(tx, file.id)):
            self._announce.wake()

    def _fetch(self, tx: Tx, file_id: str) -> bool:
        file = tx.files.get(file_id)
        if file is None or not _may_be_cached(file, self._stores):
            return False
        key = fresh_key(self._stores[HOME], file, self._ids)
        tx.files.put_copy(file_id, Copy(HOME, key, CopyState.QUEUED, is_cache=True))
        queue_deliveries(tx, file, [HOME], now=self._clock.now())
        return True


def _is_cached(file: File) -> bool:
    home = file.copy_in(HOME)
    return home is not None and home.is_cache


def _may_be_cached(file: File, stores: Mapping[str, Store]) -> bool:
    """Tell whether nothing of a file is on this machine, and nothing is to be."""
    return not _has_local(file.target, stores) and file.copy_in(HOME) is None


def _has_local(target: Target, stores: Mapping[str, Store]) -> bool:
    return any(name in stores and stores[name].capabilities.is_local for name in target.stores)
