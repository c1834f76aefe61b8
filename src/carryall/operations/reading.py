"""Reading a file: from the first copy that can give it, and from the next one where that fails half-way."""

from collections.abc import AsyncIterator

import structlog

from carryall.model.errors import CarryallError, Missing, StoreError
from carryall.model.file import Copy, File
from carryall.operations.cache import Cache
from carryall.operations.heal import Heal
from carryall.operations.world import World
from carryall.ports.store import Reading

log = structlog.get_logger(__name__)


class Reader:
    """Opens files. What is found damaged on the way is healed behind; what came from afar may be cached behind."""

    def __init__(self, world: World, heal: Heal, cache: Cache) -> None:
        self._catalog = world.catalog
        self._stores = world.stores
        self._heal = heal
        self._cache = cache

    async def open(self, file: File, start: int, stop: int) -> "Steady":
        """Open the half-open range. Raises StoreError (`file_unreadable`)."""
        opened = await self.attempt(file, start, stop, but=set())
        if opened is None:  # perhaps its copies moved since it was looked up
            opened = await self.again(file, start, stop, but=set())
        if opened is None:
            raise _unreadable()
        if not self._stores[opened[0].store].capabilities.is_local:
            try:
                await self._cache.fetch(file)
            except CarryallError as error:  # nobody waits for it
                log.warning("cache.unfetched", file=file.id, reason=error.stable_code)
        return Steady(self, file, opened, (start, stop))

    async def again(self, file: File, start: int, stop: int, *, but: set[str]) -> tuple[Copy, Reading] | None:
        """Open the range as `attempt` does, by what the catalog says now."""
        newer = await self._catalog.read(lambda tx: tx.files.get(file.id))
        return None if newer is None else await self.attempt(newer, start, stop, but=but)

    async def attempt(self, file: File, start: int, stop: int, *, but: set[str]) -> tuple[Copy, Reading] | None:
        """Open the first copy that can be read, those on this machine first; None where none can.

        Args:
            but: the locations that were tried already; those that are tried now are added.
        """
        found = [(self._stores[copy.store], copy) for copy in file.copies if copy.store in self._stores]
        for store, copy in sorted(found, key=lambda pair: not pair[0].capabilities.is_local):
            place = f"{copy.store}:{copy.location}"
            if not copy.is_stored or place in but:
                continue
            but.add(place)
            try:
                return copy, await store.open(copy.location, start, stop)
            except (StoreError, Missing) as error:
                await self.failed(file, copy, error)
        return None

    async def failed(self, file: File, copy: Copy, error: CarryallError) -> None:
        """Say that a copy couldn't be read, and see to it where it is damaged."""
        log.error("file.unreadable", id=file.id, store=copy.store, reason=error.stable_code)
        await self._heal.damaged_by(file.id, copy, error)


class Steady:
    """Implements `ports.store.Reading` over a file's copies: where one fails, the next goes on at the same byte."""

    def __init__(self, reader: Reader, file: File, opened: tuple[Copy, Reading], wanted: tuple[int, int]) -> None:
        self._reader = reader
        self._file = file
        self._copy, self._reading = opened
        self._from, self._stop = wanted
        self._at = self._from
        self._tried = {f"{self._copy.store}:{self._copy.location}"}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the range in chunks. Raises StoreError when no copy can go on."""
        while True:
            try:
                async for chunk in self._reading:
                    self._at += len(chunk)
                    yield chunk
            except (StoreError, Missing) as error:
                await self._go_on(error)
            else:
                return

    async def _go_on(self, error: CarryallError) -> None:
        await self._reading.aclose()
        await self._reader.failed(self._file, self._copy, error)
        if self._at > self._from:  # it gave some bytes, and may give the rest when it is asked again
            self._tried.discard(f"{self._copy.store}:{self._copy.location}")
        self._from = self._at
        opened = await self._reader.again(self._file, self._at, self._stop, but=self._tried)
        if opened is None:
            raise _unreadable() from error
        self._copy, self._reading = opened
        log.info("file.continued", id=self._file.id, store=self._copy.store, at=self._at)

    async def aclose(self) -> None:
        """Let go of the copy that is read."""
        await self._reading.aclose()


def _unreadable() -> StoreError:
    return StoreError("The file can't be read now.", retryable=True, code="file_unreadable")
