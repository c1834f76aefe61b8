"""What happened and what is still to do: events and jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that became true, in the past tense; written in the transaction that made it true.

    Attributes:
        id: grows with time; 0 before it is written.
        type: "file.stored", "file.deleted", "upload.failed", "token.changed", …
        subject: the id of what it is about.
        data: JSON values; version 1 of each type's shape is in docs/events.md.
    """

    type: str
    subject: str
    owner: str
    created_at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do later, until it is done or visibly given up.

    Attributes:
        kind: which verb runs it ("announce", "erase", "expire", …); of what it is about, after a colon, where that has
            runners of its own ("deliver:s3").
        payload: JSON values for that verb.
        run_at: not before this time.
        leased_until: while RUNNING, when another runner may take it over.
        node: while RUNNING, the process that runs it; when that is gone, nobody waits for the lease.
        attempts: tries begun.
        max_attempts: tries after which it is FAILED.
        error: why the last try failed, for people.
    """

    id: str
    kind: str
    payload: Mapping[str, Any]
    run_at: datetime
    created_at: datetime
    state: JobState = JobState.QUEUED
    attempts: int = 0
    max_attempts: int = 10
    leased_until: datetime | None = None
    node: str | None = None
    finished_at: datetime | None = None
    error: str | None = None
