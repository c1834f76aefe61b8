"""Run jobs: claim, run, back off, give up visibly, drain at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from carryall.model.errors import CarryallError
from carryall.model.work import Job
from carryall.operations.jobs import Bell
from carryall.operations.queue import LEASE, LONGEST_WAIT, Queue, back_off
from carryall.ports.telemetry import Telemetry
from carryall.work.schedule import BY_ID, PERIODIC

log = structlog.get_logger(__name__)

Verbs = Mapping[str, Callable[[Job], Awaitable[Any]]]

_POLL_S = 5.0
_LEAST_PAUSE_S = 0.001
_LETTING_GO_S = 5.0
_RENEW_S = LEASE.total_seconds() / 3


class Runner:
    """Runs jobs one by one on several lanes, until it is told to drain.

    Some kinds ("deliver:s3") have a runner of their own, so that a slow store holds up nothing else.
    """

    def __init__(
        self,
        queue: Queue,
        verbs: Verbs,
        bell: Bell,
        telemetry: Telemetry,
        *,
        lanes: int,
        kind: str | None = None,
        but: Collection[str] = (),
    ) -> None:
        """Take what it runs with, and what: one kind of jobs, or the periodic ones and all others but some."""
        self._queue = queue
        self._verbs = verbs
        self._ear = bell.ear()
        self._telemetry = telemetry
        self._lanes = lanes
        self._kind = kind
        self._but = but
        self._is_draining = False
        self._is_planned = False
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Run until `drain`, whatever happens to the catalog meanwhile."""
        renewing = asyncio.create_task(self._renew())
        try:
            while not self._is_draining:
                try:
                    pause_s = await self._turn()
                except Exception as error:
                    log.error("jobs.unreachable", exc_info=error)
                    pause_s = _POLL_S
                if pause_s and not self._is_draining:
                    await self._ear.wait(pause_s)
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        """Keep the leases of jobs that take long."""
        while True:
            await asyncio.sleep(_RENEW_S)
            if self._running:
                try:
                    await self._queue.renew(list(self._running))
                except CarryallError as error:  # there are two more times until they run out
                    log.warning("jobs.not_renewed", reason=error.stable_code)

    async def _turn(self) -> float:
        """Begin what is due; give how long there is nothing to do, in seconds."""
        if not self._is_planned and self._kind is None:
            await self._queue.ensure((periodic.job_id, periodic.kind) for periodic in PERIODIC)
            self._is_planned = True
        claimed = await self._claim()
        for job in claimed:
            if job.id not in self._running:  # else its lease could not be renewed in time
                task = self._running[job.id] = asyncio.ensure_future(self._run(job))
                task.add_done_callback(partial(self._ended, job))
        return 0.0 if claimed else await self._pause_s()

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        del self._running[job.id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job.unrecorded", id=job.id, kind=job.kind, exc_info=error)  # it runs again after its lease
        self._ear.ring()

    async def drain(self, grace: timedelta) -> None:
        """Take no more jobs and wait for those that run; one that doesn't end in time runs again after its lease."""
        self._is_draining = True
        self._ear.ring()
        for job_id, task in self._running.items():
            if job_id in BY_ID and BY_ID[job_id].is_cut:
                task.cancel()
        if self._running:
            _, left = await asyncio.wait(self._running.values(), timeout=grace.total_seconds())
            for task in left:
                task.cancel()
            if left:  # what they hold at a provider is let go of while there are connections
                await asyncio.wait(left, timeout=_LETTING_GO_S)

    async def run_due(self) -> int:
        """Run everything that is due now, one after the other; give how many. For `carryall work --once` and tests."""
        done = 0
        while jobs := await self._claim():
            for job in jobs:
                await self._run(job)
            done += len(jobs)
        return done

    async def _claim(self) -> list[Job]:
        free = self._lanes - len(self._running)
        return await self._queue.claim(free, self._kind, but=self._but) if free > 0 else []

    async def _pause_s(self) -> float:
        wait = await self._queue.until_due(self._kind, but=self._but)
        if wait is None or len(self._running) >= self._lanes:
            return _POLL_S
        return min(_POLL_S, max(_LEAST_PAUSE_S, wait.total_seconds()))

    async def _run(self, job: Job) -> None:
        try:
            verb = self._verbs.get(job.kind.partition(":")[0])
            if verb is None:
                raise CarryallError(f"This version knows no jobs of kind {job.kind}.", code="job_unknown")
            await verb(job)
        except Exception as error:
            await self._failed(job, error)
        else:
            await self._done(job)

    async def _done(self, job: Job) -> None:
        self._telemetry.job_ended(job.kind, "done")
        periodic = BY_ID.get(job.id)
        await self._queue.done(job, again_in=periodic.every if periodic else None)

    async def _failed(self, job: Job, error: Exception) -> None:
        text = error.message if isinstance(error, CarryallError) else type(error).__name__
        is_final = isinstance(error, CarryallError) and not error.retryable
        gives_up = job.id not in BY_ID and (is_final or job.attempts >= job.max_attempts)
        self._telemetry.job_ended(job.kind, "failed" if gives_up else "retried")
        known = isinstance(error, CarryallError)
        log.warning(
            "job.failed",
            id=job.id,
            kind=job.kind,
            attempts=job.attempts,
            gave_up=gives_up,
            reason=text,
            exc_info=None if known else error,
        )
        if gives_up:
            await self._queue.give_up(job, text)
        else:
            await self._queue.retry(job, wait=_wait(job, error), error=text)


def _wait(job: Job, error: Exception) -> timedelta:
    """Give the time until the next try: what the error asks for, where it does."""
    if isinstance(error, CarryallError) and error.retry_after_s is not None:
        return min(LONGEST_WAIT, timedelta(seconds=error.retry_after_s))  # a job beyond the horizon is due at once
    return back_off(job.attempts)
