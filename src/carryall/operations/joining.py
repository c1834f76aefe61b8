"""Uploads made of other uploads' bytes (tus concatenation): linked in place, never copied."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog

from carryall.model.errors import CarryallError, Malformed, Missing, TooLarge
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Segment, State, Upload
from carryall.operations import quota
from carryall.operations.ingest import Door
from carryall.operations.world import World
from carryall.ports.cancellation import shielded
from carryall.ports.catalog import Tx

log = structlog.get_logger(__name__)

_MOST_PARTS = 1000
_MOST_WAITING = 1000


class Joining:
    """Begins finals, and completes them when their last part has."""

    def __init__(self, world: World, door: Door) -> None:
        self._catalog = world.catalog
        self._staging = world.staging
        self._leases = world.leases
        self._door = door

    async def begin(self, principal: Principal, declared: Declared, parts: Sequence[str]) -> tuple[Upload, File | None]:
        """Open a final over these parts, in this order; one part may come several times, and may still be under way.

        Raises Malformed for an upload that is no part of this owner's, TooLarge when they are too large together,
        QuotaExceeded when a repeated one finds no room; the parts are as they were then.
        """
        if not 0 < len(parts) <= _MOST_PARTS:
            raise Malformed(f"A final upload has 1 to {_MOST_PARTS} parts.", code="parts_invalid")
        found = [await self._part(principal, principal.id, part_id) for part_id in parts]
        quota.check_size(principal.plan, sum(part.size or part.held_bytes for part in found))
        final = await self._door.open(principal, replace(declared, parts=tuple(parts)), is_resumable=True)
        try:
            return await self.go_on(principal, final)
        except CarryallError as error:  # nobody was told where it is
            await self._door.abort(principal, final.id, reason=error)
            raise

    async def _part(self, principal: Principal, owner: str, part_id: str) -> Upload:
        try:
            part = await self._door.look(principal, part_id)
        except Missing as missing:
            raise Malformed("A part of this upload isn't there.", code="parts_invalid", part=part_id) from missing
        if part.owner != owner:  # an administrator sees others' too; the answer is the same
            raise Malformed("A part of this upload isn't there.", code="parts_invalid", part=part_id)
        if not part.declared.is_part or part.state is not State.OPEN:
            raise Malformed("Only partial uploads can be joined.", code="parts_invalid", part=part_id)
        return part

    async def go_on(self, principal: Principal, final: Upload) -> tuple[Upload, File | None]:
        """Complete a final if all its parts are whole, and let go of them; else leave it open.

        Raises what `Door.complete` raises, and Malformed when a part is gone for good.
        """
        final = await shielded(self._linked(principal, final.id))
        if final.size is None:
            return final, None
        file = await self._door.complete(principal, final.id)
        for part_id in dict.fromkeys(final.declared.parts):
            await self._door.abort(principal, part_id)
        return await self._door.look(principal, final.id), file

    async def part_grew(self, part: Upload) -> None:
        """Put off the end of the finals that wait for this part, and of their other parts: they go on together."""
        together = {one for final in await self._waiting_for(part) for one in (final.id, *final.declared.parts)}
        if together:
            await self._catalog.write(lambda tx: tx.uploads.put_off(sorted(together), part.expires_at))

    async def part_ended(self, principal: Principal, part: Upload) -> None:
        """Go on with the finals that waited for this part. What fails there isn't the part's: they tell it themselves.

        Their HEAD tries again and answers with what is wrong.
        """
        for final in await self._waiting_for(part):
            try:
                await self.go_on(principal, final)
            except CarryallError as error:
                log.warning("upload.not_joined", id=final.id, owner=final.owner, reason=error.stable_code)

    async def _waiting_for(self, part: Upload) -> list[Upload]:
        found = await self._catalog.read(lambda tx: tx.uploads.open_of(part.owner, _MOST_WAITING))
        return [final for final in found if part.id in final.declared.parts]

    async def _linked(self, principal: Principal, final_id: str) -> Upload:
        """Give the final with its parts' bytes once all are whole; as it is before. Bytes first, rows after."""
        async with AsyncExitStack() as leases:
            await leases.enter_async_context(self._leases.hold(final_id))
            final = await self._door.look(principal, final_id)
            if final.state is not State.OPEN or final.size is not None:
                return final
            parts = await self._parts(principal, final)
            if not all(part.is_whole for part in parts):  # nobody is disturbed in writing the rest
                return final
            for part_id in sorted(set(final.declared.parts)):
                await leases.enter_async_context(self._leases.hold(part_id))
            parts = await self._parts(principal, final)  # as they are now that nobody can give them up
            segments = await self._link(final_id, parts)
            return await self._catalog.write(lambda tx: _handed_over(tx, principal, final, parts, segments))

    async def _parts(self, principal: Principal, final: Upload) -> list[Upload]:
        return [await self._part(principal, final.owner, part_id) for part_id in final.declared.parts]

    async def _link(self, final_id: str, parts: Sequence[Upload]) -> list[Segment]:
        segments = []
        for index, part in enumerate(parts):
            if part.held_bytes:
                held = part.writable(0)
                segment = replace(held, index=index)
                await self._staging.link(part.id, held, final_id, segment)
                segments.append(segment)
        return segments


def _handed_over(
    tx: Tx, principal: Principal, loaded: Upload, parts: Sequence[Upload], segments: Sequence[Segment]
) -> Upload:
    """Write the final's segments and size, and move its parts' reservations to it."""
    final = tx.uploads.get(loaded.id)
    if final is None:
        raise Missing("No such upload.", code="upload_not_found")
    final.require_open()
    final.require_holder(loaded)
    size = sum(segment.length for segment in segments)
    if final.limit_bytes is not None and size > final.limit_bytes:
        raise TooLarge(f"The parts have {size} bytes together; at most {final.limit_bytes} are allowed.")
    taken = sum(_taken_from(tx, part) for part in {part.id: part for part in parts}.values())
    if size > taken:  # a part that comes twice needs room twice
        quota.reserve(tx, replace(principal, id=final.owner), size - taken)
    else:
        tx.usages.release(final.owner, taken - size)
    for segment in segments:
        tx.uploads.put_segment(final.id, segment)
        final = final.grown(segment, now=final.touched_at, expires_at=final.expires_at)
    final = replace(final, size=size, reserved_bytes=size)
    tx.uploads.save(final)
    return final


def _taken_from(tx: Tx, loaded: Upload) -> int:
    """Take a part's reservation; give its bytes."""
    part = tx.uploads.get(loaded.id)
    if part is None or part.state is not State.OPEN:
        raise Missing("A part of this upload isn't there any more.", code="upload_not_found")
    part.require_holder(loaded)
    tx.uploads.save(replace(part, reserved_bytes=0))
    return part.reserved_bytes
