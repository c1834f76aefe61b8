"""What every catalog must do for several processes that use it at once; part of CatalogContract."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from carryall.model.upload import State
from carryall.model.work import Event
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_files_contract import a_file, add_all, numbered
from carryall.testing.catalog_uploads_contract import an_upload
from carryall.testing.catalog_work_contract import a_job, claim
from carryall.testing.fakes import MORNING

_EACH = 15


async def _everywhere(catalogs: Sequence[Catalog], work: Callable[[Tx], bool], each: int = _EACH) -> int:
    """Run it so often in each process, all at once; count how often it said yes."""
    return sum(await asyncio.gather(*(catalog.write(work) for catalog in catalogs for _ in range(each))))


class SharedRules:
    """What is true of two processes. Each checks first and writes then, in one transaction."""

    async def test_the_quota_is_one(self, catalogs: Sequence[Catalog]) -> None:
        """Of many who reserve in both as many get room as there is, to the byte (threat 14)."""
        got = await _everywhere(catalogs, lambda tx: tx.usages.reserve("alice", 7, total_bytes=100))

        assert 14 == got
        assert 98 == (await catalogs[0].read(lambda tx: tx.usages.get("alice"))).reserved_bytes

    async def test_what_is_looked_at_doesnt_change(self, catalogs: Sequence[Catalog]) -> None:
        """Whoever writes what follows from several rows that it read can rely on them: one of two rivals runs anew."""

        def one_more(tx: Tx) -> bool:
            has_room = len(tx.jobs.find(kind="erase")) < 5
            if has_room:
                tx.jobs.add(a_job(id=f"job{len(tx.jobs.find())}"))
            return has_room

        assert 5 == await _everywhere(catalogs, one_more)
        assert 5 == len(await catalogs[1].read(lambda tx: tx.jobs.find()))

    async def test_a_name_is_taken_once(self, catalogs: Sequence[Catalog]) -> None:
        """Of those who find a name free one has it, and the others see that."""
        numbers = iter(range(1000))

        def take(tx: Tx) -> bool:
            if tx.files.by_path("user:alice", "the/one") is not None:
                return False
            tx.files.add(numbered(next(numbers), id=f"file{next(numbers)}", path="the/one"))
            return True

        assert 1 == await _everywhere(catalogs, take)

    async def test_an_upload_is_completed_once(self, catalogs: Sequence[Catalog]) -> None:
        """Of those who seal it one does, and it became one file."""
        await catalogs[0].write(lambda tx: tx.uploads.add(an_upload()))

        def seal(tx: Tx) -> bool:
            upload = tx.uploads.get("up")
            if upload is None or upload.state is not State.OPEN:
                return False
            tx.uploads.save(upload.sealed("file"))
            tx.usages.file_added(upload.owner, 5, MORNING)
            tx.files.add(a_file(copies=()))
            return True

        assert 1 == await _everywhere(catalogs, seal)
        assert 1 == (await catalogs[1].read(lambda tx: tx.usages.get("user:alice"))).files

    async def test_a_job_is_claimed_once(self, catalogs: Sequence[Catalog]) -> None:
        """Runners in both processes share the jobs without overlap."""
        await add_all(catalogs[0], lambda tx: tx.jobs.add, *(a_job(id=str(number)) for number in range(30)))

        taken = await asyncio.gather(*(claim(catalog, MORNING, 4) for catalog in catalogs for _ in range(6)))

        assert sorted(map(str, range(30))) == sorted(job.id for jobs in taken for job in jobs)

    async def test_no_event_is_overlooked(self, catalogs: Sequence[Catalog]) -> None:
        """Whoever asks again and again for what came after the last event that they saw gets every one, in order."""
        writing = [asyncio.ensure_future(_tell(catalog)) for catalog in catalogs for _ in range(3)]
        seen: list[int] = []
        while True:
            is_over = all(task.done() for task in writing)
            last = seen[-1] if seen else 0
            seen += await catalogs[0].read(lambda tx, i=last: [e.id for e in tx.events.after(i, owner=None, limit=99)])  # type: ignore[misc]
            if is_over:
                break

        written = [number for task in writing for number in await task]
        assert sorted(written) == seen


async def _tell(catalog: Catalog) -> list[int]:
    event = Event("file.stored", "file", "alice", MORNING)
    return [(await catalog.write(partial(_add_and_dawdle, event=event))).id for _ in range(_EACH)]


def _add_and_dawdle(tx: Tx, *, event: Event) -> Event:
    added = tx.events.add(event)
    for number in range(added.id % 5):  # so that they end in another order than they began
        tx.users.get(str(number))
    return added
