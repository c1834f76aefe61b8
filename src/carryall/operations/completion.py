"""Make files of uploads whose bytes are all here. A completion belongs to its upload: a repeat joins it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from carryall.model.errors import CarryallError, Missing
from carryall.model.file import File
from carryall.model.principal import Kind, Principal
from carryall.model.upload import Segment, State, Upload
from carryall.model.work import Event
from carryall.operations.announce import Announce, file_data
from carryall.operations.erase import remove_file
from carryall.operations.inspect import Inspection
from carryall.operations.names import holder
from carryall.operations.placing import copies_of, home_of, queue_deliveries
from carryall.operations.sight import seen
from carryall.operations.sources import PathSource
from carryall.operations.world import World
from carryall.operations.writing import mismatch
from carryall.ports.catalog import Tx
from carryall.ports.staging import Staged
from carryall.ports.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Whole:
    """An upload that may become a file: its bytes are joined, digested and checked."""

    upload: Upload
    sha256: str
    media_type: str
    staged: Staged


class Completion:
    """Checks, stores and seals. Used by the door alone."""

    def __init__(self, world: World, inspection: Inspection, announce: Announce) -> None:
        self._catalog = world.catalog
        self._staging = world.staging
        self._leases = world.leases
        self._stores = world.stores
        self._inspection = inspection
        self._announce = announce
        self._telemetry = world.telemetry
        self._clock = world.clock
        self._ids = world.ids
        self._under_way: dict[tuple[Principal | int | str | None, ...], asyncio.Task[list[File]]] = {}
        # Digests taken while the bytes came in, by upload and the segment that they cover whole.
        self._digests: dict[str, tuple[Segment, Mapping[str, str]]] = {}

    def remember(self, upload: Upload, digests: Mapping[str, str]) -> None:
        """Keep the digests of a segment that came in one piece, so that completing needn't read it again."""
        if len(upload.segments) == 1 and not upload.elsewhere_bytes:
            self._digests[upload.id] = (next(iter(upload.segments.values())), digests)
        else:
            self.forget(upload.id)

    def forget(self, upload_id: str) -> None:
        """Drop what is kept of an upload."""
        self._digests.pop(upload_id, None)

    async def discard(self, upload: Upload) -> None:
        """Drop what a completion that came to nothing left of an upload that is closed now."""
        self.forget(upload.id)
        with suppress(CarryallError):  # the sweep takes what can't be removed now
            await self._staging.discard_all(upload.id)
            await self._home(upload).erase(upload.key)

    def _home(self, upload: Upload) -> Store:
        """Give the store that this upload's bytes are put into first."""
        return self._stores[home_of(upload.target, self._stores)]

    async def complete(
        self, principal: Principal, upload_ids: Sequence[str], *, segment_count: int | None = None
    ) -> list[File]:
        """Make files of all these uploads in one transaction, or of none.

        Cancelling the caller leaves the completion running: a repeat joins it.
        """
        # Only the same question from the same principal is joined: another count is another question.
        key = (principal, segment_count, *upload_ids)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._complete(principal, upload_ids, segment_count))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    async def _complete(self, principal: Principal, ids: Sequence[str], segment_count: int | None) -> list[File]:
        async with AsyncExitStack() as leases:
            for upload_id in sorted(ids):
                await leases.enter_async_context(self._leases.hold(upload_id))
            uploads = [await self._load(principal, upload_id) for upload_id in ids]
            if all(upload.state is State.SEALED for upload in uploads):
                return [await self._sealed(upload, segment_count) for upload in uploads]
            # All are checked before one is stored: what is refused leaves nothing in a store.
            whole = [await self._prepare(upload, segment_count) for upload in uploads]
            for one in whole:
                await self._store(one)
            files = await self._seal(principal, whole)
            for upload, file in zip(uploads, files, strict=True):
                self.forget(upload.id)
                with suppress(CarryallError):  # the sweep takes what can't be removed now
                    await self._staging.discard_all(upload.id)
                    if file.upload_id != upload.id:  # a repeat: its bytes are there already
                        await self._home(upload).erase(upload.key)
        return files

    async def _load(self, principal: Principal, upload_id: str) -> Upload:
        return seen(principal, await self._catalog.read(lambda tx: tx.uploads.get(upload_id)))

    async def _sealed(self, upload: Upload, segment_count: int | None) -> File:
        upload.check_whole(segment_count)
        file = await self._catalog.read(lambda tx: tx.files.get(upload.file_id or ""))
        if file is None:
            raise Missing("The file that this upload became was deleted.", code="file_not_found")
        return file

    async def _prepare(self, upload: Upload, segment_count: int | None) -> _Whole:
        upload.require_open()
        upload.check_whole(segment_count)
        if not upload.segments:
            upload = await self._made_empty(upload)
        segments = [upload.writable(index) for index in sorted(upload.segments)]
        digests = await self._digest(upload, segments)
        self._check_digests(upload, digests)
        staged = await self._staging.staged(upload.id, segments)
        media_type = self._inspection.media_type(staged, upload.declared)
        return _Whole(upload, digests["sha-256"], media_type, staged)

    async def _made_empty(self, upload: Upload) -> Upload:
        """Stage an empty extent for a file of no bytes at all."""
        segment = upload.writable(0)
        landing = await self._staging.land(upload.id, segment)
        try:
            await landing.sync()
        finally:
            await landing.close()
        return replace(upload, segments={0: segment})

    async def _digest(self, upload: Upload, segments: Sequence[Segment]) -> Mapping[str, str]:
        wanted = {"sha-256", *upload.declared.digests}
        known = self._digests.get(upload.id)
        # A digest may have been announced after the bytes came: what wasn't taken then is taken now.
        if known is not None and [known[0]] == segments and wanted <= known[1].keys():
            return known[1]
        return await self._staging.join(upload.id, segments, algorithms=wanted)

    def _check_digests(self, upload: Upload, digests: Mapping[str, str]) -> None:
        failure = mismatch(upload.declared.digests, digests)
        if failure is not None:
            raise failure

    async def _store(self, one: _Whole) -> None:
        source = PathSource(
            one.staged.path, one.staged.size, one.upload.declared.name, media_type=one.media_type, sha256=one.sha256
        )
        # The key is the upload's own: a repeat after a crash finds its own bytes, and no row is needed to tell whose.
        await self._home(one.upload).put(one.upload.key, source)

    async def _seal(self, principal: Principal, whole: Sequence[_Whole]) -> list[File]:
        files = await self._catalog.write(lambda tx: [self._seal_one(tx, principal, one) for one in whole])
        for one, file in zip(whole, files, strict=True):
            if file.upload_id != one.upload.id:
                log.info("upload.repeated", id=one.upload.id, file=file.id, owner=file.owner, door=file.door)
                continue
            self._telemetry.upload_ended(file.door, "stored", file.size)
            log.info(
                "upload.received",
                id=file.upload_id,
                file=file.id,
                owner=file.owner,
                door=file.door,
                bytes=file.size,
                ms=int((file.created_at - one.upload.created_at).total_seconds() * 1000),
            )
        self._announce.wake()
        return files

    def _seal_one(self, tx: Tx, principal: Principal, one: _Whole) -> File:
        """Transaction C: the file's row, the sealed upload, the settled quota, the event and its jobs."""
        upload = tx.uploads.get(one.upload.id)
        if upload is None or upload.state is not State.OPEN:
            raise Missing("The upload was closed meanwhile.", code="upload_not_found")
        upload.require_holder(one.upload)
        if principal.kind is Kind.USER and tx.users.get(principal.name) is None:
            raise Missing("The user of this upload was removed meanwhile.", code="user_not_found")
        tx.usages.release(upload.owner, upload.reserved_bytes)
        tx.usages.upload_closed(upload.owner)
        earlier = self._earlier(tx, one)
        if earlier is not None:
            tx.uploads.save(replace(upload.sealed(earlier.id), touched_at=self._clock.now()))
            return earlier
        self._make_way(tx, principal, upload)
        file = self._file(tx, principal, one)
        tx.files.add(file)
        queue_deliveries(tx, file, [c.store for c in file.copies if not c.is_stored], now=file.created_at)
        tx.usages.file_added(upload.owner, file.size, file.created_at)
        tx.uploads.save(replace(upload.sealed(file.id), touched_at=file.created_at))
        event = Event(
            type="file.stored",
            subject=file.id,
            owner=file.owner,
            created_at=file.created_at,
            data=event_data(file),
        )
        # Other services hear of a file when it is where it was promised to be.
        self._announce.publish(tx, event, is_held=not file.is_delivered)
        return file

    def _earlier(self, tx: Tx, one: _Whole) -> File | None:
        """Give the file that this upload repeats, where repeats are one."""
        declared, now = one.upload.declared, self._clock.now()
        if not declared.repeat_s:
            return None
        since = now - timedelta(seconds=declared.repeat_s)
        for file in tx.files.with_content(one.upload.owner, one.sha256, since=since):
            is_same = (file.name, file.size, file.door) == (declared.name, one.upload.held_bytes, declared.door)
            if is_same and file.target == one.upload.target and not file.is_over(now):
                return file
        return None

    def _make_way(self, tx: Tx, principal: Principal, upload: Upload) -> None:
        """Take the file away whose place this one gets; its bytes are erased after the commit."""
        declared = upload.declared
        old = [holder(tx, principal, declared, owner=upload.owner, now=self._clock.now())]
        if declared.external_id is not None:
            old.append(tx.files.by_external_id(upload.owner, declared.external_id))
        for file in old:
            if file is not None and tx.files.get(file.id) is not None:
                remove_file(tx, file, now=self._clock.now(), ids=self._ids, announce=self._announce, why="replaced")

    def _file(self, tx: Tx, principal: Principal, one: _Whole) -> File:
        upload, now = one.upload, self._clock.now()
        declared = upload.declared
        short_id = self._ids.short()
        while tx.files.by_short_id(short_id) is not None:
            short_id = self._ids.short()
        retention = principal.plan.retention
        file = File(
            id=self._ids.long(),
            short_id=short_id,
            owner=upload.owner,
            door=declared.door,
            name=declared.name,
            size=upload.held_bytes,
            sha256=one.sha256,
            media_type=one.media_type,
            declared_type=declared.media_type,
            path=declared.path,
            public_name=declared.public_name,
            external_id=declared.external_id,
            upload_id=upload.id,
            created_at=now,
            expires_at=now + retention if retention else None,
            retention=retention,
            metadata=declared.metadata,
            target=upload.target,
            gives_up=declared.gives_up,
            wants_link=declared.wants_link,
        )
        home = home_of(upload.target, self._stores)
        return replace(file, copies=copies_of(file, home, upload.key, self._stores))


def event_data(file: File) -> dict[str, str | int | None]:
    """Give what an event tells of a file (docs/events.md)."""
    more = {"owner": file.owner, "sha256": file.sha256, "media_type": file.media_type, "door": file.door}
    return {**file_data(file), **more}
