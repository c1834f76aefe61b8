"""Verified fakes: a clock that stands still, a body that follows a script, telemetry that remembers, bytes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

MORNING = datetime(2026, 11, 20, 9, tzinfo=UTC)
"""When a ManualClock starts, unless it is told otherwise."""


def pattern(size: int) -> bytes:
    """Give so many bytes of which no two stretches are alike, so that a misplaced one is seen."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


class ManualClock:
    """A `ports.clock.Clock` that stands still until it is moved."""

    def __init__(self, start: datetime = MORNING) -> None:
        self._now = start

    def now(self) -> datetime:
        """Give the time that was set, aware, in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move on, or back when the duration is negative."""
        self._now += by


class ScriptedBody:
    """A `ports.body.Body` that does what its steps say, in order, and then ends.

    A step is a chunk to give; an event to wait for (one that nobody sets is a client that stalls); or an error to
    raise. `ScriptedBody(b"abc", asyncio.Event())` gives three bytes and stalls.

    Attributes:
        declared_size: what `Content-Length` would say, in bytes.
        given: bytes that were taken so far.
        is_started: True once the first chunk was asked for.
        waits: set when the reader has taken everything before an event, and waits for it.
    """

    def __init__(self, *steps: bytes | asyncio.Event | BaseException, declared_size: int | None = None) -> None:
        self.declared_size = declared_size
        self.given = 0
        self.is_started = False
        self.waits = asyncio.Event()
        self._steps = steps

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Follow the script."""
        self.is_started = True
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, asyncio.Event):
                self.waits.set()
                await step.wait()
            else:
                self.given += len(step)
                yield step


@dataclass
class CollectingTelemetry:
    """A `ports.telemetry.Telemetry` that keeps what it was told, in order."""

    uploads: list[tuple[str, str, int]] = field(default_factory=list)
    quota_refusals: list[str] = field(default_factory=list)
    served_bytes: int = 0
    deliveries: list[tuple[str, str, int]] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    jobs: list[tuple[str, str]] = field(default_factory=list)

    def upload_ended(self, door: str, outcome: str, size: int) -> None:
        """Keep (door, outcome, size)."""
        self.uploads.append((door, outcome, size))

    def quota_refused(self, kind: str) -> None:
        """Keep the kind of principal."""
        self.quota_refusals.append(kind)

    def served(self, size: int) -> None:
        """Add to the bytes."""
        self.served_bytes += size

    def delivered(self, store: str, outcome: str, size: int) -> None:
        """Keep (store, outcome, size)."""
        self.deliveries.append((store, outcome, size))

    def store_asked(self, store: str, what: str, outcome: str, seconds: float) -> None:
        """Keep (store, what, outcome)."""
        self.asked.append((store, what, outcome))

    def job_ended(self, kind: str, outcome: str) -> None:
        """Keep (kind, outcome)."""
        self.jobs.append((kind, outcome))
