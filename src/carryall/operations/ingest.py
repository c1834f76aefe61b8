"""The one door: every byte of every protocol comes in through here.

Order (creating: bytes first, row after): sync the bytes, then write the row, then tell the client.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from carryall.model.errors import (
    CarryallError,
    Interrupted,
    Missing,
    QuotaExceeded,
    Refused,
    TooLarge,
)
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Mode, Segment, State, Upload
from carryall.operations import quota
from carryall.operations.admit import Admission
from carryall.operations.completion import Completion
from carryall.operations.placing import Targets
from carryall.operations.sight import seen
from carryall.operations.streams import Checkpoints, Course, land
from carryall.operations.world import World
from carryall.operations.writing import Grow, Progress, Reserved, Write, mismatch
from carryall.ports.body import Body
from carryall.ports.cancellation import shielded
from carryall.ports.catalog import Tx
from carryall.ports.leases import Lease
from carryall.ports.staging import Landing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DoorRules:
    """How the door treats uploads.

    Attributes:
        expiry: a resumable upload that nobody continues is given up after this long.
        checkpoints: how often progress is made durable.
        targets: decides where files go.
    """

    expiry: timedelta
    checkpoints: Checkpoints
    targets: Targets


class Door:
    """Opens uploads, receives their bytes, completes them."""

    def __init__(self, world: World, admission: Admission, completion: Completion, rules: DoorRules) -> None:
        self._catalog = world.catalog
        self._staging = world.staging
        self._leases = world.leases
        self._admission = admission
        self._completion = completion
        self._telemetry = world.telemetry
        self._clock = world.clock
        self._ids = world.ids
        self._rules = rules

    async def open(self, principal: Principal, declared: Declared, *, is_resumable: bool = False) -> Upload:
        """Begin an upload: decide on it and reserve its room, before any byte.

        Raises Malformed, Forbidden, TooLarge, TypeRefused, QuotaExceeded or RateLimited; nothing is left behind then.
        """
        principal.require(Scope.WRITE)
        declared = self._admission.declared(principal, declared)
        upload = self._new(principal, declared, is_resumable=is_resumable)

        def work(tx: Tx) -> None:
            self._admission.check_names(tx, principal, declared)
            quota.open_slot(tx, principal)
            quota.reserve(tx, principal, upload.reserved_bytes)
            tx.uploads.add(upload)
            if declared.errand is not None and not tx.errands.note_upload(declared.errand, upload.id):
                raise Interrupted("A repeat of this request took it over.")

        try:
            await shielded(self._catalog.write(work))
        except Refused as refused:
            self._refused(upload, refused)
            raise
        except asyncio.CancelledError:  # nobody will know its id
            with suppress(Missing):
                await shielded(self.abort(principal, upload.id))
            raise
        log.info("upload.started", id=upload.id, owner=upload.owner, door=declared.door, size=declared.size)
        return upload

    def _new(self, principal: Principal, declared: Declared, *, is_resumable: bool) -> Upload:
        now = self._clock.now()
        return Upload(
            id=self._ids.long(),
            owner=principal.id,
            declared=declared,
            target=self._rules.targets.of(principal, declared.target),
            limit_bytes=principal.plan.max_file_bytes,
            reserved_bytes=declared.size or 0,
            is_resumable=is_resumable,
            created_at=now,
            touched_at=now,
            expires_at=now + self._rules.expiry,
            size=declared.size,
            node=self._leases.node,
        )

    async def receive(
        self,
        principal: Principal,
        upload_id: str,
        body: Body,
        *,
        offset: int = 0,
        segment: int = 0,
        mode: Mode = Mode.APPEND,
        expect: Mapping[str, str] | None = None,
        at_most: int | None = None,
        progress: Progress | None = None,
    ) -> Upload:
        """Take bytes into a segment; give the upload, of its segments this one, with what is durable now.

        An older request for the same segment is asked to leave first. After a broken body an APPEND to a resumable
        upload keeps what arrived; everything else keeps nothing of this request. With `expect` (digests of this body
        by RFC 9530 name, hexadecimal) the write is all or nothing; its items are asked for only after the
        body, its names before. `at_most` bounds a body of unknown size, in bytes: its room is then reserved in one go.
        `progress` hears of each checkpoint, the segment's durable length.

        Raises OffsetMismatch, UploadClosed, TooLarge, QuotaExceeded, DigestMismatch, BodyTruncated, BodyStalled or
        Interrupted. Cancelled, it keeps what a broken body would have kept.
        """
        principal.require(Scope.WRITE)
        async with self._leases.hold(upload_id, segment) as lease:
            upload = await self._look_at(principal, upload_id, segment)
            room = upload.admit(segment, offset, mode)
            if room is not None and body.declared_size is not None and body.declared_size > room:
                raise TooLarge(
                    f"This request brings {body.declared_size} bytes; at most {max(0, room)} more are allowed.",
                    limit=max(0, room),
                )
            fresh = Segment(segment, 0, upload.next_extent(segment))
            target = upload.writable(segment) if mode is Mode.APPEND else fresh
            write = Write(upload, principal, target, mode, expect or {}, at_most, progress)
            return await self._land(write, body, lease, room)

    async def _land(self, write: Write, body: Body, lease: Lease, room: int | None) -> Upload:
        algorithms = {"sha-256", *write.upload.declared.digests, *write.expect}
        landing = await self._staging.land(write.upload.id, write.target, algorithms=algorithms)
        reserved = Reserved()
        course = Course(
            room=room,
            grow=self._grower(write, body, reserved) if write.upload.size is None else None,
            checkpoint=(lambda: self._checkpoint(write, landing)) if write.may_checkpoint else None,
            checkpoints=self._rules.checkpoints,
        )
        failure: BaseException | None = None
        try:
            await land(body, landing, lease, course)
        except BaseException as reason:  # noqa: BLE001  # raised again below, after the closing steps
            failure = reason
        try:
            return await shielded(self._settle(write, landing, reserved.size, failure))
        finally:
            await shielded(landing.close())

    async def _settle(self, write: Write, landing: Landing, reserved: int, failure: BaseException | None) -> Upload:
        """Count what is to be kept, or keep nothing; then raise what went wrong."""
        digests: Mapping[str, str] = {}
        if failure is None:
            try:
                digests = await landing.digests()
                failure = mismatch(write.expect, digests)
            except CarryallError as error:
                failure = error
        if failure is not None and not write.may_checkpoint:
            await self._drop(write, reserved)
            raise failure
        try:
            upload = await self._count(write, await landing.sync(), reserved)
        except CarryallError:
            await self._drop(write, reserved)
            raise
        if failure is not None:
            raise failure
        if write.target.length == 0:
            self._completion.remember(upload, digests)
        return upload

    async def _count(self, write: Write, length: int, reserved: int) -> Upload:
        """Write what is durable on the segment's row; give back what was reserved and isn't needed."""
        segment = replace(write.target, length=length)
        before = write.upload.length_of(segment.index)

        def work(tx: Tx) -> Upload:
            upload = tx.uploads.at(write.upload.id, segment.index)
            if upload is None:
                raise Missing("No such upload.", code="upload_not_found")
            upload.require_open()
            upload.require_holder(write.upload)
            if write.upload.size is None:
                surplus = reserved - (length - before)
                quota.give_back(tx, upload.owner, upload.id, surplus)
                upload = replace(upload, reserved_bytes=upload.reserved_bytes - surplus)
            now = self._clock.now()
            upload = upload.grown(segment, now=now, expires_at=now + self._rules.expiry)
            tx.uploads.put_segment(upload.id, segment)
            tx.uploads.save(upload)
            return upload

        upload = await self._catalog.write(work)
        if write.replaced is not None and write.replaced.extent != segment.extent:
            with suppress(CarryallError):  # completing or aborting takes what can't be removed now
                await self._staging.discard(upload.id, [write.replaced])
        return upload

    async def _drop(self, write: Write, reserved: int) -> None:
        """Give back what was reserved, but for what was counted already; discard what no row points at.

        A commit whose answer was lost has counted all of it: its bytes stay, though the client hears of a failure.
        """
        index = write.target.index

        def work(tx: Tx) -> bool:
            upload = tx.uploads.at(write.upload.id, index)
            if upload is None or upload.state is not State.OPEN or upload.fence != write.upload.fence:
                return True
            segment = upload.segments.get(index)
            if write.mode is Mode.REPLACE and segment is not None and segment.extent == write.target.extent:
                return False
            if write.upload.size is None:
                kept = upload.length_of(index) - write.upload.length_of(index)
                quota.give_back(tx, upload.owner, upload.id, reserved - kept)
            return True

        if await self._catalog.write(work) and write.mode is Mode.REPLACE:
            with suppress(CarryallError):
                await self._staging.discard(write.upload.id, [write.target])

    async def _checkpoint(self, write: Write, landing: Landing) -> None:
        length = await landing.sync()
        segment = replace(write.target, length=length)

        def work(tx: Tx) -> None:
            upload = tx.uploads.at(write.upload.id, segment.index)
            if upload is not None:
                upload.require_holder(write.upload)
                now = self._clock.now()
                tx.uploads.put_segment(upload.id, segment)
                tx.uploads.save(upload.grown(segment, now=now, expires_at=now + self._rules.expiry))

        await self._catalog.write(work)
        if write.progress is not None:
            await write.progress(length)

    def _grower(self, write: Write, body: Body, reserved: "Reserved") -> "Grow":
        bounds = (body.declared_size, write.at_most, write.upload.declared.at_most)
        bound = next((bound for bound in bounds if bound is not None), None)
        return Grow(self._catalog, write, reserved, bound)

    async def adopt(self, principal: Principal, scratch_id: str, upload_id: str, *, segment: int) -> Upload:
        """Make the bytes of a scratch upload a segment of another one, replacing what that segment held.

        For chunks that come before the id that they are for (docs/design/door.md, forms). The scratch upload is
        closed. Raises what `receive` raises; the scratch upload is then still open, and the caller's to abort.
        """
        async with self._leases.hold(scratch_id), self._leases.hold(upload_id, segment):
            scratch = await self.look(principal, scratch_id)
            upload = await self._look_at(principal, upload_id, segment)
            room = upload.admit(segment, 0, Mode.REPLACE)
            length = scratch.held_bytes
            if room is not None and length > room:
                raise TooLarge(f"This chunk has {length} bytes; at most {max(0, room)} more are allowed.", limit=room)
            source = scratch.segments.get(0, Segment(0, 0))
            target = Segment(segment, length, upload.next_extent(segment))
            await shielded(self._staging.move(scratch_id, source, upload_id, target))
            adopted = await shielded(self._catalog.write(lambda tx: self._adopt(tx, scratch_id, upload, target)))
            self._completion.forget(scratch_id)
            if segment in upload.segments:
                with suppress(CarryallError):  # completing or aborting takes what can't be removed now
                    await self._staging.discard(upload_id, [upload.segments[segment]])
            return adopted

    def _adopt(self, tx: Tx, scratch_id: str, loaded: Upload, target: Segment) -> Upload:
        """Hand the bytes and their reservation over; what the replaced chunk held goes back to the owner's room."""
        scratch, upload = tx.uploads.get(scratch_id), tx.uploads.at(loaded.id, target.index)
        if scratch is None or upload is None:
            raise Missing("No such upload.", code="upload_not_found")
        scratch.require_open()
        upload.require_open()
        upload.require_holder(loaded)
        now = self._clock.now()
        added = target.length - upload.length_of(target.index) if upload.size is None else 0
        tx.usages.release(scratch.owner, scratch.reserved_bytes)
        tx.usages.release(upload.owner, -added)
        tx.usages.upload_closed(scratch.owner)
        tx.uploads.save(replace(scratch.closed(State.ABORTED), touched_at=now))
        upload = upload.grown(target, now=now, expires_at=now + self._rules.expiry)
        upload = replace(upload, reserved_bytes=upload.reserved_bytes + added)
        tx.uploads.put_segment(upload.id, target)
        tx.uploads.save(upload)
        return upload

    async def complete(self, principal: Principal, upload_id: str, *, segment_count: int | None = None) -> File:
        """Make a file of an upload whose bytes are all here. Asked twice, it gives the same answer.

        Raises Incomplete, Conflict, DigestMismatch, TypeRefused or PreconditionFailed; the upload stays open, and
        loses nothing.
        """
        principal.require(Scope.WRITE)
        return (await self._completion.complete(principal, [upload_id], segment_count=segment_count))[0]

    async def complete_all(self, principal: Principal, upload_ids: list[str]) -> list[File]:
        """Make files of several uploads in one transaction: all or none."""
        principal.require(Scope.WRITE)
        return await self._completion.complete(principal, upload_ids)

    async def accept(
        self,
        principal: Principal,
        declared: Declared,
        body: Body,
        *,
        expect: Mapping[str, str] | None = None,
    ) -> File:
        """Open, receive and complete in one go; any failure aborts, and nothing is left."""
        upload = await self.open(principal, declared)
        try:
            await self.receive(principal, upload.id, body, mode=Mode.REPLACE, expect=expect)
            return await self.complete(principal, upload.id)
        except BaseException as reason:
            await shielded(self.abort(principal, upload.id, reason=reason))
            raise

    async def look(self, principal: Principal, upload_id: str) -> Upload:
        """Give an upload. Raises Missing for one that isn't there or is somebody else's."""
        return seen(principal, await self._catalog.read(lambda tx: tx.uploads.get(upload_id)))

    async def _look_at(self, principal: Principal, upload_id: str, segment: int) -> Upload:
        """Give an upload with one of its segments: a session may have thousands, and each chunk comes by here."""
        return seen(principal, await self._catalog.read(lambda tx: tx.uploads.at(upload_id, segment)))

    async def abort(
        self,
        principal: Principal,
        upload_id: str,
        *,
        reason: BaseException | None = None,
        state: State = State.ABORTED,
    ) -> None:
        """Give an upload up and give its room back. One that is closed already is left as it is."""
        principal.require(Scope.WRITE)
        async with self._leases.hold(upload_id):
            upload = await self.look(principal, upload_id)

            def work(tx: Tx) -> bool:
                now_there = tx.uploads.get(upload_id)
                if now_there is None or now_there.state is not State.OPEN:
                    return False
                if state is State.EXPIRED and now_there.expires_at > self._clock.now():
                    return False  # somebody went on with it meanwhile
                tx.usages.release(now_there.owner, now_there.reserved_bytes)
                tx.usages.upload_closed(now_there.owner)
                tx.uploads.save(replace(now_there.closed(state), touched_at=self._clock.now()))
                return True

            if await self._catalog.write(work):
                self._refused(upload, reason)
                await self._completion.discard(upload)

    def _refused(self, upload: Upload, reason: BaseException | None) -> None:
        """Count and log an upload that didn't become a file."""
        if upload.declared.is_part and reason is None:
            return  # it never was to be a file
        outcome = "refused" if isinstance(reason, Refused) else "broken"
        code = reason.stable_code if isinstance(reason, CarryallError) else None
        if isinstance(reason, QuotaExceeded):
            self._telemetry.quota_refused(upload.owner.partition(":")[0])  # a principal's id begins with its kind
        self._telemetry.upload_ended(upload.declared.door, outcome, 0)
        log.info("upload.failed", id=upload.id, owner=upload.owner, door=upload.declared.door, reason=code)
