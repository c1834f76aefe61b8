"""Files are brought to the stores that they are promised to; what fails is tried again, later and later."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import House, declared, house_on
from tests.operations.places import arrived, now, run_due, states

from carryall.model.errors import StoreError
from carryall.model.file import Copy, CopyState, File
from carryall.model.principal import Principal
from carryall.model.work import JobState
from carryall.operations import deliver, placing
from carryall.operations.placing import job_id
from carryall.operations.queue import LEASE, LONGEST_WAIT
from carryall.testing.fakes import ManualClock, ScriptedBody, ScriptedStore

QUEUED, DELIVERING, STORED, FAILED, GONE = CopyState
AWAY = StoreError("The store is away.", retryable=True, code="store_unreachable")
LOCKED_OUT = StoreError("The account refuses us.", retryable=False, code="store_credentials")
REFUSED = StoreError("The file is too large.", retryable=False, code="store_refused")
SECOND = timedelta(seconds=1)
Furnish = Callable[..., Any]


@pytest.fixture
def furnish(folder: Path) -> Furnish:
    """Furnish a house with these stores beside the built-in one; on the same folder again, another process."""

    @asynccontextmanager
    async def made(*stores: Any, target: str = "s3", **how: Any) -> AsyncIterator[House]:
        async with house_on(folder, others={store.name: store for store in stores}, target=target, **how) as house:
            yield house

    return made


async def copy_of(house: House, file: File, store: str = "s3") -> Copy:
    """Give a copy as it is now."""
    copy = (await now(house, file)).copy_in(store)
    assert copy is not None
    return copy


async def events(house: House) -> list[str]:
    """Give what became true, in order."""
    return [event.type for event in reversed(await house.announce.recent(100))]


async def until(is_true: Callable[[], Any]) -> None:
    """Wait for something that sets no event."""
    async with asyncio.timeout(5):
        while not await is_true():  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.005)


async def test_a_file_arrives(furnish: Furnish, alice: Principal) -> None:
    """Its copy says where it is; the main service hears of the file now, and what was kept to send it is gone."""
    s3 = ScriptedStore("s3", has_links=True)
    async with furnish(s3) as house:
        file = await house.door.accept(alice, declared(wants_link=True), ScriptedBody(b"content"))
        assert {"local": STORED, "s3": QUEUED} == states(file)
        assert [] == house.told

        await run_due(house)
        await run_due(house)

        there = await now(house, file)
        (copy,) = there.copies
        key = f"alice/{file.id}/a.bin"
        assert {key: b"content"} == s3.files
        assert (STORED, key, key) == (copy.state, copy.key, copy.location)
        assert (f"https://s3.example/{key}", 1) == (copy.link, copy.attempts)
        assert (house.clock.now(), house.clock.now(), False) == (copy.stored_at, copy.checked_at, copy.is_cache)
        assert (await s3.stat(key)).tag == copy.tag
        assert there.is_delivered
        assert ["file.stored", "copy.stored"] == await events(house)
        assert ["file.stored"] == [event.type for event in house.told]
        assert [] == house.stored()
        assert b"content" == await house.content(there)
        assert [("s3", "stored", 7)] == house.telemetry.deliveries
        await house.is_tidy()


async def test_what_fails_is_tried_later_and_later(furnish: Furnish, alice: Principal) -> None:
    """The copy says why, and when the next try is; then there is one, and not before."""
    s3, clock = ScriptedStore("s3", AWAY, AWAY, AWAY), ManualClock()
    async with furnish(s3, clock=clock) as house:
        file = await arrived(house, alice)
        for attempts, least in enumerate((10, 20, 40), 1):
            copy = await copy_of(house, file)
            assert (FAILED, attempts, "store_unreachable") == (copy.state, copy.attempts, copy.error_code)
            assert "The store is away." == copy.error
            assert copy.next_try_at is not None
            wait = copy.next_try_at - clock.now()
            assert least * SECOND <= wait <= least * 1.25 * SECOND
            clock.advance(wait - SECOND)
            await run_due(house)
            assert attempts == len(s3.puts)
            clock.advance(SECOND)
            await run_due(house)

        copy = await copy_of(house, file)
        assert (STORED, 4, None, None) == (copy.state, copy.attempts, copy.error, copy.next_try_at)
        assert ["file.stored", *["copy.failed"] * 3, "copy.stored"] == await events(house)
        assert [("s3", "failed", 0)] * 3 + [("s3", "stored", 7)] == house.telemetry.deliveries


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        (LOCKED_OUT, 320 * SECOND, 400 * SECOND),
        (StoreError("Later.", retryable=True, code="store_busy", retry_after_s=77), 77 * SECOND, 77 * SECOND),
        (StoreError("Tomorrow.", retryable=True, code="store_busy", retry_after_s=86_400), LONGEST_WAIT, LONGEST_WAIT),
    ],
    ids=["somebody has to correct it", "later", "much later"],
)
async def test_waits_are_as_the_error_says(
    furnish: Furnish, alice: Principal, error: StoreError, least: timedelta, most: timedelta
) -> None:
    """What a person has to correct isn't asked for all the time; who says when to come back is believed for an hour."""
    s3, clock = ScriptedStore("s3", error), ManualClock()
    async with furnish(s3, clock=clock) as house:
        file = await arrived(house, alice)

        copy = await copy_of(house, file)
        assert copy.next_try_at is not None
        assert least <= copy.next_try_at - clock.now() <= most
        clock.advance(most + SECOND)
        await run_due(house)
        assert STORED is (await copy_of(house, file)).state


@pytest.mark.parametrize(
    ("steps", "tries"), [([REFUSED], 1), ([AWAY, LOCKED_OUT, AWAY], 3)], ids=["never", "too often"]
)
async def test_a_delivery_is_given_up_visibly(
    furnish: Furnish, alice: Principal, monkeypatch: pytest.MonkeyPatch, steps: list[StoreError], tries: int
) -> None:
    """At once where no try can help, else after so many; the file is kept, and whoever asks for it gets one more."""
    monkeypatch.setattr(placing, "MAX_ATTEMPTS", 3)
    s3, clock = ScriptedStore("s3", *steps), ManualClock()
    async with furnish(s3, clock=clock) as house:
        file = await arrived(house, alice)
        for _ in range(5):
            clock.advance(LONGEST_WAIT * 1.25)
            await run_due(house)

        copy = await copy_of(house, file)
        assert (FAILED, tries, steps[-1].message, None) == (copy.state, copy.attempts, copy.error, copy.next_try_at)
        job = await house.world.catalog.read(lambda tx: tx.jobs.get(job_id(file.id, "s3")))
        assert job is not None
        assert JobState.FAILED is job.state
        assert ("s3", "given up", 0) == house.telemetry.deliveries[-1]
        assert b"content" == await house.content(await now(house, file))

        await house.deliver.retry(file.id, ["s3"])
        assert (QUEUED, None) == ((await copy_of(house, file)).state, (await copy_of(house, file)).next_try_at)
        await run_due(house)
        assert STORED is (await copy_of(house, file)).state


async def test_a_link_that_cant_be_made_is_asked_for_again(furnish: Furnish, alice: Principal) -> None:
    """The copy isn't stored for anybody until its link is there."""
    s3, clock = ScriptedStore("s3", has_links=True), ManualClock()
    s3.link_error = AWAY
    async with furnish(s3, clock=clock) as house:
        file = await arrived(house, alice, wants_link=True)
        assert FAILED is (await copy_of(house, file)).state

        s3.link_error = None
        clock.advance(20 * SECOND)
        await run_due(house)
        assert (await copy_of(house, file)).link is not None


async def test_a_lost_source_is_no_fault_of_the_stores(furnish: Furnish, alice: Principal) -> None:
    """The bytes come from the next copy that has them."""
    first, second = ScriptedStore("first"), ScriptedStore("second", AWAY)
    clock = ManualClock()
    async with furnish(first, second, target="local,first,second", clock=clock) as house:
        file = await arrived(house, alice)
        (stored,) = (house.folder / "files").glob("*/*")
        stored.unlink()
        clock.advance(20 * SECOND)

        await run_due(house)
        await run_due(house)

        assert {"local": STORED, "first": STORED, "second": STORED} == states(await now(house, file))
        assert [b"content"] == [*second.files.values()]
        await house.is_sound()


@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_file_that_nobody_can_read(furnish: Furnish, alice: Principal, *, is_lost: bool) -> None:
    """Lost bytes can't be delivered, ever; those of a store that is away can, when it is back."""
    first, second = ScriptedStore("first"), ScriptedStore("second", AWAY)
    clock = ManualClock()
    async with furnish(first, second, target="any:first,second", clock=clock) as house:
        file = await arrived(house, alice)
        await house.world.catalog.write(lambda tx: tx.files.remove_copy(file.id, "local"))
        (first.files.clear() if is_lost else setattr(first, "away", AWAY))
        clock.advance(20 * SECOND)
        await run_due(house)

        copy = await copy_of(house, file, "second")
        assert (FAILED, "file_unreadable", is_lost) == (copy.state, copy.error_code, copy.next_try_at is None)
        assert (GONE if is_lost else STORED) is (await copy_of(house, file, "first")).state
        if not is_lost:
            first.away = None
            clock.advance(LONGEST_WAIT)
            await run_due(house)
            assert STORED is (await copy_of(house, file, "second")).state


async def test_progress_is_written_down(furnish: Furnish, alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks learns how many bytes are on their way; nothing of it is left when they are there."""
    monkeypatch.setattr(deliver, "_TOLD_EVERY_S", 0.01)
    gate = asyncio.Event()
    async with furnish(ScriptedStore("s3", gate)) as house:
        file = await house.door.accept(alice, declared(), ScriptedBody(b"12345678"))
        running = asyncio.ensure_future(run_due(house))

        async def half() -> bool:
            copy = await copy_of(house, file)
            return (copy.state, copy.sent_bytes) == (DELIVERING, 4)

        await until(half)
        gate.set()
        await running
        assert (STORED, 0) == ((await copy_of(house, file)).state, (await copy_of(house, file)).sent_bytes)


async def test_a_store_that_was_taken_out_of_the_settings(furnish: Furnish, alice: Principal) -> None:
    """The copy says so, and waits for somebody to put it back."""
    async with furnish(ScriptedStore("s3", AWAY)) as house:
        file = await arrived(house, alice)
    clock = ManualClock()
    clock.advance(60 * SECOND)
    async with furnish(target="local", clock=clock) as house:
        await run_due(house)
        copy = await copy_of(house, file)
        assert (FAILED, "store_not_found") == (copy.state, copy.error_code)
    clock.advance(LONGEST_WAIT)
    async with furnish(ScriptedStore("s3"), clock=clock) as house:
        await run_due(house)
        assert STORED is (await copy_of(house, file)).state


@pytest.mark.parametrize("how", ["cancelled", "between put and row"])
async def test_an_interrupted_delivery_is_done_again(
    furnish: Furnish, alice: Principal, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process left that ended, in the put or just after it, the next one finishes; there is one object."""
    s3, clock = ScriptedStore("s3", *([asyncio.Event()] if how == "cancelled" else [])), ManualClock()
    async with furnish(s3, clock=clock) as house:
        file = await house.door.accept(alice, declared(), ScriptedBody(b"content"))
        if how != "cancelled":
            monkeypatch.setattr(house.deliver, "_arrived", _never)
        running = asyncio.ensure_future(run_due(house))
        if how == "cancelled":
            await s3.waits.wait()
        else:
            await until(_has(s3))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert DELIVERING is (await copy_of(house, file)).state
    async with furnish(s3, clock=clock) as house:
        await run_due(house)
        assert DELIVERING is (await copy_of(house, file)).state  # it is leased to the other one yet
        clock.advance(LEASE)
        await run_due(house)

        copy = await copy_of(house, file)
        assert (STORED, 2, [b"content"]) == (copy.state, copy.attempts, [*s3.files.values()])
        assert 1 == (await events(house)).count("copy.stored")
        await house.is_sound()


async def _never(*_: Any) -> None:
    raise asyncio.CancelledError


def _has(store: ScriptedStore) -> Callable[[], Any]:
    async def look() -> bool:
        return bool(store.files)

    return look


async def test_a_file_that_is_deleted_is_carried_no_further(
    furnish: Furnish, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put is broken off soon, and its job ends; nothing is left anywhere."""
    monkeypatch.setattr(deliver, "_TOLD_EVERY_S", 0.01)
    s3 = ScriptedStore("s3", asyncio.Event())
    async with furnish(s3) as house:
        file = await house.door.accept(alice, declared(), ScriptedBody(b"content"))
        running = asyncio.ensure_future(run_due(house))
        await s3.waits.wait()

        await house.files.delete(alice, file.id)
        async with asyncio.timeout(5):
            await running
        await run_due(house)

        assert {} == s3.files
        assert {("deliver:s3", "done"), ("erase", "done"), ("announce", "done")} >= set(
            await house.world.catalog.read(lambda tx: tx.jobs.counts())
        )
        await house.is_tidy()


async def test_a_file_that_is_deleted_as_it_arrives(furnish: Furnish, alice: Principal) -> None:
    """Its bytes are erased: nobody knows of them any more."""
    gate = asyncio.Event()
    s3 = ScriptedStore("s3", gate)
    async with furnish(s3) as house:
        file = await house.door.accept(alice, declared(), ScriptedBody(b"content"))
        running = asyncio.ensure_future(run_due(house))
        await s3.waits.wait()
        await house.files.delete(alice, file.id)
        gate.set()
        await running
        await run_due(house)

        assert {} == s3.files
        assert [] == await house.all_files()
