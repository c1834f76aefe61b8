"""What every store elsewhere gets around it: traced, tried again, limited in number, bounded in time."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from carryall.model.errors import CarryallError, StoreError
from carryall.ports.store import Capabilities, Reading, Room, Sent, Source, Store, Stored
from carryall.ports.telemetry import Telemetry

T = TypeVar("T")
log = structlog.get_logger(__name__)

_OF_SOURCES = frozenset({"staging_lost", "file_unreadable", "file_damaged"})
"""What a put says when its source can't be read: to send it once more is no use."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a store is treated.

    Attributes:
        tries: how often an operation is tried in all.
        pause_s: before the second try, about; twice as long before the third.
        longest_pause_s: a store that asks for a longer one is not tried again here.
        puts_at_once: files that are on their way to it.
        asks_at_once: all its other operations.
        ask_s: how long an operation may take that moves no file.
        least_bytes_per_s: what a put may take longer for each byte. Whether it moves at all the store itself watches.
    """

    tries: int = 3
    pause_s: float = 0.5
    longest_pause_s: float = 5.0
    puts_at_once: int = 64
    asks_at_once: int = 64
    ask_s: float = 60.0
    least_bytes_per_s: int = 16 << 10


def stacked(store: Store, rules: Rules, telemetry: Telemetry) -> Store:
    """Give the store in its wrappers: the one that is called first stands last.

    A local store stays as it is: to a stat of 40 µs they would add 28 (measured), the kernel has no time-outs to speak
    of, and a disk that failed once isn't asked again.
    """
    if store.capabilities.is_local:
        return store
    timely = Timely(store, rules)
    limited = Limited(timely, rules)
    tried = Tried(limited, rules)
    return Traced(tried, telemetry)


@dataclass(frozen=True, slots=True)
class Ask:
    """One operation of a store: the method's name, the bytes that it moves, and where they come from."""

    what: str
    size: int = 0
    source: "Watched | None" = None


class Layer:
    """Implements `ports.store.Store` around another one. What a layer does, it does in `around`."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    async def around(self, ask: Ask, work: Callable[[], Awaitable[T]]) -> T:
        """Carry one operation out."""
        return await work()

    @property
    def name(self) -> str:
        """The name in the settings."""
        return self._inner.name

    @property
    def capabilities(self) -> Capabilities:
        """What the store can do; it may learn more of it while it runs."""
        return self._inner.capabilities

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file."""
        return await self.around(Ask("put", source.size), lambda: self._inner.put(key, source, sent=sent))

    async def open(self, location: str, start: int, stop: int) -> Reading:
        """Open the half-open range. What is read from it goes by none of the layers."""
        return await self.around(Ask("open"), lambda: self._inner.open(location, start, stop))

    async def erase(self, location: str) -> None:
        """Remove a file."""
        await self.around(Ask("erase"), lambda: self._inner.erase(location))

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        return await self.around(Ask("stat"), lambda: self._inner.stat(location))

    def list(self) -> AsyncIterator[Stored]:
        """Walk over everything."""
        return self._inner.list()

    async def link(self, location: str) -> str | None:
        """Give the provider's public link."""
        return await self.around(Ask("link"), lambda: self._inner.link(location))

    def address(self, location: str) -> str | None:
        """Give the provider's own URL."""
        return self._inner.address(location)

    async def about(self) -> Room:
        """Tell the room."""
        return await self.around(Ask("about"), self._inner.about)

    async def ready(self) -> None:
        """Raise StoreError when the store can't be used now."""
        await self.around(Ask("ready"), self._inner.ready)

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Give up what puts of dead processes left."""
        return await self.around(Ask("abort_leftovers"), lambda: self._inner.abort_leftovers(older_than))

    def path(self, location: str) -> Path | None:
        """Tell where the bytes lie on this machine."""
        return self._inner.path(location)

    async def close(self) -> None:
        """Let go."""
        await self._inner.close()


class Traced(Layer):
    """Logs every operation at DEBUG and counts it, with the tries that it took as one."""

    def __init__(self, inner: Store, telemetry: Telemetry) -> None:
        super().__init__(inner)
        self._telemetry = telemetry

    async def around(self, ask: Ask, work: Callable[[], Awaitable[T]]) -> T:
        """Measure."""
        with self._measured(ask):
            return await work()

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over everything: one operation, with the time of who walks."""
        with self._measured(Ask("list")):
            async for stored in self._inner.list():
                yield stored

    @contextmanager
    def _measured(self, ask: Ask) -> Iterator[None]:
        began, outcome = time.monotonic(), "cancelled"
        try:
            yield
            outcome = "ok"
        except CarryallError as error:
            outcome = error.stable_code
            raise
        finally:
            seconds = time.monotonic() - began
            self._telemetry.store_asked(self.name, ask.what, outcome, seconds)
            ms = round(seconds * 1000)
            log.debug("store.asked", store=self.name, what=ask.what, outcome=outcome, bytes=ask.size, ms=ms)


class Tried(Layer):
    """Tries again what may work the next time, after a pause that is never in step with others'."""

    def __init__(self, inner: Store, rules: Rules) -> None:
        super().__init__(inner)
        self._rules = rules

    async def around(self, ask: Ask, work: Callable[[], Awaitable[T]]) -> T:
        """Try."""
        for tries in range(1, self._rules.tries):
            try:
                return await work()
            except StoreError as error:
                pause_s = self._pause_s(ask, error, tries)
                if pause_s is None:
                    raise
                log.info("store.tried", store=self.name, what=ask.what, reason=error.stable_code, pause_s=pause_s)
            await asyncio.sleep(pause_s)
        return await work()

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file; not again when it was its source that failed."""
        watched = Watched(source)
        ask = Ask("put", source.size, watched)
        return await self.around(ask, lambda: self._inner.put(key, watched, sent=sent))

    def _pause_s(self, ask: Ask, error: StoreError, tries: int) -> float | None:
        """Give the seconds before the next try; None for none."""
        is_sources = error.stable_code in _OF_SOURCES or (ask.source is not None and ask.source.has_failed)
        # Whether a store is ready, its caller asks again and again.
        if not error.retryable or is_sources or ask.what == "ready":
            return None
        asked_s = error.retry_after_s or 0
        if asked_s > self._rules.longest_pause_s:
            return None
        own_s = self._rules.pause_s * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)  # noqa: S311  # spreads load
        return max(asked_s, own_s)


class Watched:
    """Implements `ports.store.Source` around another one, and remembers whether it failed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.has_failed = False

    @property
    def size(self) -> int:
        """In bytes."""
        return self._source.size

    @property
    def name(self) -> str:
        """What people call the file."""
        return self._source.name

    @property
    def media_type(self) -> str:
        """What it is served as."""
        return self._source.media_type

    @property
    def sha256(self) -> str:
        """Lower-case hexadecimal."""
        return self._source.sha256

    @property
    def path(self) -> Path | None:
        """Where the bytes lie on this machine, if they do."""
        return self._source.path

    async def open(self, start: int, stop: int) -> Reading:
        """Open the half-open range."""
        try:
            return WatchedReading(await self._source.open(start, stop), self)
        except CarryallError:
            self.has_failed = True
            raise


class WatchedReading:
    """Implements `ports.store.Reading` around another one."""

    def __init__(self, reading: Reading, source: Watched) -> None:
        self._reading = reading
        self._source = source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the chunks."""
        try:
            async for chunk in self._reading:
                yield chunk
        except CarryallError:
            self._source.has_failed = True
            raise

    async def aclose(self) -> None:
        """Close the source."""
        await self._reading.aclose()


class Limited(Layer):
    """Lets so many operations at the store at once; the others wait their turn.

    Puts and the rest have limits of their own: a put may read from a store whose puts read from this one. Whether the
    store is ready is asked past the limit.
    """

    def __init__(self, inner: Store, rules: Rules) -> None:
        super().__init__(inner)
        self._puts = asyncio.Semaphore(rules.puts_at_once)
        self._asks = asyncio.Semaphore(rules.asks_at_once)

    async def around(self, ask: Ask, work: Callable[[], Awaitable[T]]) -> T:
        """Wait for a turn."""
        if ask.what == "ready":
            return await work()
        async with self._puts if ask.what == "put" else self._asks:
            return await work()


class Timely(Layer):
    """Gives up what takes too long, as a StoreError that may be tried again."""

    def __init__(self, inner: Store, rules: Rules) -> None:
        super().__init__(inner)
        self._rules = rules

    async def around(self, ask: Ask, work: Callable[[], Awaitable[T]]) -> T:
        """Watch the time."""
        if ask.what == "abort_leftovers":  # many steps, and nobody waits for it
            return await work()
        limit = asyncio.timeout(self._rules.ask_s + ask.size / self._rules.least_bytes_per_s)
        try:
            async with limit:
                return await work()
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"Store {self.name} didn't answer in time."
            raise StoreError(text, retryable=True, code="store_timeout") from error

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over everything. Each step has its time."""
        walk = aiter(self._inner.list())
        while (stored := await self.around(Ask("list"), lambda: anext(walk, None))) is not None:
            yield stored
