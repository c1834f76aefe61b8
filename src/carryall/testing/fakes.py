"""Verified fakes: a clock that stands still, bodies and stores that follow a script, telemetry that remembers."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from carryall.model.errors import CarryallError, Missing
from carryall.ports.store import Capabilities, Reading, Room, Sent, Source, Stored

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


class ScriptedStore:
    """A `ports.store.Store` in memory, for small files, that does at each put what the next of its steps says.

    A step is an error to raise after half of the bytes, an event to wait for there, or None to do nothing special;
    after the last one every put succeeds.

    Attributes:
        files: what it has, by location, which is the key.
        puts: keys that were put, also in vain.
        waits: set when a put waits for an event.
        link_error: raised when a link is asked for.
        away: raised by everything else.
    """

    def __init__(
        self,
        name: str,
        *steps: CarryallError | asyncio.Event | None,
        keys: Literal["generated", "encoded", "named"] = "encoded",
        has_links: bool = False,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(keys=keys, has_links=has_links)
        self.files: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.waits = asyncio.Event()
        self.link_error: CarryallError | None = None
        self.away: CarryallError | None = None
        self._steps = list(steps)

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file, or do what the script says."""
        self.puts.append(key)
        step = self._steps.pop(0) if self._steps else None
        taken = await _all_of(await source.open(0, source.size // 2))
        sent(len(taken))
        if isinstance(step, asyncio.Event):
            self.waits.set()
            await step.wait()
        elif step is not None:
            raise step
        taken += await _all_of(await source.open(source.size // 2, source.size))
        sent(len(taken))
        self.files[key] = taken
        return await self.stat(key)

    def _content(self, location: str) -> bytes:
        if self.away is not None:
            raise self.away
        if location not in self.files:
            raise Missing("It isn't there.")
        return self.files[location]

    async def open(self, location: str, start: int, stop: int) -> Reading:
        """Open the half-open range."""
        return _Bytes(self._content(location)[start:stop])

    async def erase(self, location: str) -> None:
        """Remove a file."""
        if self.away is not None:
            raise self.away
        self.files.pop(location, None)

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        content = self._content(location)
        return Stored(location, len(content), age_s=0, tag=hashlib.sha256(content).hexdigest())

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over everything."""
        for location in tuple(self.files):
            yield await self.stat(location)

    async def link(self, location: str) -> str | None:
        """Give a link."""
        if self.link_error is not None:
            raise self.link_error
        return f"https://{self.name}.example/{location}" if self.capabilities.has_links else None

    def address(self, location: str) -> str | None:
        """Give a URL."""
        return f"https://{self.name}.example/{location}"

    async def about(self) -> Room:
        """Know nothing."""
        return Room(None, None, None)

    async def ready(self) -> None:
        """Raise when it is away."""
        if self.away is not None:
            raise self.away

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Find none."""
        return 0

    def path(self, location: str) -> Path | None:
        """Tell nothing."""
        return None

    async def close(self) -> None:
        """Do nothing."""


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._content:
            yield self._content

    async def aclose(self) -> None:
        """Do nothing."""


async def _all_of(reading: Reading) -> bytes:
    try:
        return b"".join([chunk async for chunk in reading])
    finally:
        await reading.aclose()
