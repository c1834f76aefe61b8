"""Jobs are claimed, run, tried again, given up visibly."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from tests.work.steps import MINUTE, Run, add, failing, job, nothing, running, until

from carryall.catalog.sqlite import SqliteCatalog
from carryall.model.errors import CarryallError, Missing, StoreError, Unavailable
from carryall.model.work import Job, JobState
from carryall.operations.jobs import Bell
from carryall.operations.queue import LEASE, LONGEST_WAIT
from carryall.testing.fakes import ManualClock
from carryall.work import runner as runner_module
from carryall.work.runner import back_off
from carryall.work.schedule import PERIODIC


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"), [(1, 0, 10), (2, 0, 20), (5, 0, 160), (9, 0, 2560), (10, 0, 3600), (99, 1, 4500)]
)
def test_waits_grow(monkeypatch: pytest.MonkeyPatch, attempts: int, jitter: float, seconds: float) -> None:
    """From ten seconds to an hour, spread by up to a quarter."""
    monkeypatch.setattr(random, "random", lambda: jitter)

    assert timedelta(seconds=seconds) == back_off(attempts)


async def test_a_job_is_done_once(make: Run, catalog: SqliteCatalog, clock: ManualClock, telemetry: Any) -> None:
    """It runs with what its row says, and not again."""
    seen: list[Any] = []

    async def verb(given: Job) -> None:
        seen.append(given.payload)

    await add(catalog, clock)
    assert 1 == await make({"erase": verb}).run_due()
    clock.advance(timedelta(days=1))
    assert 0 == await make({"erase": verb}).run_due()

    assert [{"id": "job"}] == seen
    assert (JobState.DONE, 1) == ((await job(catalog)).state, (await job(catalog)).attempts)
    assert [("erase", "done")] == telemetry.jobs


async def test_a_failure_is_tried_again_later(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """Each time later; in the end it works. The row says why it failed, and forgets it."""
    runner = make({"erase": failing(StoreError("The store is away.", retryable=True), times=3)})
    await add(catalog, clock)
    waits = []
    for _ in range(3):
        assert 1 == await runner.run_due()
        failed = await job(catalog)
        assert (JobState.QUEUED, "The store is away.") == (failed.state, failed.error)
        waits.append(failed.run_at - clock.now())
        clock.advance(waits[-1] - timedelta(microseconds=1))
        assert 0 == await runner.run_due()
        clock.advance(timedelta(microseconds=1))
    assert 1 == await runner.run_due()

    assert [True] * 3 == [
        timedelta(seconds=s) <= wait <= timedelta(seconds=s * 1.25) for s, wait in zip((10, 20, 40), waits, strict=True)
    ]
    assert (JobState.DONE, None, 4) == (
        (await job(catalog)).state,
        (await job(catalog)).error,
        (await job(catalog)).attempts,
    )


@pytest.mark.parametrize("error", [Unavailable("The disk is away."), ZeroDivisionError("secret path")], ids=repr)
async def test_a_job_is_given_up_visibly(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, telemetry: Any, error: Exception
) -> None:
    """After as many tries as it has; the row says why, and nothing of what only the log may know (threat 25)."""
    runner = make({"erase": failing(error)})
    await add(catalog, clock, max_attempts=3)
    for _ in range(5):
        await runner.run_due()
        clock.advance(timedelta(hours=2))

    given_up = await job(catalog)
    assert (JobState.FAILED, 3) == (given_up.state, given_up.attempts)
    assert given_up.error == ("The disk is away." if isinstance(error, CarryallError) else "ZeroDivisionError")
    assert [("erase", "retried")] * 2 + [("erase", "failed")] == telemetry.jobs


@pytest.mark.parametrize(
    ("kind", "error"), [("erase", Missing("No such thing.")), ("unheard-of", None)], ids=["final", "unknown"]
)
async def test_what_cant_be_mended_is_not_tried_again(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, kind: str, error: Exception | None
) -> None:
    """An error that stays, and a job of another version, fail at once."""
    await add(catalog, clock, kind=kind)

    await make({"erase": failing(error)} if error else {}).run_due()

    assert JobState.FAILED is (await job(catalog)).state


async def test_a_ring_wakes_the_runner(make: Run, catalog: SqliteCatalog, clock: ManualClock, bell: Bell) -> None:
    """A job that a request has queued is begun at once, not at the next poll; so is one rung for while it looked."""
    done: asyncio.Queue[str] = asyncio.Queue()

    async def verb(given: Job) -> None:
        done.put_nowait(given.id)

    runner = make({"erase": verb})
    task = await running(runner)
    async with asyncio.timeout(3):
        for number in range(20):
            await add(catalog, clock, str(number))
            bell.ring()
            assert str(number) == await done.get()
    await runner.drain(MINUTE)
    await task


async def test_a_provider_is_asked_again_within_the_hour(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """It says when to come back, in a day even; but a job beyond the horizon would be due at once (threat 30)."""
    error = StoreError("Full for today.", retryable=True, retry_after_s=86_400)
    await add(catalog, clock)

    await make({"erase": failing(error)}).run_due()

    assert LONGEST_WAIT == (await job(catalog)).run_at - clock.now()
    assert 0 == await make({"erase": nothing}).run_due()


async def test_periodic_jobs_come_again(make: Run, clock: ManualClock) -> None:
    """One row each, however many runners and starts; each turn begins when the one before is over."""
    turns: list[str] = []
    verbs = {periodic.kind: _noting(turns, periodic.kind) for periodic in PERIODIC}
    for _ in range(3):
        runner = make(verbs)
        task = await running(runner)
        await until(lambda: len(turns) >= len(PERIODIC))
        await runner.drain(MINUTE)
        await task
    assert ["expire", "scrub", "sweep", "trim"] == sorted(turns)

    for _ in range(60):
        clock.advance(MINUTE)
        await make(verbs).run_due()
    assert (61, 2, 2) == tuple(map(turns.count, ("expire", "sweep", "scrub")))


def _noting(turns: list[str], kind: str) -> Callable[[Any], Awaitable[None]]:
    async def verb(_: Any) -> None:
        turns.append(kind)

    return verb


async def test_a_periodic_job_is_never_given_up(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """It fails and fails, and works again as soon as it can; its attempts begin anew."""
    fails = failing(Missing("A bug."), times=30)
    await catalog.write(lambda tx: tx.jobs.add(Job("periodic:expire", "expire", {}, clock.now(), clock.now())))
    for _ in range(31):
        assert 1 == await make({"expire": fails}).run_due()
        clock.advance(timedelta(hours=2))

    now = await job(catalog, "periodic:expire")
    assert (JobState.QUEUED, 0, None) == (now.state, now.attempts, now.error)


async def test_a_catalog_that_fails_for_a_while(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner lives through it, at every step that it takes, and goes on when the catalog is back."""
    monkeypatch.setattr(runner_module, "_POLL_S", 0.001)
    calls, done = [0], asyncio.Event()
    for name in ("read", "write"):
        monkeypatch.setattr(catalog, name, _failing_at(getattr(catalog, name), calls, {1, 2, 4, 6, 7}))

    async def verb(_: Any) -> None:
        done.set()

    runner = make({"erase": verb})
    task = await running(runner)
    await until(lambda: calls[0] > 8)
    await add(catalog, clock)
    bell.ring()
    async with asyncio.timeout(5):
        await done.wait()
    await runner.drain(MINUTE)
    await task


def _failing_at(real: Callable[..., Awaitable[Any]], calls: list[int], at: set[int]) -> Callable[..., Awaitable[Any]]:
    async def sometimes(work: Any) -> Any:
        calls[0] += 1
        if calls[0] in at:
            raise Unavailable("The catalog is away.")
        return await real(work)

    return sometimes


async def test_an_end_that_cant_be_written_down(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job was done, but its row couldn't say so: it runs again after its lease."""
    seen: list[str] = []
    runner = make({"erase": _noting(seen, "x")})
    await add(catalog, clock)
    with monkeypatch.context() as patched:
        patched.setattr(runner._queue, "done", _away)
        with suppress(Unavailable):
            await runner.run_due()
    assert JobState.RUNNING is (await job(catalog)).state

    clock.advance(LEASE)
    assert 1 == await runner.run_due()
    assert (["x", "x"], JobState.DONE) == (seen, (await job(catalog)).state)


async def _away(*_: Any, **__: Any) -> None:
    raise Unavailable("The catalog is away.")


async def test_draining_cuts_what_may_be_cut(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """Nobody who stops the server waits for a scrub; it runs again at the next start."""
    begun = asyncio.Event()

    async def endless(_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    runner = make({"scrub": endless, "expire": nothing, "sweep": nothing, "trim": nothing})
    task = await running(runner)
    await begun.wait()
    async with asyncio.timeout(5):
        await runner.drain(MINUTE)
        await task

    assert JobState.RUNNING is (await job(catalog, "periodic:scrub")).state
    clock.advance(LEASE)
    assert 3 == await make({periodic.kind: nothing for periodic in PERIODIC}).run_due()
