"""The job queue from the runner's side: take what is due, write down how it went."""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

from carryall.model.work import Job
from carryall.operations.world import World
from carryall.ports.catalog import Tx

LEASE = timedelta(minutes=10)
_FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)
_HORIZON = timedelta(hours=2)  # longer than any wait, period or lease


def back_off(attempts: int) -> timedelta:
    """Give the wait before the next try: doubling from 10 s to an hour, spread by up to a quarter.

    The spread keeps jobs that failed together from coming back together.

    Args:
        attempts: tries so far, at least 1.
    """
    wait = min(LONGEST_WAIT, _FIRST_WAIT * (1 << min(attempts - 1, 12)))
    return wait * (1 + random.random() / 4)  # noqa: S311  # guards nothing


class Queue:
    """Claims, finishes, retries and fails jobs."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._leases = world.leases
        self._clock = world.clock

    async def ensure(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Write periodic jobs (id, kind) that aren't there yet."""
        now = self._clock.now()
        wanted = [Job(id=job_id, kind=kind, payload={}, run_at=now, created_at=now) for job_id, kind in jobs]

        def work(tx: Tx) -> None:
            for job in wanted:
                tx.jobs.ensure(job)

        await self._catalog.write(work)

    async def claim(self, limit: int, kind: str | None = None, *, but: Collection[str] = ()) -> list[Job]:
        """Take due jobs for this runner: of one kind, or of all but some.

        Another may take them when their lease ran out, or this process is gone.
        """
        now, node = self._clock.now(), self._leases.node

        def work(tx: Tx) -> list[Job]:
            found = tx.jobs.claim(now, lease=LEASE, horizon=_HORIZON, limit=limit, node=node, kind=kind, but=but)
            return list(found)

        return await self._catalog.write(work)

    async def renew(self, job_ids: Sequence[str]) -> None:
        """Keep jobs that run for longer."""
        until = self._clock.now() + LEASE
        await self._catalog.write(lambda tx: tx.jobs.renew(job_ids, self._leases.node, until))

    async def take_back(self, is_gone: Callable[[str | None], bool]) -> int:
        """Queue again what processes ran that are gone; give how many jobs there were.

        Args:
            is_gone: tells of a process, by its node name, whether it can't come back.
        """
        now = self._clock.now()
        gone = [node for node in await self._catalog.read(lambda tx: tx.jobs.nodes()) if is_gone(node)]
        return await self._catalog.write(lambda tx: tx.jobs.take_back(gone, now)) if gone else 0

    async def until_due(self, kind: str | None = None, *, but: Collection[str] = ()) -> timedelta | None:
        """Give the time until the next queued job may run, of those that `claim` takes; None when none is queued."""
        due = await self._catalog.read(lambda tx: tx.jobs.next_due(kind, but=but))
        return None if due is None else due - self._clock.now()

    async def done(self, job: Job, *, again_in: timedelta | None = None) -> None:
        """Mark a job as done, or queue a periodic one's next turn."""
        now = self._clock.now()

        def work(tx: Tx) -> None:
            if again_in is None:
                tx.jobs.finish(job.id, now)
            else:
                tx.jobs.retry(job.id, run_at=now + again_in, error=None)

        await self._catalog.write(work)

    async def retry(self, job: Job, *, wait: timedelta, error: str) -> None:
        """Queue a job that failed once more."""
        run_at: datetime = self._clock.now() + wait
        await self._catalog.write(lambda tx: tx.jobs.retry(job.id, run_at=run_at, error=error))

    async def give_up(self, job: Job, error: str) -> None:
        """Give a job up; `carryall doctor` and the metrics show it."""
        now = self._clock.now()
        await self._catalog.write(lambda tx: tx.jobs.fail(job.id, now, error))
