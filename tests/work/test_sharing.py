"""Jobs among lanes, runners and processes: each runs once at a time, and none is held up by another."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.work.steps import MINUTE, Run, add, job, nothing, running, until

from carryall.catalog.sqlite import SqliteCatalog
from carryall.model.work import Job, JobState
from carryall.operations.jobs import Bell
from carryall.operations.queue import LEASE, Queue
from carryall.testing.fakes import ManualClock
from carryall.work import runner as runner_module
from carryall.work.schedule import PERIODIC


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


async def test_a_runner_of_one_kind_plans_nothing(make: Run, catalog: SqliteCatalog) -> None:
    """The periodic jobs are the other runner's."""
    runner = make(kind="deliver:s3")
    task = await running(runner)
    await runner.drain(MINUTE)
    await task

    assert {} == await catalog.read(lambda tx: tx.jobs.counts())


async def test_jobs_of_a_process_that_is_gone_are_taken_back(
    make: Run, catalog: SqliteCatalog, clock: ManualClock, queue: Queue
) -> None:
    """Nobody waits for the leases of the dead; what the living run stays theirs."""
    for job_id, node in (("dead", "dead"), ("alive", "alive")):
        await add(catalog, clock, job_id, state=JobState.RUNNING, leased_until=clock.now() + LEASE, node=node)

    assert 1 == await queue.take_back(lambda node: node == "dead")

    assert 1 == await make({"erase": nothing}).run_due()
    assert [JobState.DONE, JobState.RUNNING] == [(await job(catalog, one)).state for one in ("dead", "alive")]


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
    await until(lambda: begun[0] == 1)
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
            while (await job(catalog)).leased_until != before + LEASE:  # noqa: ASYNC110  # a row sets no event
                await asyncio.sleep(0.001)
        clock.advance(LEASE - timedelta(microseconds=1))
        assert 0 == await make({"erase": nothing}, but=[periodic.kind for periodic in PERIODIC]).run_due()

    gate.set()
    await first.drain(MINUTE)
    await task
    assert (JobState.DONE, 1) == ((await job(catalog)).state, (await job(catalog)).attempts)
