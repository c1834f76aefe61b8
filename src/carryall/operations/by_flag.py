"""Uploads that end when the client says so, and not at a number of bytes: the IETF draft's way through the door."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from carryall.model.errors import (
    CarryallError,
    Malformed,
    Missing,
    StoreError,
    TooLarge,
    Unavailable,
    UploadClosed,
)
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Mode, State, Upload
from carryall.operations.ingest import Door
from carryall.operations.resumable import Resumable
from carryall.operations.sight import alive
from carryall.operations.streams import is_empty
from carryall.operations.world import World
from carryall.operations.writing import Progress
from carryall.ports.body import Body
from carryall.ports.cancellation import shielded
from carryall.ports.catalog import Tx


@dataclass(frozen=True, slots=True)
class Brought:
    """What one request brings to an upload.

    Attributes:
        offset: where its bytes begin.
        is_end: True when nothing comes after them.
        size: the whole upload's bytes, when the request tells them.
        expect: digests of this body, as `Door.receive` takes them.
        whole: digests of the whole upload, hexadecimal, by RFC 9530 name.
        progress: hears of each offset that became durable while the body still comes.
    """

    body: Body
    offset: int
    is_end: bool
    size: int | None = None
    expect: Mapping[str, str] | None = None
    whole: Mapping[str, str] | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: the upload as it stands, the file once there is one, or why there won't be any."""

    upload: Upload
    file: File | None = None
    refusal: CarryallError | None = None


class ByFlag:
    """Begins, continues and ends uploads by a flag. The uploads are everybody's: any protocol may go on with one."""

    def __init__(self, world: World, door: Door, resumable: Resumable) -> None:
        self._catalog = world.catalog
        self._leases = world.leases
        self._clock = world.clock
        self._door = door
        self._resumable = resumable

    async def begin(
        self,
        principal: Principal,
        declared: Declared,
        brought: Brought,
        *,
        announce: Callable[[Upload], Awaitable[bool]] | None = None,
    ) -> Outcome:
        """Open an upload and take its first bytes; make the file if they were all.

        With `announce`, the client is told the address before a byte is read. Once it knows (True), this is an append
        like any other: what breaks off stays, to be gone on with. Else whatever goes wrong leaves nothing.
        """
        upload = await self._door.open(principal, declared, is_resumable=True)
        is_known = False
        try:
            is_known = announce is not None and await announce(upload)
            return await self.append(principal, upload.id, brought)
        except BaseException as reason:
            if not is_known:
                await shielded(self._door.abort(principal, upload.id, reason=reason))
            raise

    async def stand(self, principal: Principal, upload_id: str) -> Upload:
        """Tell where an upload stands; whoever still writes to it is asked to leave, so the next write may begin there.

        Raises Missing, also (`upload_gone`) for one that was given up or has expired.
        """
        principal.require(Scope.WRITE)
        self._alive(await self._door.look(principal, upload_id))  # who may not see it may not disturb its writer
        async with self._leases.hold(upload_id):
            return self._alive(await self._door.look(principal, upload_id))

    def _alive(self, upload: Upload) -> Upload:
        return alive(upload, self._clock.now())

    async def append(self, principal: Principal, upload_id: str, brought: Brought) -> Outcome:
        """Add bytes at the end, and make the file if they were the last ones.

        Asked again for the end of a complete upload, it gives the same file. A file that is refused for good (its
        digest, its type) takes the upload with it: the outcome says why. Past the size that was told, the upload is
        given up (I-F5).

        Raises what `Door.receive` raises, Malformed (`length_inconsistent`) where sizes disagree, and UploadClosed.
        """
        upload = await self.stand(principal, upload_id)
        if upload.declared.is_part or upload.declared.parts:
            raise UploadClosed("Only tus continues what it joins.", code="upload_is_final")
        if upload.state is State.SEALED:
            return await self._again(principal, upload, brought)
        upload.admit(0, brought.offset, Mode.APPEND)
        upload = await self._told(principal, upload, brought)
        try:
            upload = await self._door.receive(
                principal,
                upload_id,
                brought.body,
                offset=brought.offset,
                expect=brought.expect,
                progress=brought.progress,
            )
        except TooLarge as too_large:
            if too_large.stable_code != TooLarge.code:  # this request's bound, and not the upload's
                raise
            if upload.size is None:
                raise TooLarge(too_large.message, limit=upload.limit_bytes) from too_large
            await self._door.abort(principal, upload_id, reason=too_large)
            raise _inconsistent(f"More than the announced {upload.size} bytes came; the upload is void.") from too_large
        return await self._ended(principal, upload) if brought.is_end else Outcome(upload)

    async def cancel(self, principal: Principal, upload_id: str) -> None:
        """Give an upload up, whoever writes to it. A file that it became already stays (I-D2)."""
        principal.require(Scope.DELETE)
        self._alive(await self._door.look(principal, upload_id))
        await self._door.abort(principal, upload_id)

        def work(tx: Tx) -> None:
            upload = tx.uploads.get(upload_id)
            if upload is not None and upload.state is State.SEALED:
                tx.uploads.save(replace(upload, state=State.ABORTED, touched_at=self._clock.now()))

        await self._catalog.write(work)

    async def _again(self, principal: Principal, upload: Upload, brought: Brought) -> Outcome:
        """Give the file again to who asks for it rightly: at the end, with nothing to add (I-A8)."""
        if not brought.is_end or brought.offset != upload.held_bytes or not await is_empty(brought.body):
            raise UploadClosed("This upload is complete and takes no more bytes.", code="upload_complete")
        return Outcome(upload, await self._door.complete(principal, upload.id))

    async def _told(self, principal: Principal, upload: Upload, brought: Brought) -> Upload:
        """Write down what the request tells of the whole: its size and its digests, before its bytes come (I-F4)."""
        _check_length(upload.size, brought.size)
        size = brought.size if upload.size is None else upload.size
        brings = brought.body.declared_size
        if brings is not None:
            end = brought.offset + brings
            if size is not None and end > size:
                await self._door.abort(principal, upload.id)
                raise _inconsistent(f"These bytes would end at {end}, past the {size} announced; the upload is void.")
            if brought.is_end:
                _check_length(size, end)
                size = end
        if size is not None and size < upload.held_bytes:
            raise _inconsistent(f"{upload.held_bytes} bytes are held; the upload can't have only {size}.")
        if size is not None and upload.size is None:
            await self._resumable.fix_size(principal, upload.id, size)
        if brought.whole:
            await self._announced(upload.id, brought.whole)
        return replace(upload, size=size)

    async def _announced(self, upload_id: str, digests: Mapping[str, str]) -> None:
        """Write the whole's digests down, to be compared at the end."""

        def work(tx: Tx) -> None:
            upload = tx.uploads.get(upload_id)
            if upload is None:
                raise Missing("No such upload.", code="upload_not_found")
            known = upload.declared.digests
            if any(known.get(name, digest) != digest for name, digest in digests.items()):
                raise Malformed("Another digest of the whole upload was announced before.", code="digest_malformed")
            declared = replace(upload.declared, digests={**known, **digests})
            tx.uploads.save(replace(upload, declared=declared))

        async with self._leases.hold(upload_id):
            await self._catalog.write(work)

    async def _ended(self, principal: Principal, upload: Upload) -> Outcome:
        """Make the file. What may succeed later is raised, and the upload waits for it; the rest ends it."""
        _check_length(upload.size, upload.held_bytes)
        if upload.size is None:
            await self._resumable.fix_size(principal, upload.id, upload.held_bytes)
        try:
            file = await self._door.complete(principal, upload.id)
        except (Unavailable, StoreError):
            raise
        except CarryallError as refusal:
            await self._door.abort(principal, upload.id, reason=refusal)
            return Outcome(upload, refusal=refusal)
        return Outcome(await self._door.look(principal, upload.id), file)


def _check_length(known: int | None, told: int | None) -> None:
    if known is not None and told is not None and known != told:
        raise _inconsistent(f"The upload was announced with {known} bytes; this request makes it {told}.")


def _inconsistent(text: str) -> Malformed:
    return Malformed(text, code="length_inconsistent")
