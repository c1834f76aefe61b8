"""What time takes away: files whose time is up, uploads that nobody continues, bytes that no row knows."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog

from carryall.model.errors import CarryallError
from carryall.model.principal import Principal
from carryall.model.upload import State, Upload
from carryall.operations import quota
from carryall.operations.announce import Announce
from carryall.operations.erase import remove_file
from carryall.operations.ingest import Door
from carryall.operations.queue import Queue
from carryall.operations.sight import is_needed
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.store import Store

log = structlog.get_logger(__name__)

_PAGE = 200
_CLOSED_UPLOADS_STAY = timedelta(days=7)
_DONE_JOBS_STAY = timedelta(days=7)
_EVENTS_STAY = timedelta(days=90)
_GRANTS_STAY = timedelta(hours=1)
_UNFINISHED_PUTS_STAY = timedelta(days=1)  # longer than a put of the largest file takes


class Expire:
    """Run from time to time by jobs."""

    def __init__(
        self, world: World, door: Door, announce: Announce, *, admin: Principal, sweep_after: timedelta
    ) -> None:
        self._catalog = world.catalog
        self._door = door
        self._staging = world.staging
        self._stores = world.stores
        self._leases = world.leases
        self._rates = world.rates
        self._queue = Queue(world)
        self._announce = announce
        self._clock = world.clock
        self._ids = world.ids
        self._admin = admin
        self._sweep_after = sweep_after

    async def run(self) -> None:
        """Expire files and uploads, and forget what is only history."""
        await self._files()
        await self._uploads()
        await self._leases.tidy()
        is_gone = await self._leases.gone()
        if is_gone is not None:
            await self.abort_one_shots(is_gone)
            await self._queue.take_back(is_gone)
        now = self._clock.now()
        while await self._catalog.write(lambda tx: tx.uploads.forget_closed(now - _CLOSED_UPLOADS_STAY, _PAGE)):
            pass

        def work(tx: Tx) -> None:
            tx.jobs.forget_done(now - _DONE_JOBS_STAY)
            tx.events.forget(now - _EVENTS_STAY)
            tx.grants.forget(now - _GRANTS_STAY)
            tx.errands.forget(now)

        await self._catalog.write(work)
        await self._rates.forget()

    async def _files(self) -> None:
        def work(tx: Tx) -> int:
            now = self._clock.now()
            found = tx.files.expired(now, _PAGE)
            for file in found:
                remove_file(tx, file, now=now, ids=self._ids, announce=self._announce, why="expired")
            return len(found)

        while await self._catalog.write(work):
            self._announce.wake()

    async def _uploads(self) -> None:
        now = self._clock.now()
        while stale := await self._catalog.read(lambda tx: tx.uploads.stale(now, _PAGE)):
            ended = 0
            for upload_id in stale:
                if await self._leases.is_held(upload_id):
                    continue  # somebody writes to it now; its next row moves the expiry
                await self._door.abort(self._admin, upload_id, state=State.EXPIRED)
                ended += 1
            if not ended:
                return

    async def abort_one_shots(self, is_gone: Callable[[str | None], bool] = lambda _: True) -> int:
        """Give up the one-shot uploads of processes that are gone; give how many there were.

        What resumable ones reserve ahead and nobody writes to is given back: resuming may need just that room.

        Args:
            is_gone: tells of a process, by its node name, whether it can't come back. Before the only process of a
                data folder serves, every other one is.
        """
        found = await self._catalog.read(lambda tx: tx.uploads.one_shot_open())
        gone = [upload_id for upload_id, node in found if is_gone(node)]
        for upload_id in gone:
            await self._door.abort(self._admin, upload_id)
        ahead = await self._catalog.read(lambda tx: [upload.id for upload in tx.uploads.reserved_ahead()])
        for start in range(0, len(ahead), _PAGE):
            await self._give_back(ahead[start : start + _PAGE])
        return len(gone)

    async def _give_back(self, upload_ids: Sequence[str]) -> None:
        """Give back what these uploads reserve ahead, of those that nobody writes to; in one transaction."""
        async with AsyncExitStack() as leases:
            free = [upload_id for upload_id in upload_ids if not await self._leases.is_held(upload_id)]
            for upload_id in free:
                await leases.enter_async_context(self._leases.hold(upload_id))

            def work(tx: Tx) -> None:
                for upload in (tx.uploads.get(upload_id) for upload_id in free):
                    if upload is not None and upload.state is State.OPEN and upload.size is None:
                        quota.give_back(tx, upload.owner, upload.id, upload.reserved_bytes - upload.held_bytes)

            await self._catalog.write(work)

    async def sweep(self) -> int:
        """Remove staged and stored bytes that no row points at; give how many pieces went.

        Bytes of an open upload, bytes being written, and bytes younger than the setting are left alone.
        """
        gone = 0
        async for extent in self._staging.extents():
            upload_id = extent.upload_id
            upload = await self._catalog.read(lambda tx, wanted=upload_id: tx.uploads.get(wanted))  # type: ignore[misc]
            is_closed = upload is not None and upload.state is not State.OPEN
            is_unknown = upload is None and extent.age_s > self._sweep_after.total_seconds()
            if (is_closed or is_unknown) and not await self._leases.is_held(upload_id):
                await self._staging.discard_all(upload_id)
                gone += 1
        return gone + await self._sweep_stores() + await self._abort_puts()

    async def _abort_puts(self) -> int:
        """Let stores remove what puts left in them that never ended."""
        gone = 0
        for name, store in self._stores.items():
            try:
                gone += await store.abort_leftovers(_UNFINISHED_PUTS_STAY)
            except CarryallError as error:
                log.warning("sweep.failed", store=name, reason=error.stable_code)
        return gone

    async def _sweep_stores(self) -> int:
        gone = 0
        for name, store in self._stores.items():
            if store.capabilities.is_local:  # elsewhere rows come before bytes, and what else is there isn't ours
                try:
                    gone += await self._sweep_store(name, store)
                except CarryallError as error:  # the others are swept all the same
                    log.warning("sweep.failed", store=name, reason=error.stable_code)
        return gone

    async def _sweep_store(self, name: str, store: Store) -> int:
        gone = 0
        async for stored in store.list():
            if not await self._is_leftover(name, stored.location, stored.age_s):
                continue
            try:
                await store.erase(stored.location)
            except CarryallError as error:
                log.warning("sweep.failed", store=name, key=stored.location, reason=error.stable_code)
                continue
            log.info("sweep.erased", store=name, key=stored.location, bytes=stored.size)
            gone += 1
        return gone

    async def _is_leftover(self, store: str, key: str, age_s: float) -> bool:
        """Tell whether stored bytes belong to nobody: no copy has this key, and no open upload is about to."""

        def work(tx: Tx) -> bool:
            if is_needed(tx, store, key):
                return False
            # What is half written comes from a completion or from another store: that only its age tells.
            is_over = not key.endswith(".half") and tx.uploads.get(Upload.id_of(key)) is not None
            return is_over or age_s > self._sweep_after.total_seconds()

        return await self._catalog.read(work) and not await self._leases.is_held(Upload.id_of(key))
