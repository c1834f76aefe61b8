"""Compare what the rows say with what the disks hold, in both directions."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from carryall.model.errors import CarryallError, Missing
from carryall.model.file import CopyState, File
from carryall.model.upload import State
from carryall.operations.sight import is_needed
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.catalog_files import FileQuery

_PAGE = 500
_LOW_ROOM_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the doctor saw.

    Attributes:
        is_wrong: True for damage; False for a leftover that the next sweep takes, or a hint.
        about: what it is about: "file", "copy", "staging", "usage", "jobs", "disk".
        text: for people: what, which, and what to do.
    """

    is_wrong: bool
    about: str
    text: str


class Doctor:
    """Looks; changes nothing but the counters, and those only when asked to."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._staging = world.staging
        self._stores = world.stores

    async def examine(self) -> AsyncIterator[Finding]:
        """Give every finding as it is made."""
        async for finding in self._rows_against_bytes():
            yield finding
        async for finding in self._bytes_against_rows():
            yield finding
        async for finding in self._staged():
            yield finding
        for counted, right in await self._catalog.read(lambda tx: tx.usages.recount()):
            yield Finding(
                is_wrong=True,
                about="usage",
                text=f"{counted.owner} is counted with {counted.stored_bytes} bytes in {counted.files} files, "
                f"{counted.reserved_bytes} reserved, {counted.open_uploads} uploads; it is {right.stored_bytes} in "
                f"{right.files}, {right.reserved_bytes} and {right.open_uploads}. "
                "`carryall doctor --repair` corrects the counters.",
            )
        for finding in [*await self._jobs(), *await self._disk()]:
            yield finding

    async def repair_counters(self) -> int:
        """Write the counters as they should be; give how many owners were off."""

        def work(tx: Tx) -> int:
            off = tx.usages.recount()
            for _, right in off:
                tx.usages.correct(right)
            return len(off)

        return await self._catalog.write(work)

    async def _rows_against_bytes(self) -> AsyncIterator[Finding]:
        query = FileQuery(sort="created", limit=_PAGE)
        while found := await self._catalog.read(lambda tx, page=query: tx.files.find(page)):  # type: ignore[misc]
            for file in found:
                async for finding in self._copies(file):
                    yield finding
            last = found[-1]
            query = replace(query, after=(_microseconds(last), last.id))

    async def _copies(self, file: File) -> AsyncIterator[Finding]:
        for copy in file.copies:
            if copy.state is CopyState.GONE and await self._is_there(file):
                text = f"File {file.id} of {file.owner} is lost in store {copy.store}: {copy.error}"
                yield Finding(is_wrong=True, about="copy", text=text)
            if copy.state is not CopyState.STORED:
                continue
            store = self._stores.get(copy.store)
            if store is not None and not store.capabilities.is_local:
                continue  # a request for each would take hours: that is for the scrub, which comes by every copy
            text = ""
            try:
                size = (await store.stat(copy.location)).size if store else None
                if store is None:
                    text = f"lies in store {copy.store}, which is not in the settings"
                elif size != file.size:
                    text = f"has {size} bytes in store {copy.store}, and {file.size} in the catalog"
            except Missing:
                text = f"is not in store {copy.store} any more"
            except CarryallError as error:
                text = f"could not be looked at in store {copy.store}: {error.message}"
            if text and await self._is_there(file):
                yield Finding(is_wrong=True, about="copy", text=f"File {file.id} of {file.owner} {text}.")

    async def _is_there(self, file: File) -> bool:
        """Tell whether the row is still there: beside a running server a file may go while it is looked at."""
        return await self._catalog.read(lambda tx: tx.files.get(file.id)) is not None

    async def _bytes_against_rows(self) -> AsyncIterator[Finding]:
        for name, store in self._stores.items():
            if not store.capabilities.is_local:  # what else is there may be somebody else's
                continue
            async for stored in store.list():
                if not await self._catalog.read(lambda tx, n=name, k=stored.location: is_needed(tx, n, k)):  # type: ignore[misc]
                    text = (
                        f"Store {name} holds {stored.size} bytes under {stored.location} that no file needs; "
                        "the sweep takes them."
                    )
                    yield Finding(is_wrong=False, about="copy", text=text)

    async def _staged(self) -> AsyncIterator[Finding]:
        short: dict[tuple[str, int, int], int] = {}
        lost = await self._expected()
        async for extent in self._staging.extents():
            lost.discard((extent.upload_id, extent.segment, extent.extent))
            upload = await self._catalog.read(lambda tx, i=extent.upload_id: tx.uploads.get(i))  # type: ignore[misc]
            if upload is None or upload.state is not State.OPEN:
                text = (
                    f"{extent.size} staged bytes of upload {extent.upload_id} are needed no more: the sweep takes them."
                )
                yield Finding(is_wrong=False, about="staging", text=text)
                continue
            segment = upload.segments.get(extent.segment)
            wanted = dict(segment.pieces).get(extent.extent, 0) if segment else 0
            if extent.size < wanted:
                short[extent.upload_id, extent.segment, extent.extent] = wanted
        async for finding in self._still_short(short):
            yield finding
        # What was completed or replaced meanwhile is lost to nobody.
        for upload_id, index, _ in sorted(lost & await self._expected() if lost else lost):
            text = f"Part {index} of upload {upload_id} is in the catalog, and not on the disk."
            yield Finding(is_wrong=True, about="staging", text=text)

    async def _expected(self) -> set[tuple[str, int, int]]:
        """Give what has to be staged, by upload, segment and extent."""
        found = await self._catalog.read(lambda tx: tx.uploads.open_segments())
        return {(upload_id, segment.index, extent) for upload_id, segment in found for extent, _ in segment.pieces}

    async def _still_short(self, short: Mapping[tuple[str, int, int], int]) -> AsyncIterator[Finding]:
        """Measure again what was shorter than its row: a running upload grows between the two looks, a damaged one not.

        Args:
            short: the rows' lengths in bytes, by upload, segment and extent.
        """
        if not short:
            return
        async for extent in self._staging.extents():
            wanted = short.get((extent.upload_id, extent.segment, extent.extent), 0)
            if extent.size < wanted:
                yield Finding(
                    is_wrong=True,
                    about="staging",
                    text=f"Upload {extent.upload_id} has {extent.size} bytes of part {extent.segment} on the disk, "
                    f"and {wanted} in the catalog.",
                )

    async def _jobs(self) -> list[Finding]:
        counts = await self._catalog.read(lambda tx: tx.jobs.counts())
        return [
            Finding(is_wrong=False, about="jobs", text=f"{number} jobs of kind {kind} were given up.")
            for (kind, state), number in counts.items()
            if state == "failed"
        ]

    async def _disk(self) -> list[Finding]:
        found = []
        try:
            free = await self._staging.ready()
            if free < _LOW_ROOM_BYTES:
                found.append(Finding(is_wrong=False, about="disk", text=f"Only {free} bytes are free for staging."))
        except CarryallError as error:
            found.append(Finding(is_wrong=True, about="disk", text=error.message))
        for name, store in self._stores.items():
            try:
                await store.ready()
            except CarryallError as error:
                found.append(Finding(is_wrong=True, about="disk", text=f"Store {name}: {error.message}"))
        return found


def _microseconds(file: File) -> int:
    return int(file.created_at.timestamp()) * 1_000_000 + file.created_at.microsecond
