"""Who waits for deliveries hears how they stand; files that go for the same key never hurt each other."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import House, declared, house_on
from tests.operations.places import now, run_due, states

from carryall.leases.shared import SharedLeases
from carryall.model.errors import Missing, StoreError
from carryall.model.file import CopyState, File
from carryall.model.principal import Principal
from carryall.model.target import Target
from carryall.model.work import Job
from carryall.operations import deliver
from carryall.operations.deliver import Outcome
from carryall.operations.expire import Expire
from carryall.operations.placing import job_id
from carryall.stores.local import LocalStore
from carryall.testing.fakes import ManualClock, ScriptedBody, ScriptedStore

QUEUED, DELIVERING, STORED, FAILED, GONE = CopyState
AWAY = StoreError("The store is away.", retryable=True, code="store_unreachable")
REFUSED = StoreError("The file is too large.", retryable=False, code="store_refused")
LONG_S = 10.0


@pytest.fixture
async def stores() -> dict[str, ScriptedStore]:
    """Give two stores; their scripts are the test's to write."""
    return {name: ScriptedStore(name) for name in ("s3", "mega")}


@pytest.fixture
async def house(folder: Path, stores: dict[str, Any]) -> AsyncIterator[House]:
    """Give a house with both."""
    async with house_on(folder, others=stores, clock=ManualClock()) as made:
        yield made
        await made.is_sound()


async def brought(house: House, who: Principal, content: bytes = b"content", **how: Any) -> File:
    """Bring a file in."""
    return await house.door.accept(who, declared(**how), ScriptedBody(content))


async def waited(house: House, file: File, seconds: float = LONG_S) -> Outcome:
    """Wait for a file while jobs run."""
    waiting = asyncio.ensure_future(house.deliver.wait(file, seconds=seconds))
    await asyncio.sleep(0)
    await run_due(house)
    return await waiting


def script(store: Any, *steps: Any) -> None:
    """Say what the store does next."""
    store._steps = list(steps)


@pytest.mark.parametrize(
    ("target", "steps", "failed"),
    [
        ("s3", {}, None),
        ("s3", {"s3": AWAY}, {"s3"}),
        ("s3", {"s3": REFUSED}, {"s3"}),
        ("local,s3", {}, None),
        ("local,s3", {"s3": AWAY}, {"s3"}),
        ("s3,mega", {"mega": AWAY}, {"mega"}),
        ("any:s3,mega", {"s3": AWAY}, None),
        ("any:s3,mega", {"s3": AWAY, "mega": REFUSED}, {"s3", "mega"}),
        ("2:local,s3,mega", {"s3": AWAY}, None),
        ("2:local,s3,mega", {"s3": AWAY, "mega": AWAY}, {"s3", "mega"}),
        ("any:local,s3", {"s3": AWAY}, None),
    ],
)
async def test_an_outcome_is_the_targets(
    house: House, alice: Principal, target: str, steps: dict[str, StoreError], failed: set[str] | None
) -> None:
    """Delivered when as many as asked for have it; failed when a try failed without which they can't."""
    for name, step in steps.items():
        script(house.world.stores[name], step)
    file = await brought(house, alice, target=target)

    outcome = await waited(house, file)

    assert ("failed" if failed else "delivered", Target.parse(target)) == (outcome.state, outcome.file.target)
    assert (outcome.failure is not None and outcome.failure.store in failed) if failed else outcome.failure is None
    await run_due(house)
    assert (failed is None) == ("file.stored" in [event.type for event in house.told])


async def test_the_main_service_hears_once(house: House, stores: dict[str, ScriptedStore], alice: Principal) -> None:
    """When the file is where it was promised to be; not again for each further copy."""
    script(stores["s3"], AWAY)
    file = await brought(house, alice, target="any:s3,mega")
    await run_due(house)
    house.clock.advance(timedelta(minutes=1))  # type: ignore[attr-defined]
    await run_due(house)
    await run_due(house)

    assert {"s3": STORED, "mega": STORED} == states(await now(house, file))
    assert 1 == len(house.told)


async def test_waiting_is_bounded(house: House, stores: dict[str, ScriptedStore], alice: Principal) -> None:
    """Past the bound it is pending, and goes on."""
    gate = asyncio.Event()
    script(stores["s3"], gate)
    file = await brought(house, alice, target="s3")
    running = asyncio.ensure_future(run_due(house))

    assert "pending" == (await house.deliver.wait(file, seconds=0.02)).state
    assert "pending" == (await house.deliver.wait(file, seconds=0)).state

    gate.set()
    assert "delivered" == (await house.deliver.wait(file, seconds=LONG_S)).state
    await running
    assert {} == house.deliver._waiting


async def test_waiting_ends_at_once(house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next look when the delivery is done in this process."""
    monkeypatch.setattr(deliver, "_LOOK_EVERY_S", 60.0)
    file = await brought(house, alice, target="s3")

    async with asyncio.timeout(5):
        assert "delivered" == (await waited(house, file)).state


async def test_another_process_may_deliver(folder: Path, stores: dict[str, Any], alice: Principal) -> None:
    """Who waits here learns of it by looking."""
    async with AsyncExitStack() as stack:
        houses = [
            await stack.enter_async_context(
                house_on(
                    folder,
                    others=stores,
                    make_leases=lambda c, n=name: SharedLeases(c, c, node=n),  # type: ignore[misc]
                )
            )
            for name in ("one", "two")
        ]
        for house in houses:
            await stack.enter_async_context(house.world.leases.beating())
        file = await brought(houses[0], alice, target="s3")
        waiting = asyncio.ensure_future(houses[0].deliver.wait(file, seconds=LONG_S))

        await asyncio.gather(*(run_due(house) for house in houses[1:]))

        assert "delivered" == (await waiting).state
        assert 1 == len(stores["s3"].puts)


async def test_a_file_that_is_deleted_while_somebody_waits(house: House, alice: Principal) -> None:
    """It is missing; that is no failure of its store."""
    file = await brought(house, alice, target="s3")
    await house.files.delete(alice, file.id)

    with pytest.raises(Missing):
        await house.deliver.wait(file, seconds=LONG_S)


async def test_who_gives_up_keeps_nothing(house: House, stores: dict[str, ScriptedStore], alice: Principal) -> None:
    """The first failure without which the target can't be reached ends the file; the failure is told, once."""
    script(stores["s3"], AWAY)
    file = await brought(house, alice, target="s3", gives_up=True)

    outcome = await waited(house, file)

    assert ("failed", "store_unreachable", None) == (
        outcome.state,
        outcome.failure and outcome.failure.error_code,
        outcome.failure and outcome.failure.next_try_at,
    )
    await run_due(house)
    house.clock.advance(timedelta(hours=2))  # type: ignore[attr-defined]
    await run_due(house)
    assert [] == await house.all_files()
    assert ({}, 0) == (stores["s3"].files, (await house.usage()).stored_bytes)
    await house.is_tidy()


async def test_who_gives_up_keeps_what_was_delivered(
    house: House, stores: dict[str, ScriptedStore], alice: Principal
) -> None:
    """One of two stores was asked for, and one has it: what happens to the other one is its own matter."""
    script(stores["s3"], AWAY)
    file = await brought(house, alice, target="any:s3,mega", gives_up=True)

    assert "delivered" == (await waited(house, file)).state
    assert {"local": STORED, "s3": FAILED, "mega": STORED} == states(await now(house, file))


async def test_what_runs_is_not_begun_anew(house: House, stores: dict[str, ScriptedStore], alice: Principal) -> None:
    """Who asks for another try while there is one waits for that one."""
    gate = asyncio.Event()
    script(stores["s3"], gate)
    file = await brought(house, alice, target="s3")
    running = asyncio.ensure_future(run_due(house))
    await stores["s3"].waits.wait()

    await house.deliver.retry(file.id, ["s3"])

    assert DELIVERING is states(await now(house, file))["s3"]
    gate.set()
    await running
    assert (1, STORED) == (len(stores["s3"].puts), states(await now(house, file))["s3"])


async def test_a_repeat_is_the_same_file(house: House, alice: Principal) -> None:
    """Same owner, name, size, bytes and target within the time: one file, counted once, its bytes there once."""
    how = {"target": "s3", "repeat_s": 600.0}
    first = await brought(house, alice, **how)
    files = await asyncio.gather(*(brought(house, alice, **how) for _ in range(4)))

    assert {first.id} == {file.id for file in files}
    assert (1, 7) == ((await house.usage()).files, (await house.usage()).stored_bytes)
    assert 1 == len(house.stored())
    others = [
        await brought(house, alice, **how, name="b.bin"),
        await brought(house, alice, b"CONTENT", **how),
        await brought(house, alice, target="mega", repeat_s=600.0),
        await brought(house, alice, target="s3"),
    ]
    house.clock.advance(timedelta(seconds=601))  # type: ignore[attr-defined]
    assert 6 == len({first.id, *(file.id for file in others), (await brought(house, alice, **how)).id})


async def test_the_new_object_outlives_the_old_one(
    house: House, stores: dict[str, ScriptedStore], alice: Principal
) -> None:
    """A second upload has the key of the first: neither the first one's put nor its erasing hits it (decision 21)."""
    s3, how = stores["s3"], {"target": "s3", "external_id": "7"}
    gate = asyncio.Event()
    script(s3, gate)
    await brought(house, alice, b"old", **how)
    old = asyncio.ensure_future(run_due(house))
    await s3.waits.wait()
    new = await brought(house, alice, b"new", **how)
    rivals = [asyncio.ensure_future(run_due(house)) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert {} == s3.files  # both wait for the old one's end

    gate.set()
    await asyncio.gather(old, *rivals)
    await run_due(house)

    assert {"alice/7/a.bin": b"new"} == s3.files
    assert STORED is states(await now(house, new))["s3"]


async def test_erasing_and_putting_take_turns(
    house: House, stores: dict[str, ScriptedStore], alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look whether somebody needs an object and its erasing nobody puts another one there."""
    s3, how = stores["s3"], {"target": "s3", "external_id": "7"}
    old = await brought(house, alice, b"old", **how)
    await run_due(house)
    await house.files.delete(alice, old.id)
    erasing, erase = asyncio.Event(), asyncio.Event()
    real = s3.erase

    async def slow(location: str) -> None:
        erasing.set()
        await erase.wait()
        await real(location)

    monkeypatch.setattr(s3, "erase", slow)
    first = asyncio.ensure_future(run_due(house))
    await erasing.wait()
    new = await brought(house, alice, b"new", **how)
    second = asyncio.ensure_future(run_due(house))
    await asyncio.sleep(0.05)
    erase.set()
    await asyncio.gather(first, second)

    assert {"alice/7/a.bin": b"new"} == s3.files
    assert b"new" == await house.content(await now(house, new))


async def test_erasing_is_tried_until_it_succeeds(
    house: House, stores: dict[str, ScriptedStore], alice: Principal
) -> None:
    """Also where somebody has to correct something first: else the bytes would stay for ever."""
    s3 = stores["s3"]
    file = await brought(house, alice, target="s3")
    await run_due(house)
    s3.away = StoreError("The account refuses us.", retryable=False, code="store_credentials")
    await house.files.delete(alice, file.id)
    await run_due(house)
    assert 1 == len(s3.files)

    s3.away = None
    house.clock.advance(timedelta(minutes=1))  # type: ignore[attr-defined]
    await run_due(house)
    assert {} == s3.files


async def test_what_died_in_its_put_is_erased_by_its_key(
    house: House, stores: dict[str, ScriptedStore], alice: Principal
) -> None:
    """The process ended after the put, nobody heard the location, and the file is deleted now."""
    file = await brought(house, alice, target="s3")
    copy = file.copy_in("s3")
    assert copy is not None
    begun = replace(copy, state=DELIVERING, attempts=1)
    await house.world.catalog.write(lambda tx: tx.files.put_copy(file.id, begun))
    stores["s3"].files[copy.key] = b"content"

    await house.files.delete(alice, file.id)
    await run_due(house)

    assert {} == stores["s3"].files


async def test_a_job_whose_file_is_gone_is_done(house: House, alice: Principal) -> None:
    """There is nothing to bring."""
    file = await brought(house, alice, target="s3")
    now_at = house.clock.now()
    await house.files.delete(alice, file.id)

    payload = {"file_id": file.id, "store": "s3"}
    await house.deliver.copy(Job(job_id(file.id, "s3"), "deliver:s3", payload, now_at, now_at, attempts=1))


async def test_one_store_that_fails_stops_no_sweep(house: House, alice: Principal, tmp_path: Path) -> None:
    """What lies in the others that nobody knows of is removed all the same."""
    broken = LocalStore("broken", tmp_path / "nowhere")
    expire = Expire(
        replace(house.world, stores={"broken": broken, **house.world.stores}),
        house.door,
        house.announce,
        admin=alice,
        sweep_after=timedelta(0),
    )
    leftover = house.world.stores["local"].path("leftover")
    assert leftover is not None
    leftover.write_bytes(b"nobody's")
    os.utime(leftover, (0, 0))

    assert 1 == await expire.sweep()

    assert not leftover.exists()
    await broken.close()
