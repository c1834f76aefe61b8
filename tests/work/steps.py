"""Steps that the tests of runners are made of."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from carryall.catalog.sqlite import SqliteCatalog
from carryall.model.work import Job
from carryall.testing.fakes import ManualClock
from carryall.work.runner import Runner

MINUTE = timedelta(minutes=1)
Run = Callable[..., Runner]


async def nothing(_: Any) -> None:
    """Do nothing."""


def failing(error: Exception, times: int = 10**6) -> Callable[[Any], Awaitable[None]]:
    """Give a verb that fails so many times, and then works."""
    left = [times]

    async def verb(_: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return verb


async def add(
    catalog: SqliteCatalog, clock: ManualClock, job_id: str = "job", kind: str = "erase", **more: Any
) -> None:
    """Queue a job that is due."""
    job = Job(job_id, kind, {"id": job_id}, clock.now(), clock.now(), **more)
    await catalog.write(lambda tx: tx.jobs.add(job))


async def job(catalog: SqliteCatalog, job_id: str = "job") -> Job:
    """Give a job as it is now."""
    found = await catalog.read(lambda tx: tx.jobs.get(job_id))
    assert found is not None
    return found


async def running(runner: Runner) -> asyncio.Task[None]:
    """Start a runner."""
    return asyncio.ensure_future(runner.run())


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.001)
