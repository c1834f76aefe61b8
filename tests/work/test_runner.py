"""Jobs are claimed, run, tried again, given up visibly, and drained."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from carryall.catalog.sqlite import SqliteCatalog
from carryall.model.errors import CarryallError, Missing, StoreError, Unavailable
from carryall.model.work import Job, JobState
from carryall.operations.jobs import Bell
from carryall.operations.queue import LEASE, LONGEST_WAIT, Queue
from carryall.testing.fakes import CollectingTelemetry, ManualClock
from carryall.work import runner as runner_module
from carryall.work.runner import Runner, Verbs, back_off
from carryall.work.schedule import PERIODIC

MINUTE = timedelta(minutes=1)
Run = Callable[..., Runner]


@pytest.fixture
def bell() -> Bell:
    """Give a bell."""
    return Bell()


@pytest.fixture
def telemetry() -> CollectingTelemetry:
    """Give telemetry that remembers."""
    return CollectingTelemetry()


@pytest.fixture
def make(queue: Queue, bell: Bell, telemetry: CollectingTelemetry) -> Run:
    """Make a runner with these verbs, by kind; expire and sweep do nothing unless they are given."""

    def made(verbs: Verbs | None = None, *, lanes: int = 4, **which: Any) -> Runner:
        idle = {periodic.kind: nothing for periodic in PERIODIC}
        return Runner(queue, {**idle, **(verbs or {})}, bell, telemetry, lanes=lanes, **which)

    return made


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


async def test_a_job_whose_runner_died_is_taken_over(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """When its lease has run out, and not before."""
    started = asyncio.Event()

    async def hang(_: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    await add(catalog, clock)
    dead = asyncio.ensure_future(make({"erase": hang}).run_due())
    await started.wait()
    dead.cancel()
    await asyncio.wait([dead])

    clock.advance(LEASE - timedelta(microseconds=1))
    assert 0 == await make({"erase": nothing}).run_due()
    clock.advance(timedelta(microseconds=1))
    assert 1 == await make({"erase": nothing}).run_due()
    assert (JobState.DONE, 2) == ((await job(catalog)).state, (await job(catalog)).attempts)


async def test_two_runners_share_the_work(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """Each job runs once, whoever takes it."""
    seen: list[str] = []

    async def verb(given: Job) -> None:
        await asyncio.sleep(0)
        seen.append(given.id)

    for number in range(20):
        await add(catalog, clock, str(number))
    await asyncio.gather(*(make({"erase": verb}).run_due() for _ in range(3)))

    assert sorted(map(str, range(20))) == sorted(seen)


async def running(runner: Runner) -> asyncio.Task[None]:
    """Start a runner."""
    return asyncio.ensure_future(runner.run())


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


async def test_lanes_bound_what_runs(make: Run, catalog: SqliteCatalog, clock: ManualClock, bell: Bell) -> None:
    """No more jobs run at once than there are lanes, and one that hangs doesn't hold up the others."""
    gates = {str(number): asyncio.Event() for number in range(5)}
    started: list[str] = []
    changed = asyncio.Event()

    async def verb(given: Job) -> None:
        started.append(given.id)
        changed.set()
        await gates[given.id].wait()

    for number in range(5):
        await add(catalog, clock, str(number))
    clock.advance(timedelta(microseconds=1))
    runner = make({"erase": verb}, lanes=2)
    task = await running(runner)
    async with asyncio.timeout(5):
        while len(started) < 5:
            await changed.wait()
            changed.clear()
            assert len(started) - sum(gate.is_set() for gate in gates.values()) <= 2
            if len(started) >= 2:
                gates[started[-1]].set()
                bell.ring()
    for gate in gates.values():
        gate.set()
    await runner.drain(MINUTE)
    await task
    assert {JobState.DONE} == {(await job(catalog, number)).state for number in gates}


async def test_draining_waits_for_what_runs(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """Nothing new is begun; what runs may end; what doesn't end in time is left to the next runner."""
    started, gate = [asyncio.Event() for _ in range(2)], asyncio.Event()

    async def verb(given: Job) -> None:
        number = int(given.id)
        started[number].set()
        await (gate if number == 0 else asyncio.Event()).wait()

    for number in range(2):
        await add(catalog, clock, str(number))
    runner = make({"erase": verb})
    task = await running(runner)
    for event in started:
        await event.wait()
    draining = asyncio.ensure_future(runner.drain(timedelta(seconds=0.2)))
    await asyncio.sleep(0)
    await add(catalog, clock, "late")
    gate.set()
    await draining
    await task

    assert [JobState.DONE, JobState.RUNNING, JobState.QUEUED] == [
        (await job(catalog, job_id)).state for job_id in ("0", "1", "late")
    ]


async def test_what_runs_lets_go_of_its_provider(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """A job that is told to leave may still close what it has open: draining waits for that, too, if not for long."""
    started, closed = asyncio.Event(), []

    async def verb(_: Job) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            closed.append("a connection")

    await add(catalog, clock)
    runner = make({"erase": verb})
    task = await running(runner)
    await started.wait()

    await runner.drain(timedelta(seconds=0.01))

    assert ["a connection"] == closed
    assert JobState.RUNNING is (await job(catalog)).state
    await task


async def test_a_slow_kind_holds_up_no_other(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """Kinds with a runner of their own are taken by that one alone; the other one takes all the rest."""
    ran: list[str] = []

    async def verb(given: Job) -> None:
        ran.append(given.id)

    verbs = {"deliver": verb, "erase": verb}
    for kind in ("deliver:slow", "deliver:gone", "erase"):
        await add(catalog, clock, kind, kind)

    await make(verbs, but=["deliver:slow"]).run_due()
    assert {"deliver:gone", "erase"} == set(ran)

    await make(verbs, kind="deliver:slow").run_due()
    assert "deliver:slow" == ran[-1]


async def test_a_runner_of_one_kind_plans_nothing(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """The periodic jobs are the other runner's."""
    runner = make(kind="deliver:s3")
    task = await running(runner)
    await runner.drain(MINUTE)
    await task

    assert {} == await catalog.read(lambda tx: tx.jobs.counts())


async def test_a_provider_is_asked_again_within_the_hour(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """It says when to come back, in a day even; but a job beyond the horizon would be due at once (threat 30)."""
    error = StoreError("Full for today.", retryable=True, retry_after_s=86_400)
    await add(catalog, clock)

    await make({"erase": failing(error)}).run_due()

    assert LONGEST_WAIT == (await job(catalog)).run_at - clock.now()
    assert 0 == await make({"erase": nothing}).run_due()


async def test_jobs_of_a_process_that_is_gone_are_taken_back(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, queue: Queue
) -> None:
    """Nobody waits for the leases of the dead; what the living run stays theirs."""
    for job_id, node in (("dead", "dead"), ("alive", "alive")):
        await add(catalog, clock, job_id, state=JobState.RUNNING, leased_until=clock.now() + LEASE, node=node)

    assert 1 == await queue.take_back(lambda node: node == "dead")

    assert 1 == await make({"erase": nothing}).run_due()
    assert [JobState.DONE, JobState.RUNNING] == [(await job(catalog, one)).state for one in ("dead", "alive")]


async def test_periodic_jobs_come_again(make: Run, clock: ManualClock) -> None:
    """One row each, however many runners and starts; each turn begins when the one before is over."""
    turns: list[str] = []
    verbs = {periodic.kind: _noting(turns, periodic.kind) for periodic in PERIODIC}
    for _ in range(3):
        runner = make(verbs)
        task = await running(runner)
        await _until(lambda: len(turns) >= len(PERIODIC))
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


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110  # what is waited for sets no event
            await asyncio.sleep(0.001)


async def test_a_periodic_job_is_never_given_up(make: Run, catalog: SqliteCatalog, clock: ManualClock) -> None:
    """It fails and fails, and works again as soon as it can; its attempts begin anew."""
    fails = failing(Missing("A bug."), times=30)
    await catalog.write(lambda tx: tx.jobs.add(Job("periodic:expire", "expire", {}, clock.now(), clock.now())))
    for _ in range(31):
        assert 1 == await make({"expire": fails}).run_due()
        clock.advance(timedelta(hours=2))

    now = await job(catalog, "periodic:expire")
    assert (JobState.QUEUED, 0, None) == (now.state, now.attempts, now.error)


async def test_a_job_that_outlives_its_lease_isnt_begun_twice(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, bell: Bell
) -> None:
    """A sweep over millions of files takes its time: the runner that still works on it begins no second one."""
    begun, gate, beside = [0], asyncio.Event(), asyncio.Event()

    async def slow(_: Any) -> None:
        begun[0] += 1
        await gate.wait()

    async def quick(_: Any) -> None:
        beside.set()

    await add(catalog, clock)
    runner = make({"erase": slow, "other": quick})
    task = await running(runner)
    await _until(lambda: begun[0] == 1)
    clock.advance(LEASE)
    await add(catalog, clock, "beside", kind="other")
    bell.ring()
    await beside.wait()

    assert [1] == begun
    gate.set()
    await runner.drain(MINUTE)
    await task
    assert JobState.DONE is (await job(catalog)).state


async def test_leases_are_renewed(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that takes longer than its lease keeps it while its runner lives: another process finds nothing to do."""
    monkeypatch.setattr(runner_module, "_RENEW_S", 0.01)
    gate = asyncio.Event()

    async def slow(_: Job) -> None:
        await gate.wait()

    await add(catalog, clock)
    first = make({"erase": slow})
    task = await running(first)
    for _ in range(3):
        before = clock.now()
        async with asyncio.timeout(5):
            while (await job(catalog)).leased_until != before + LEASE:
                await asyncio.sleep(0.001)
        clock.advance(LEASE - timedelta(microseconds=1))
        assert 0 == await make({"erase": nothing}, but=[periodic.kind for periodic in PERIODIC]).run_due()

    gate.set()
    await first.drain(MINUTE)
    await task
    assert (JobState.DONE, 1) == ((await job(catalog)).state, (await job(catalog)).attempts)


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
    await _until(lambda: calls[0] > 8)
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
