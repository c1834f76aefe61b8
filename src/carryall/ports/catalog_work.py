"""The catalog's memory of jobs and events."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from carryall.model.work import Event, Job


class Jobs(Protocol):
    """What is still to do."""

    def add(self, job: Job) -> None:
        """Write a new job."""
        ...

    def put(self, job: Job) -> None:
        """Write a job; in place of one with its id, unless that runs now."""
        ...

    def ensure(self, job: Job) -> None:
        """Write a job unless one with its id is there: periodic jobs have fixed ids."""
        ...

    def get(self, job_id: str) -> Job | None:
        """Give a job."""
        ...

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
        """Take due jobs, and running ones whose lease ran out, for this runner; counts an attempt for each.

        Those of one kind, or of all kinds but some. A job that is planned, or leased, until after the horizon (from
        now) is due, too: it was written while the clock was ahead (threat 30).
        """
        ...

    def renew(self, job_ids: Sequence[str], node: str, leased_until: datetime) -> None:
        """Move the end of the leases of jobs that this node runs."""
        ...

    def nodes(self) -> Sequence[str]:
        """Give the nodes that run jobs, each once."""
        ...

    def take_back(self, nodes: Sequence[str], now: datetime) -> int:
        """Queue the jobs that these nodes ran, to be claimed at once; give how many there were."""
        ...

    def finish(self, job_id: str, now: datetime) -> None:
        """Mark a job as done."""
        ...

    def retry(self, job_id: str, *, run_at: datetime, error: str | None) -> None:
        """Queue a job again. Without an error its attempts start anew (a periodic job's next turn)."""
        ...

    def remove(self, job_id: str) -> None:
        """Remove a job, unless it runs now. One that isn't there is no error."""
        ...

    def fail(self, job_id: str, now: datetime, error: str) -> None:
        """Give a job up, visibly."""
        ...

    def find(self, *, kind: str | None = None, state: str | None = None, limit: int = 100) -> Sequence[Job]:
        """Give jobs, newest first."""
        ...

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Count jobs by (kind, state)."""
        ...

    def next_due(self, kind: str | None = None, *, but: Collection[str] = ()) -> datetime | None:
        """Give when the next queued job may run, of those that `claim` would take."""
        ...

    def forget_done(self, before: datetime) -> int:
        """Remove jobs that were done before; give how many went."""
        ...


class Hits(Protocol):
    """Who asked when, by the database's own clock: that of one machine, whichever process looks."""

    def seconds_full(self, key: str, per_minute: int) -> float | None:
        """Give None when fewer than `per_minute` hits of the last minute are there, else the seconds until it is so."""
        ...

    def add(self, key: str) -> None:
        """Write a hit of this moment; forget the key's hits that count no more."""
        ...

    def forget(self) -> int:
        """Remove every hit that counts no more, those that a clock which was wrong has put into the future, too.

        Gives how many went.
        """
        ...


class Events(Protocol):
    """What happened, in order."""

    def add(self, event: Event) -> Event:
        """Write an event; give it with its id, which is larger than every earlier one's."""
        ...

    def get(self, event_id: int) -> Event | None:
        """Give an event."""
        ...

    def of(self, event_type: str, subject: str) -> Event | None:
        """Give the last event of a type about a subject."""
        ...

    def after(self, event_id: int, *, owner: str | None, limit: int) -> Sequence[Event]:
        """Give the events that came after one, of one owner or of all."""
        ...

    def latest(self, limit: int) -> Sequence[Event]:
        """Give the events that came last, newest first."""
        ...

    def forget(self, before: datetime) -> int:
        """Remove older events; give how many went."""
        ...
