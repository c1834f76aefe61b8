"""Rows of jobs and events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from carryall.catalog.tables import events, jobs
from carryall.model.work import Event, Job, JobState

_DUE = (
    select(jobs)
    .where(
        or_(
            and_(
                jobs.c.state == JobState.QUEUED,
                or_(jobs.c.run_at <= bindparam("now"), jobs.c.run_at > bindparam("horizon")),
            ),
            and_(
                jobs.c.state == JobState.RUNNING,
                or_(jobs.c.leased_until <= bindparam("now"), jobs.c.leased_until > bindparam("horizon")),
            ),
        )
    )
    .order_by(jobs.c.run_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)  # PostgreSQL: several runners never wait for each other; SQLite has one writer
)
# Ids are given out in the order of commits, so that no event appears behind one that somebody has seen. SQLite has one
# writer; PostgreSQL would number two transactions first and let either of them end first. The key: "event".
_IN_LINE = select(func.pg_advisory_xact_lock(0x65_76_65_6E_74))
_NEXT = select(func.min(jobs.c.run_at)).where(jobs.c.state == JobState.QUEUED)
_RUNNING = jobs.c.state == JobState.RUNNING


class JobRows:
    """Implements `ports.catalog_work.Jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, job: Job) -> None:
        """Write a new job."""
        self._connection.execute(insert(jobs), {**asdict(job), "state": job.state.value})

    def put(self, job: Job) -> None:
        """Write a job anew, unless it runs."""
        self.remove(job.id)
        self.ensure(job)

    def ensure(self, job: Job) -> None:
        """Write a job unless one with its id is there."""
        if self.get(job.id) is None:
            self.add(job)

    def get(self, job_id: str) -> Job | None:
        """Give a job."""
        row = self._connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
        return _job(row) if row else None

    def claim(
        self,
        now: datetime,
        *,
        lease: timedelta,
        horizon: timedelta,
        limit: int,
        node: str,
        kind: str | None = None,
        but: Collection[str] = (),
    ) -> Sequence[Job]:
        """Take due jobs for this runner."""
        found = []
        bounds = {"now": now, "horizon": now + horizon, "most": limit}
        for row in self._connection.execute(_DUE.where(_of_kind(kind, but)), bounds).mappings().all():
            job = replace(
                _job(row),
                state=JobState.RUNNING,
                leased_until=now + lease,
                node=node,
                attempts=int(row["attempts"]) + 1,
            )
            self._set(job.id, state=job.state.value, leased_until=job.leased_until, node=node, attempts=job.attempts)
            found.append(job)
        return found

    def renew(self, job_ids: Sequence[str], node: str, leased_until: datetime) -> None:
        """Move the end of leases."""
        ours = (jobs.c.id.in_(job_ids), jobs.c.node == node, _RUNNING)
        self._connection.execute(update(jobs).where(*ours).values(leased_until=leased_until))

    def nodes(self) -> Sequence[str]:
        """Give the nodes that run jobs."""
        found = self._connection.execute(select(jobs.c.node).where(_RUNNING, jobs.c.node.is_not(None)).distinct())
        return found.scalars().all()

    def take_back(self, nodes: Sequence[str], now: datetime) -> int:
        """Queue what these nodes ran."""
        theirs = update(jobs).where(_RUNNING, jobs.c.node.in_(nodes))
        anew = {"state": JobState.QUEUED.value, "leased_until": None, "node": None, "run_at": now}
        return self._connection.execute(theirs.values(anew)).rowcount

    def remove(self, job_id: str) -> None:
        """Remove a job that doesn't run."""
        self._connection.execute(delete(jobs).where(jobs.c.id == job_id, not_(_RUNNING)))

    def finish(self, job_id: str, now: datetime) -> None:
        """Mark a job as done."""
        self._set(job_id, state=JobState.DONE.value, leased_until=None, node=None, finished_at=now, error=None)

    def retry(self, job_id: str, *, run_at: datetime, error: str | None) -> None:
        """Queue a job again."""
        anew: dict[str, Any] = {} if error else {"attempts": 0}
        self._set(job_id, state=JobState.QUEUED.value, leased_until=None, node=None, run_at=run_at, error=error, **anew)

    def fail(self, job_id: str, now: datetime, error: str) -> None:
        """Give a job up."""
        self._set(job_id, state=JobState.FAILED.value, leased_until=None, node=None, finished_at=now, error=error)

    def find(self, *, kind: str | None = None, state: str | None = None, limit: int = 100) -> Sequence[Job]:
        """Give jobs, newest first."""
        statement = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        if kind is not None:
            statement = statement.where(jobs.c.kind == kind)
        if state is not None:
            statement = statement.where(jobs.c.state == state)
        return [_job(row) for row in self._connection.execute(statement).mappings()]

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Count jobs by kind and state."""
        statement = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
        return {(kind, state): int(number) for kind, state, number in self._connection.execute(statement)}

    def next_due(self, kind: str | None = None, *, but: Collection[str] = ()) -> datetime | None:
        """Give when the next queued job may run."""
        return self._connection.execute(_NEXT.where(_of_kind(kind, but))).scalar()

    def forget_done(self, before: datetime) -> int:
        """Remove jobs that were done before."""
        statement = delete(jobs).where(jobs.c.state == JobState.DONE, jobs.c.finished_at < before)
        return self._connection.execute(statement).rowcount

    def _set(self, job_id: str, **values: Any) -> None:
        self._connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))


class EventRows:
    """Implements `ports.catalog_work.Events`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, event: Event) -> Event:
        """Write an event; give it with its id."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(_IN_LINE)
        values = asdict(event)
        del values["id"]
        key = self._connection.execute(insert(events), values).inserted_primary_key
        return replace(event, id=int(key[0])) if key else event

    def get(self, event_id: int) -> Event | None:
        """Give an event."""
        row = self._connection.execute(select(events).where(events.c.id == event_id)).mappings().first()
        return Event(**row) if row else None

    def of(self, event_type: str, subject: str) -> Event | None:
        """Give the last event of a type about a subject."""
        about = select(events).where(events.c.subject == subject, events.c.type == event_type)
        row = self._connection.execute(about.order_by(events.c.id.desc()).limit(1)).mappings().first()
        return Event(**row) if row else None

    def after(self, event_id: int, *, owner: str | None, limit: int) -> Sequence[Event]:
        """Give the events that came after one."""
        statement = select(events).where(events.c.id > event_id).order_by(events.c.id).limit(limit)
        if owner is not None:
            statement = statement.where(events.c.owner == owner)
        return [Event(**row) for row in self._connection.execute(statement).mappings()]

    def latest(self, limit: int) -> Sequence[Event]:
        """Give the events that came last."""
        statement = select(events).order_by(events.c.id.desc()).limit(limit)
        return [Event(**row) for row in self._connection.execute(statement).mappings()]

    def forget(self, before: datetime) -> int:
        """Remove older events."""
        return self._connection.execute(delete(events).where(events.c.created_at < before)).rowcount


def _of_kind(kind: str | None, but: Collection[str]) -> ColumnElement[bool]:
    return jobs.c.kind.not_in(but) if kind is None else jobs.c.kind == kind


def _job(row: RowMapping) -> Job:
    return Job(**{**row, "state": JobState(row["state"])})
