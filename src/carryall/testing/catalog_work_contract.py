"""What every catalog must remember of jobs and events; part of CatalogContract."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from carryall.model.work import Event, Job, JobState
from carryall.ports.catalog import Catalog
from carryall.testing.catalog_files_contract import HOUR, add_all
from carryall.testing.fakes import MORNING

LEASE = timedelta(minutes=10)
HORIZON = timedelta(hours=2)


def a_job(**changes: Any) -> Job:
    """Give a job that is due in the morning."""
    return replace(Job("job", "erase", {"key": "ü", "n": [1, None]}, MORNING, MORNING - HOUR), **changes)


async def claim(catalog: Catalog, now: datetime, limit: int = 99, *, node: str = "here", **which: Any) -> list[Job]:
    """Take what is due."""
    bounds: dict[str, Any] = {"lease": LEASE, "horizon": HORIZON, "limit": limit, "node": node}
    return list(await catalog.write(lambda tx: tx.jobs.claim(now, **bounds, **which)))


class JobRules:
    """What is remembered of work."""

    async def test_a_job_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """Every field survives; ensuring doesn't touch one that is there."""
        job = a_job(state=JobState.FAILED, attempts=4, max_attempts=5, finished_at=MORNING, error="wörse")
        await catalog.write(lambda tx: tx.jobs.add(job))
        await catalog.write(lambda tx: tx.jobs.ensure(a_job()))
        await catalog.write(lambda tx: tx.jobs.ensure(a_job(id="periodic:x")))

        assert job == await catalog.read(lambda tx: tx.jobs.get("job"))
        assert a_job(id="periodic:x") == await catalog.read(lambda tx: tx.jobs.get("periodic:x"))

    async def test_due_jobs_are_claimed_in_order(self, catalog: Catalog) -> None:
        """Those whose time has come, oldest first, as many as asked for; each with a lease and an attempt counted."""
        jobs = [a_job(id=str(n), run_at=MORNING - n * HOUR) for n in range(-1, 4)]
        await add_all(catalog, lambda tx: tx.jobs.add, *jobs)

        first, rest = await claim(catalog, MORNING, 2), await claim(catalog, MORNING)

        assert ["3", "2", "1", "0"] == [job.id for job in first + rest]
        claimed = replace(jobs[-1], state=JobState.RUNNING, attempts=1, leased_until=MORNING + LEASE, node="here")
        assert claimed == first[0] == await catalog.read(lambda tx: tx.jobs.get("3"))
        assert MORNING + HOUR == await catalog.read(lambda tx: tx.jobs.next_due())

    async def test_kinds_are_claimed_apart(self, catalog: Catalog) -> None:
        """One kind, or all but some; what is due next is told of the same jobs."""
        kinds = {"erase": MORNING, "deliver:s3": MORNING - HOUR, "deliver:s": MORNING - 2 * HOUR}
        jobs = [a_job(id=kind, kind=kind, run_at=run_at) for kind, run_at in kinds.items()]
        await add_all(catalog, lambda tx: tx.jobs.add, *jobs)

        due = await catalog.read(lambda tx: [tx.jobs.next_due("deliver:s3"), tx.jobs.next_due(but=["deliver:s"])])
        assert [MORNING - HOUR] * 2 == due
        assert await catalog.read(lambda tx: tx.jobs.next_due("deliver:mega")) is None
        assert [] == await claim(catalog, MORNING, kind="deliver:mega")
        assert ["deliver:s3"] == [job.id for job in await claim(catalog, MORNING, kind="deliver:s3")]
        assert ["erase"] == [job.id for job in await claim(catalog, MORNING, but=["deliver:s3", "deliver:s"])]
        assert ["deliver:s"] == [job.id for job in await claim(catalog, MORNING)]

    async def test_a_job_is_put_anew_unless_it_runs(self, catalog: Catalog) -> None:
        """One that waits, or has ended, makes room; one that runs stays, and can't be removed either."""
        states = {state.value: state for state in JobState}
        await add_all(catalog, lambda tx: tx.jobs.add, *(a_job(id=id, state=state) for id, state in states.items()))

        await add_all(catalog, lambda tx: tx.jobs.put, *(a_job(id=id, payload={"new": 1}) for id in (*states, "none")))

        now = await catalog.read(lambda tx: {job.id: (job.payload, job.state) for job in tx.jobs.find()})
        anew = dict.fromkeys((*states, "none"), ({"new": 1}, JobState.QUEUED))
        assert anew | {"running": (a_job().payload, JobState.RUNNING)} == now
        await add_all(catalog, lambda tx: tx.jobs.remove, *states, "nobody's")
        assert {"running", "none"} == {job.id for job in await catalog.read(lambda tx: tx.jobs.find())}

    async def test_a_lease_is_renewed_by_its_holder(self, catalog: Catalog) -> None:
        """Only who runs a job moves the end of its lease."""
        await add_all(catalog, lambda tx: tx.jobs.add, *(a_job(id=id) for id in ("one", "two", "three")))
        (mine,) = await claim(catalog, MORNING, 1)
        (theirs,) = await claim(catalog, MORNING, 1, node="there")
        later = MORNING + 2 * LEASE

        await catalog.write(lambda tx: tx.jobs.renew(["one", "two", "three", "none"], "here", later))

        until = await catalog.read(lambda tx: {job.id: job.leased_until for job in tx.jobs.find()})
        assert {mine.id: later, theirs.id: MORNING + LEASE} == {id: end for id, end in until.items() if end is not None}
        await catalog.write(lambda tx: tx.jobs.renew([], "here", later))

    async def test_what_the_dead_ran_is_taken_back(self, catalog: Catalog) -> None:
        """It is due at once; the attempt counts; what others run, and what has ended, is left alone."""
        await add_all(catalog, lambda tx: tx.jobs.add, *(a_job(id=str(n), run_at=MORNING - n * HOUR) for n in range(4)))
        for node in ("dead", "alive", "dead"):
            await claim(catalog, MORNING, 1, node=node)
        assert ["alive", "dead"] == sorted(await catalog.read(lambda tx: tx.jobs.nodes()))
        await catalog.write(lambda tx: tx.jobs.finish("3", MORNING))

        assert 1 == await catalog.write(lambda tx: tx.jobs.take_back(["dead", "unknown"], MORNING + HOUR))

        back = a_job(id="1", run_at=MORNING + HOUR, attempts=1)
        assert back == await catalog.read(lambda tx: tx.jobs.get("1"))
        assert ["alive"] == list(await catalog.read(lambda tx: tx.jobs.nodes()))

    async def test_two_runners_never_get_the_same_job(self, catalog: Catalog) -> None:
        """However many claim at once, each job goes to one of them."""
        await add_all(catalog, lambda tx: tx.jobs.add, *(a_job(id=str(n)) for n in range(30)))

        taken = await asyncio.gather(*(claim(catalog, MORNING, 4) for _ in range(10)))

        ids = [job.id for jobs in taken for job in jobs]
        assert sorted(map(str, range(30))) == sorted(ids)

    async def test_a_clock_that_was_ahead_holds_no_job_up(self, catalog: Catalog) -> None:
        """What is planned, or leased, until after the horizon is due."""
        times = {"soon": MORNING + HOUR, "wrong": MORNING + HORIZON + timedelta(microseconds=1)}
        await add_all(catalog, lambda tx: tx.jobs.add, *(a_job(id=id, run_at=run_at) for id, run_at in times.items()))
        assert ["wrong"] == [job.id for job in await claim(catalog, MORNING)]

        assert [] == await claim(catalog, MORNING + HOUR - HORIZON)
        assert {"soon", "wrong"} == {job.id for job in await claim(catalog, MORNING - HORIZON)}

    async def test_a_lease_that_ran_out_is_taken_over(self, catalog: Catalog) -> None:
        """A job whose runner is gone goes to the next, not a moment earlier, and the attempt counts."""
        await catalog.write(lambda tx: tx.jobs.add(a_job()))
        await claim(catalog, MORNING)

        assert [] == await claim(catalog, MORNING + LEASE - timedelta(microseconds=1))
        assert [2] == [job.attempts for job in await claim(catalog, MORNING + LEASE)]

    async def test_a_job_ends(self, catalog: Catalog) -> None:
        """Done and failed jobs are not claimed again; both say when, and a failed one says why."""
        await add_all(catalog, lambda tx: tx.jobs.add, a_job(id="good"), a_job(id="bad"))
        await claim(catalog, MORNING)
        await catalog.write(lambda tx: tx.jobs.finish("good", MORNING + HOUR))
        await catalog.write(lambda tx: tx.jobs.fail("bad", MORNING + HOUR, "why"))

        ended = {"attempts": 1, "finished_at": MORNING + HOUR}
        assert a_job(id="good", state=JobState.DONE, **ended) == await catalog.read(lambda tx: tx.jobs.get("good"))
        assert a_job(id="bad", state=JobState.FAILED, error="why", **ended) == await catalog.read(
            lambda tx: tx.jobs.get("bad")
        )
        assert [] == await claim(catalog, MORNING + 99 * HOUR)
        assert await catalog.read(lambda tx: tx.jobs.next_due()) is None

    async def test_a_job_is_tried_again(self, catalog: Catalog) -> None:
        """After an error its attempts count on; without one, a periodic job's next turn, they begin anew."""
        await catalog.write(lambda tx: tx.jobs.add(a_job()))
        await claim(catalog, MORNING)
        await catalog.write(lambda tx: tx.jobs.retry("job", run_at=MORNING + HOUR, error="why"))
        again = a_job(run_at=MORNING + HOUR, attempts=1, error="why")
        assert again == await catalog.read(lambda tx: tx.jobs.get("job"))
        assert [] == await claim(catalog, MORNING)

        await claim(catalog, MORNING + HOUR)
        await catalog.write(lambda tx: tx.jobs.retry("job", run_at=MORNING + 2 * HOUR, error=None))
        assert a_job(run_at=MORNING + 2 * HOUR) == await catalog.read(lambda tx: tx.jobs.get("job"))

    async def test_jobs_are_found_and_counted(self, catalog: Catalog) -> None:
        """By kind and state, newest first; done ones are forgotten, failed ones stay visible."""
        jobs = [
            a_job(id="a"),
            a_job(id="b", created_at=MORNING, kind="announce"),
            a_job(id="c", state=JobState.DONE, finished_at=MORNING - HOUR),
            a_job(id="d", state=JobState.FAILED, finished_at=MORNING - HOUR),
        ]
        await add_all(catalog, lambda tx: tx.jobs.add, *jobs)

        def ids(**what: Any) -> Any:
            return catalog.read(lambda tx: [job.id for job in tx.jobs.find(**what)])

        assert (["b", "a", "c", "d"], ["b", "a"]) == (await ids(), await ids(limit=2))
        assert (["b"], ["d"]) == (await ids(kind="announce"), await ids(kind="erase", state="failed"))
        counts = {("erase", "queued"): 1, ("announce", "queued"): 1, ("erase", "done"): 1, ("erase", "failed"): 1}
        assert counts == await catalog.read(lambda tx: tx.jobs.counts())
        assert 1 == await catalog.write(lambda tx: tx.jobs.forget_done(MORNING))
        assert ["b", "a", "d"] == await ids()


class EventRules:
    """What is remembered of what happened."""

    async def test_ids_grow(self, catalog: Catalog) -> None:
        """Events come back in the order in which they became true, also after old ones, or all, were forgotten."""
        event = Event("file.stored", "file", "alice", MORNING, {"name": "ü", "size": 1 << 60, "list": [None]})

        async def add(**changes: Any) -> Event:
            return await catalog.write(lambda tx: tx.events.add(replace(event, **changes)))

        first, second = await add(), await add(owner="bob", created_at=MORNING + HOUR)
        assert 2 == await catalog.write(lambda tx: tx.events.forget(MORNING + 2 * HOUR))
        third = await add()
        others = await asyncio.gather(*(add(subject=str(number)) for number in range(20)))

        ids = [first.id, second.id, third.id, *sorted(other.id for other in others)]
        assert sorted(set(ids)) == ids
        assert replace(event, id=third.id) == third == await catalog.read(lambda tx: tx.events.get(third.id))
        assert await catalog.read(lambda tx: tx.events.get(first.id)) is None

    async def test_the_last_event_about_something_is_found(self, catalog: Catalog) -> None:
        """Of one type, and of nothing else."""
        kinds = [("copy.failed", "a"), ("copy.failed", "a"), ("copy.stored", "a"), ("copy.failed", "b")]
        events = [Event(kind, subject, "alice", MORNING, {"n": n}) for n, (kind, subject) in enumerate(kinds)]
        written = await catalog.write(lambda tx: [tx.events.add(event) for event in events])

        assert written[1] == await catalog.read(lambda tx: tx.events.of("copy.failed", "a"))
        assert await catalog.read(lambda tx: tx.events.of("copy.stored", "b")) is None

    async def test_events_follow_each_other(self, catalog: Catalog) -> None:
        """Whoever has seen one gets those after it, of one owner or of all."""
        events = [Event("file.stored", str(n), "alice" if n % 2 else "bob", MORNING) for n in range(6)]
        written = await catalog.write(lambda tx: [tx.events.add(event) for event in events])

        after = await catalog.read(lambda tx: tx.events.after(written[1].id, owner=None, limit=3))
        assert written[2:5] == list(after)
        mine = await catalog.read(lambda tx: tx.events.after(0, owner="alice", limit=9))
        assert written[1::2] == list(mine)
