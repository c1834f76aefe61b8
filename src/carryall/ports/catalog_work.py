"""The catalog's memory of jobs and events."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from carryall.model.work import Event, Job


class Jobs(Protocol):
    """What is still to do."""

    def add(self, job: Job) -> None:
        """Write a new job."""
        ...

    def ensure(self, job: Job) -> None:
        """Write a job unless one with its id is there: periodic jobs have fixed ids."""
        ...

    def get(self, job_id: str) -> Job | None:
        """Give a job."""
        ...

    def claim(self, now: datetime, *, lease: timedelta, horizon: timedelta, limit: int) -> Sequence[Job]:
        """Take due jobs, and running ones whose lease ran out, for this runner; counts an attempt for each.

        A job that is planned, or leased, until after the horizon (from now) is due, too: it was written while the
        clock was ahead (threat 30).
        """
        ...

    def finish(self, job_id: str, now: datetime) -> None:
        """Mark a job as done."""
        ...

    def retry(self, job_id: str, *, run_at: datetime, error: str | None) -> None:
        """Queue a job again. Without an error its attempts start anew (a periodic job's next turn)."""
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

    def next_due(self) -> datetime | None:
        """Give when the next queued job may run."""
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

    def after(self, event_id: int, *, owner: str | None, limit: int) -> Sequence[Event]:
        """Give the events that came after one, of one owner or of all."""
        ...

    def latest(self, limit: int) -> Sequence[Event]:
        """Give the events that came last, newest first."""
        ...

    def forget(self, before: datetime) -> int:
        """Remove older events; give how many went."""
        ...
