"""Rows against promises: every copy on its way has its job, every store of a target has its copy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from carryall.model.file import Copy, CopyState, File
from carryall.model.work import JobState
from carryall.operations.placing import HOME, fresh_key, job_id, queue_deliveries
from carryall.operations.world import World
from carryall.ports.catalog import Tx

_PAGE = 200


@dataclass
class Reconciled:
    """What was put right.

    Attributes:
        requeued: copies on their way that had no job any more.
        given_up: copies that waited for a job which was given up.
        added: copies that a target asks for and nobody had begun.
        unknown: how many copies lie in stores that aren't in the settings, by store.
    """

    requeued: int = 0
    given_up: int = 0
    added: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)


class Reconcile:
    """Finds what a fault left between two rows."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._stores = world.stores
        self._clock = world.clock
        self._ids = world.ids

    async def run(self, *, is_dry: bool = False) -> Reconciled:
        """Look at every copy on its way."""
        amounts = await self._catalog.read(lambda tx: tx.copies.amounts())
        found = Reconciled(unknown={s: one.copies for s, one in amounts.items() if s not in self._stores})
        after = ""
        while page := await self._page(after):
            for file_id, copy, state in await self._catalog.read(lambda tx, files=page: self._all_left(tx, files)):  # type: ignore[misc]
                mended: CopyState | None = state
                if not is_dry:
                    mended = await self._catalog.write(lambda tx, f=file_id, c=copy: self._mend(tx, f, c))  # type: ignore[misc]
                found.requeued += mended is CopyState.QUEUED
                found.given_up += mended is CopyState.FAILED
            after = page[-1].id
        return found

    async def _page(self, after: str) -> list[File]:
        return list(await self._catalog.read(lambda tx: tx.copies.under_way(after=after, limit=_PAGE)))

    def _all_left(self, tx: Tx, page: Sequence[File]) -> list[tuple[str, Copy, CopyState]]:
        copies = [(file.id, copy) for file in page for copy in file.copies]
        states = [(file_id, copy, self._left(tx, file_id, copy)) for file_id, copy in copies]
        return [(file_id, copy, state) for file_id, copy, state in states if state is not None]

    def _left(self, tx: Tx, file_id: str, copy: Copy) -> CopyState | None:
        """Give what a copy on its way that nobody brings is to become: QUEUED anew, or FAILED where it was given up."""
        if not copy.is_under_way or copy.store not in self._stores:
            return None
        job = tx.jobs.get(job_id(file_id, copy.store))
        if job is not None and job.state in (JobState.QUEUED, JobState.RUNNING):
            return None
        is_moving = copy.is_cache and copy.store != HOME  # a move that ended: `carryall stores evacuate` begins it anew
        is_given_up = job is not None and job.state is JobState.FAILED
        return CopyState.FAILED if is_given_up or is_moving else CopyState.QUEUED

    def _mend(self, tx: Tx, file_id: str, copy: Copy) -> CopyState | None:
        file = tx.files.get(file_id)
        held = file.copy_in(copy.store) if file is not None else None
        state = self._left(tx, file_id, held) if held is not None else None
        if state is None or file is None or held is None:
            return None
        tx.files.put_copy(file_id, replace(held, state=state, sent_bytes=0, next_try_at=None))
        if state is CopyState.QUEUED:
            queue_deliveries(tx, file, [copy.store], now=self._clock.now())
        return state

    async def complete(self, file: File) -> int:
        """Queue the copies that a file's target asks for and that nobody has begun; give how many there were."""
        return await self._catalog.write(lambda tx: self._complete(tx, file.id)) if self._missing(file) else 0

    def _missing(self, file: File) -> list[str]:
        return [name for name in file.target.stores if name in self._stores and file.copy_in(name) is None]

    def _complete(self, tx: Tx, file_id: str) -> int:
        file = tx.files.get(file_id)
        missing = self._missing(file) if file is not None else []
        if file is None or not missing:
            return 0
        for name in missing:
            tx.files.put_copy(file_id, Copy(name, fresh_key(self._stores[name], file, self._ids), CopyState.QUEUED))
        queue_deliveries(tx, file, missing, now=self._clock.now())
        return len(missing)
