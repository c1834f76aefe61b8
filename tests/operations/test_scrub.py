"""Stored copies are looked at again and again; what a fault left between rows is put right."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.operations.conftest import House
from tests.operations.places import FarStore, arrived, bytes_of, far_of, now, places, run_due, states

from carryall.model.file import Copy, CopyState, File
from carryall.model.principal import Principal
from carryall.model.target import Target
from carryall.operations.pace import Pace
from carryall.operations.scrub import ScrubWish
from carryall.testing.fakes import pattern

STORED, QUEUED, FAILED = CopyState.STORED, CopyState.QUEUED, CopyState.FAILED
MONTH = timedelta(days=31)
BYTES = pattern(100_000)


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    """Give a house with several stores."""
    async with places(folder, "b,far") as made:
        yield made


def changed(house: House, file: File, store: str) -> None:
    """Change a byte, and not the size."""
    path = bytes_of(house, _copy(file, store))
    path.write_bytes(b"X" + path.read_bytes()[1:])


def _copy(file: File, store: str) -> Copy:
    copy = file.copy_in(store)
    assert copy is not None
    return copy


async def put(house: House, file: File, of: str, **changes: object) -> None:
    """Change a copy's row behind everybody's back."""
    copy = replace(_copy(await now(house, file), of), **changes)  # type: ignore[arg-type]
    await house.world.catalog.write(lambda tx: tx.files.put_copy(file.id, copy))


async def test_each_copy_is_looked_at_once_in_its_time(house: House, alice: Principal) -> None:
    """The hourly turn looks at what is due, and at nothing again before it is due again."""
    files = [await arrived(house, alice, BYTES) for _ in range(5)]
    assert 0 == (await house.scrub.turn()).looked
    house.clock.advance(MONTH)
    late = await arrived(house, alice, BYTES)

    report = await house.scrub.turn()

    assert (10, 10 * len(BYTES), []) == (report.looked, report.size, report.damages)
    checked = {_copy(await now(house, file), "b").checked_at for file in (*files, late)}
    assert {house.clock.now()} == checked
    assert 0 == (await house.scrub.turn()).looked


async def test_local_bytes_are_read_and_far_ones_asked_for(house: House, alice: Principal) -> None:
    """A changed byte is found here; far away by --deep, while size and absence are seen without."""
    here, there, short, missing = [await arrived(house, alice, BYTES, name=name) for name in "abcd"]
    changed(house, here, "b")
    changed(house, there, "far")
    bytes_of(house, _copy(short, "far")).write_bytes(BYTES[:-1])
    bytes_of(house, _copy(missing, "far")).unlink()

    found = await house.scrub.run(ScrubWish())
    deep = await house.scrub.run(ScrubWish(is_deep=True))

    assert {(here.id, "b"), (short.id, "far"), (missing.id, "far")} == {
        (one.file_id, one.store) for one in found.damages
    }
    assert [(there.id, "far")] == [(one.file_id, one.store) for one in deep.damages]
    await run_due(house)
    healed = await house.scrub.run(ScrubWish(is_deep=True))
    assert (8, []) == (healed.looked, healed.damages)


async def test_a_dry_run_changes_nothing(house: House, alice: Principal) -> None:
    """It says the same, and neither heals nor marks anything."""
    file = await arrived(house, alice, BYTES)
    changed(house, file, "b")
    house.clock.advance(MONTH)

    report = await house.scrub.run(ScrubWish(is_dry=True))

    assert [(file.id, "b", False)] == [(one.file_id, one.store, one.is_lost) for one in report.damages]
    assert file == await now(house, file)


async def test_what_cant_be_looked_at_is_no_damage(house: House, alice: Principal) -> None:
    """A store that is away is left alone after a few tries, and looked at the next time."""
    for _ in range(20):
        await arrived(house, alice, BYTES)
    house.clock.advance(MONTH)
    far_of(house).is_away = True

    report = await house.scrub.turn()

    assert (20, []) == (report.looked, report.damages)
    assert report.unseen["far"][0] < 20
    far_of(house).is_away = False
    assert 20 == (await house.scrub.turn()).looked


async def test_a_changed_tag_makes_it_look_closer(house: House, alice: Principal) -> None:
    """A provider that only tells the same bytes apart in another way did no damage; the new tag is kept."""
    same, other = await arrived(house, alice, BYTES, name="a"), await arrived(house, alice, BYTES, name="b")
    changed(house, other, "far")
    for file in (same, other):
        await put(house, file, "far", tag="old")
    _tagging(far_of(house))

    report = await house.scrub.run(ScrubWish())

    assert [(other.id, "far")] == [(one.file_id, one.store) for one in report.damages]
    assert "new" == _copy(await now(house, same), "far").tag


def _tagging(store: FarStore) -> None:
    stat = store.stat

    async def tagged(location: str) -> object:
        return replace(await stat(location), tag="new")

    store.stat = tagged  # type: ignore[assignment,method-assign]


async def test_it_keeps_to_its_pace(house: House, alice: Principal) -> None:
    """Ten times 100 kB at 2 MB a second take nearly half a second."""
    for _ in range(10):
        await arrived(house, alice, BYTES)

    began = time.monotonic()
    await house.scrub.run(ScrubWish(stores=["b"], pace=Pace(2_000_000)))

    assert 0.4 < time.monotonic() - began


async def test_what_lost_its_job_gets_another(house: House, alice: Principal) -> None:
    """A copy on its way without a job is queued again, whatever it was doing; one that was given up stays so."""
    doing = (QUEUED, CopyState.DELIVERING, FAILED)
    files = [await arrived(house, alice, BYTES, name=state.value) for state in doing]
    for file, state in zip(files, doing, strict=True):
        await put(house, file, "far", state=state, next_try_at=house.clock.now() if state is FAILED else None)
    given_up = await arrived(house, alice, BYTES, name="given up")
    await put(house, given_up, "far", state=QUEUED)
    await house.world.catalog.write(lambda tx: tx.jobs.fail(f"{given_up.id}.far", house.clock.now(), "no"))

    dry = await house.scrub.run(ScrubWish(is_dry=True))
    report = await house.scrub.turn()

    assert [(3, 1), (3, 1)] == [(one.reconciled.requeued, one.reconciled.given_up) for one in (dry, report)]
    assert {"b": STORED, "far": FAILED} == states(await now(house, given_up))
    await run_due(house)
    assert [{"b": STORED, "far": STORED}] * 3 == [states(await now(house, file)) for file in files]
    again = (await house.scrub.turn()).reconciled
    assert (0, 0, 0) == (again.requeued, again.given_up, again.added)


async def test_a_promise_that_nobody_began_is_kept(house: House, alice: Principal) -> None:
    """A store that a target names and no row knows gets its copy."""
    file = await arrived(house, alice, BYTES, target="b")
    await house.world.catalog.write(lambda tx: tx.files.aim(file.id, Target.of("b", "far")))

    report = await house.scrub.run(ScrubWish())
    await run_due(house)

    assert 1 == report.reconciled.added
    assert {"b": STORED, "far": STORED} == states(await now(house, file))


async def test_unknown_stores_are_told_and_left(house: House, alice: Principal) -> None:
    """Copies in a store that is in the settings no more are counted; nothing of them changes."""
    file = await arrived(house, alice, BYTES)
    await put(house, file, "far", store="old")
    before = await now(house, file)
    house.clock.advance(MONTH)

    report = await house.scrub.turn()

    assert {"old": 1} == report.reconciled.unknown
    assert _copy(before, "old") == _copy(await now(house, file), "old")


async def test_never_is_never(house: House, alice: Principal) -> None:
    """Where the setting is 0 no copy is looked at, but rows are put right."""
    file = await arrived(house, alice, BYTES)
    changed(house, file, "b")
    await put(house, file, "far", state=QUEUED)
    house.clock.advance(MONTH)
    house.scrub._every = timedelta(0)

    report = await house.scrub.turn()

    assert (0, 1) == (report.looked, report.reconciled.requeued)
