"""What resumable protocols ask of the door: where an upload stands, its size told late, its end, its joining."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from carryall.model.errors import Malformed, Missing, TooLarge, UploadClosed
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Mode, State, Upload
from carryall.operations import quota
from carryall.operations.ingest import Door
from carryall.operations.joining import Joining
from carryall.operations.streams import is_empty
from carryall.operations.world import World
from carryall.ports.body import Body
from carryall.ports.catalog import Tx


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an upload stands: as its rows say, and the file that it became, if it did."""

    upload: Upload
    file: File | None = None


class Resumable:
    """Begins, continues and ends uploads over several requests. Any protocol may continue what another began."""

    def __init__(self, world: World, door: Door, joining: Joining) -> None:
        self._catalog = world.catalog
        self._leases = world.leases
        self._door = door
        self._joining = joining

    async def begin(self, principal: Principal, declared: Declared, *, parts: Sequence[str] = ()) -> Progress:
        """Open an upload; one of no bytes is complete at once. With `parts` it is made of other uploads' bytes."""
        if parts:
            return Progress(*await self._joining.begin(principal, declared, parts))
        upload = await self._door.open(principal, declared, is_resumable=True)
        return await self._progress(principal, upload)

    async def stand(self, principal: Principal, upload_id: str) -> Progress:
        """Tell where an upload stands, to a client that is about to continue: whoever still writes is asked to leave.

        What is told is durable, and the next write may begin there. An upload whose bytes are all here is completed
        first: who hears "complete" finds the file.
        """
        principal.require(Scope.WRITE)
        await self._door.look(principal, upload_id)  # who may not see it must not disturb its writer either
        async with self._leases.hold(upload_id):
            upload = await self._door.look(principal, upload_id)
        return await self._progress(principal, upload)

    async def append(
        self,
        principal: Principal,
        upload_id: str,
        body: Body,
        *,
        offset: int,
        expect: Mapping[str, str] | None = None,
        size: int | None = None,
    ) -> Progress:
        """Add bytes at the end; complete the upload when they were the last ones.

        Args:
            size: the whole upload's, when it is told only now.
        """
        principal.require(Scope.WRITE)
        upload = await self._door.look(principal, upload_id)
        if upload.declared.parts:
            raise UploadClosed("This upload is made of others; it takes no bytes of its own.", code="upload_is_final")
        if upload.state is State.SEALED and offset == upload.held_bytes and await is_empty(body):
            return await self._progress(principal, upload)
        if size is not None and size != upload.size:
            if offset <= size < offset + (body.declared_size or 0):
                raise TooLarge(f"This request goes past the {size} bytes that it announces itself.", limit=size)
            await self.fix_size(principal, upload_id, size, offset=offset)
        upload = await self._door.receive(principal, upload_id, body, offset=offset, expect=expect)
        if upload.declared.is_part:
            await self._joining.part_grew(upload)
        return await self._progress(principal, upload)

    async def cancel(self, principal: Principal, upload_id: str) -> Upload:
        """Give an open upload up, whoever writes to it; give it as it is then.

        One that became a file, perhaps at this moment, is left as it is: SEALED, with the file's id.
        """
        principal.require(Scope.DELETE)
        await self._door.abort(principal, upload_id)
        return await self._door.look(principal, upload_id)

    async def _progress(self, principal: Principal, upload: Upload) -> Progress:
        if upload.state is State.OPEN and upload.declared.parts:
            return Progress(*await self._joining.go_on(principal, upload))
        if upload.state is State.OPEN and upload.is_whole and upload.declared.is_part:
            await self._joining.part_ended(principal, upload)
            return Progress(upload)
        if upload.state is State.SEALED or (upload.state is State.OPEN and upload.is_whole):
            file = await self._door.complete(principal, upload.id)
            return Progress(await self._door.look(principal, upload.id), file)
        return Progress(upload)

    async def fix_size(self, principal: Principal, upload_id: str, size: int, *, offset: int | None = None) -> None:
        """Write the size that was left open, and reserve what is still missing of it.

        With `offset`, where the next bytes begin, a wrong one changes nothing. Raises OffsetMismatch, Conflict for
        another size than before, Malformed for one that is held past, TooLarge or QuotaExceeded.
        """
        principal.require(Scope.WRITE)
        quota.check_size(principal.plan, size)

        def work(tx: Tx) -> None:
            upload = tx.uploads.get(upload_id)
            if upload is None:
                raise Missing("No such upload.", code="upload_not_found")
            upload.admit(0, upload.length_of(0) if offset is None else offset, Mode.APPEND)
            sized = upload.sized(size)
            if size < upload.held_bytes:
                raise Malformed(
                    f"{upload.held_bytes} bytes are held; the upload can't have only {size}.", code="size_too_small"
                )
            missing = max(0, size - upload.reserved_bytes)
            quota.reserve(tx, replace(principal, id=upload.owner), missing)  # the owner's room, whoever sends
            tx.uploads.save(replace(sized, reserved_bytes=upload.reserved_bytes + missing))

        async with self._leases.hold(upload_id):
            await self._catalog.write(work)
