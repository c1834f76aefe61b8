"""The job queue from the runner's side: take what is due, write down how it went."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from carryall.model.work import Job
from carryall.operations.world import World
from carryall.ports.catalog import Tx

LEASE = timedelta(minutes=10)
_HORIZON = timedelta(hours=2)  # longer than any wait, period or lease


class Queue:
    """Claims, finishes, retries and fails jobs."""

    def __init__(self, world: World) -> None:
        self._catalog = world.catalog
        self._clock = world.clock

    async def ensure(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Write periodic jobs (id, kind) that aren't there yet."""
        now = self._clock.now()
        wanted = [Job(id=job_id, kind=kind, payload={}, run_at=now, created_at=now) for job_id, kind in jobs]

        def work(tx: Tx) -> None:
            for job in wanted:
                tx.jobs.ensure(job)

        await self._catalog.write(work)

    async def claim(self, limit: int) -> list[Job]:
        """Take due jobs for this runner. Another may take them when the lease ran out."""
        times = {"lease": LEASE, "horizon": _HORIZON}
        now = self._clock.now()
        return list(await self._catalog.write(lambda tx: tx.jobs.claim(now, limit=limit, **times)))

    async def until_due(self) -> timedelta | None:
        """Give the time until the next queued job may run; None when none is queued."""
        due = await self._catalog.read(lambda tx: tx.jobs.next_due())
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
