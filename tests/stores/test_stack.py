"""The wrappers around every store elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from carryall.model.errors import Missing, StoreError
from carryall.ports.store import Reading, Store, Stored
from carryall.stores.local import LocalStore
from carryall.stores.stack import Rules, stacked
from carryall.testing.fakes import CollectingTelemetry, pattern
from carryall.testing.store_contract import FarSource, StoreContract, source, stored_bytes

QUICK = Rules(pause_s=0.001, ask_s=5)


class Elsewhere(LocalStore):
    """A local store that passes for one elsewhere."""

    capabilities = replace(LocalStore.capabilities, is_local=False)


class TestStackedStore(StoreContract):
    """A store in its wrappers keeps the contract."""

    async def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give a store in an empty folder, with all wrappers around it."""
        inner = Elsewhere("far", tmp_path)
        inner.prepare()
        store = stacked(inner, QUICK, CollectingTelemetry())
        assert store is not inner
        yield store
        await store.close()


Step = Callable[[], Awaitable[Any]] | Exception


class Scripted(Elsewhere):
    """Does in turn what its script says, before it does what it is asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__("far", folder)
        self.script: list[Step] = []
        self.asked: list[str] = []

    async def _follow(self, what: str) -> None:
        self.asked.append(what)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await step()

    async def put(self, key: str, source: Any, *, sent: Any = lambda _: None) -> Stored:
        """Keep a file."""
        await self._follow("put")
        return await super().put(key, source, sent=sent)

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        await self._follow("stat")
        return await super().stat(location)

    async def ready(self) -> None:
        """Be ready."""
        await self._follow("ready")

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Find three."""
        await self._follow("abort_leftovers")
        return 3

    async def list(self) -> AsyncIterator[Stored]:
        """Walk, each step by the script."""
        async for stored in super().list():
            await self._follow("list")
            yield stored


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[Scripted]:
    """Give a store that follows a script and holds one file, "key"."""
    made = Scripted(tmp_path / "files")
    made.prepare()
    await made.put("key", source(tmp_path, b"carried"))
    made.asked.clear()
    yield made
    await made.close()


def around(inner: Store, telemetry: CollectingTelemetry | None = None, **rules: Any) -> Store:
    """Put the wrappers around a store."""
    return stacked(inner, replace(QUICK, **rules), telemetry or CollectingTelemetry())


def passing(code: str = "store_busy", **facts: Any) -> StoreError:
    """Give an error of the moment."""
    return StoreError("Not now.", retryable=True, code=code, **facts)


def test_a_local_store_stays_as_it_is(tmp_path: Path) -> None:
    """What is quicker than its wrappers gets none."""
    store = LocalStore("local", tmp_path)

    assert stacked(store, QUICK, CollectingTelemetry()) is store


@pytest.mark.parametrize(("failures", "asked"), [(1, 2), (2, 3), (3, 3)])
async def test_what_may_work_the_next_time_is_tried_again(inner: Scripted, failures: int, asked: int) -> None:
    """Three tries in all; then the error comes out as it is."""
    inner.script = [passing() for _ in range(failures)]
    store = around(inner)

    if failures < 3:
        assert (await store.stat("key")).size == 7
    else:
        with pytest.raises(StoreError, match="Not now"):
            await store.stat("key")
    assert inner.asked == ["stat"] * asked


@pytest.mark.parametrize(
    "error",
    [
        StoreError("No.", retryable=False, code="store_credentials"),
        Missing("Gone."),
        passing(retry_after_s=60),
        passing("staging_lost"),
    ],
)
async def test_what_will_not_work_is_not_tried_again(inner: Scripted, error: Exception) -> None:
    """Nor is a store that asks for a long pause, or a file that can't be read any more."""
    inner.script = [error]

    with pytest.raises(type(error)):
        await around(inner).stat("key")
    assert inner.asked == ["stat"]


async def test_a_short_pause_is_kept_to(inner: Scripted) -> None:
    """A store that says when to come back is asked then, and not before."""
    inner.script = [passing(retry_after_s=1)]
    began = time.monotonic()

    await around(inner).stat("key")

    assert time.monotonic() - began >= 1


async def test_readiness_is_asked_once(inner: Scripted) -> None:
    """Who asks whether a store is ready asks again anyway."""
    inner.script = [passing()]

    with pytest.raises(StoreError):
        await around(inner).ready()
    assert inner.asked == ["ready"]


class Failing(FarSource):
    """A source that can't be read to its end."""

    async def open(self, start: int, stop: int) -> Reading:
        """Fail."""
        raise passing("store_timeout")


async def test_a_source_that_fails_is_not_sent_again(inner: Scripted, tmp_path: Path) -> None:
    """Whatever its error says: the store isn't at fault."""
    with pytest.raises(StoreError, match="Not now"):
        await around(inner).put("other", Failing(source(tmp_path, b"x")))
    assert inner.asked == ["put"]


async def test_a_put_is_sent_again_whole(inner: Scripted, tmp_path: Path) -> None:
    """A put that the store failed is sent from its beginning."""
    inner.script = [passing()]
    store = around(inner)

    stored = await store.put("other", FarSource(source(tmp_path, pattern(100_000))))

    assert pattern(100_000) == await stored_bytes(store, stored.location, 0, 100_000)
    assert inner.asked == ["put", "put"]


async def test_what_takes_too_long_is_given_up(inner: Scripted) -> None:
    """It is a time-out of the store's, and so tried again; a walk that stands still is one, too."""
    stuck = asyncio.Event().wait
    inner.script = [stuck, stuck, stuck, stuck]
    store = around(inner, ask_s=0.02)

    with pytest.raises(StoreError) as caught:
        await store.stat("key")
    assert (caught.value.stable_code, caught.value.retryable) == ("store_timeout", True)
    with pytest.raises(StoreError) as caught:
        assert [found async for found in store.list()]
    assert caught.value.stable_code == "store_timeout"
    assert inner.asked == ["stat", "stat", "stat", "list"]


async def test_a_large_file_may_take_longer(inner: Scripted, tmp_path: Path) -> None:
    """The time for a put grows with its size."""
    inner.script = [lambda: asyncio.sleep(0.1)]
    store = around(inner, ask_s=0.02, least_bytes_per_s=1000, tries=1)

    assert (await store.put("other", source(tmp_path, bytes(1000)))).size == 1000


async def test_so_many_at_once(inner: Scripted, tmp_path: Path) -> None:
    """Others wait their turn; puts and the rest have turns of their own, and readiness is asked past them."""
    running, most = 0, 0
    is_full, gate = asyncio.Event(), asyncio.Event()

    async def stand() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 5:
            is_full.set()
        await gate.wait()
        running -= 1

    inner.script = [stand] * 8
    store, given = around(inner, puts_at_once=2, asks_at_once=3), source(tmp_path, b"x")
    tasks = [asyncio.ensure_future(store.put(f"key{number}", given)) for number in range(4)]
    tasks += [asyncio.ensure_future(store.stat("key")) for _ in range(4)]
    await is_full.wait()
    inner.script.insert(0, passing("store_unreachable"))
    with pytest.raises(StoreError, match="Not now"):
        await asyncio.wait_for(store.ready(), 2)
    gate.set()
    await asyncio.gather(*tasks)

    assert most == 5


async def test_everything_is_counted(inner: Scripted, tmp_path: Path) -> None:
    """One operation is one line, whatever the tries, with how it ended; a cancelled one, too."""
    telemetry = CollectingTelemetry()
    store = around(inner, telemetry)
    inner.script = [passing()]
    with structlog.testing.capture_logs() as lines:
        await store.put("other", source(tmp_path, b"x"))
        with pytest.raises(Missing):
            await store.stat("nothing")
        assert len([found async for found in store.list()]) == 2
        assert await store.abort_leftovers(timedelta(hours=1)) == 3
        begun = asyncio.Event()

        async def stand() -> None:
            begun.set()
            await asyncio.Event().wait()

        inner.script = [stand]
        waiting = asyncio.ensure_future(store.stat("key"))
        await begun.wait()
        waiting.cancel()
        await asyncio.wait([waiting])

    assert telemetry.asked == [
        ("far", "put", "ok"),
        ("far", "stat", "file_damaged"),
        ("far", "list", "ok"),
        ("far", "abort_leftovers", "ok"),
        ("far", "stat", "cancelled"),
    ]
    told = [(line["what"], line["outcome"], line["log_level"]) for line in lines if line["event"] == "store.asked"]
    assert told == [(what, outcome, "debug") for _, what, outcome in telemetry.asked]


async def test_what_asks_nobody_is_passed_on(inner: Scripted) -> None:
    """Name, capabilities (also those that are learnt later) and places are the store's own."""
    store = around(inner)

    assert (store.name, store.capabilities.has_room) == ("far", True)
    inner.capabilities = replace(inner.capabilities, has_links=True)
    assert store.capabilities.has_links
    assert (store.path("key"), store.address("key")) == (inner.path("key"), None)
    assert await store.link("key") is None
    assert (await store.about()).free is not None
