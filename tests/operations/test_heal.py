"""Copies that are missing or differ are healed from a sibling; readers notice nothing (fault 22)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.operations.conftest import House, declared, sha256
from tests.operations.places import arrived, bytes_of, far_of, now, places, run_due, states

from carryall.model.errors import StoreError
from carryall.model.file import CopyState, File
from carryall.model.principal import Principal
from carryall.operations.evacuate import MoveWish
from carryall.testing.fakes import ScriptedBody, pattern

STORED, QUEUED, GONE = CopyState.STORED, CopyState.QUEUED, CopyState.GONE
MONTH = timedelta(days=31)
BYTES = pattern(3 << 20)


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    """Give a house with several stores."""
    async with places(folder, "b,c") as made:
        yield made


def rot(house: House, file: File, store: str) -> None:
    """Change a byte of a copy behind everybody's back."""
    copy = file.copy_in(store)
    assert copy is not None
    path = bytes_of(house, copy)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def events(house: House) -> list[str]:
    """Give what became true, oldest first."""
    return [event.type for event in reversed(await house.announce.recent(100))]


async def test_a_missing_copy_is_healed_behind_its_reader(house: House, alice: Principal) -> None:
    """The reader gets the bytes of the next copy; the missing one is brought anew from there."""
    file = await arrived(house, alice, BYTES)
    copy = file.copy_in("b")
    assert copy is not None
    bytes_of(house, copy).unlink()

    assert sha256(BYTES) == sha256(await house.content(file))

    damaged = await now(house, file)
    assert {"b": QUEUED, "c": STORED} == states(damaged)
    assert "copy_damaged" == damaged.copy_in("b").error_code  # type: ignore[union-attr]
    await run_due(house)
    healed = await now(house, file)
    assert {"b": STORED, "c": STORED} == states(healed)
    assert BYTES == bytes_of(house, healed.copy_in("b")).read_bytes()  # type: ignore[arg-type]
    assert ["file.stored", "copy.stored", "copy.damaged", "copy.stored"] == await events(house)


async def test_healing_tells_nobody_twice_that_a_file_is_there(house: House, alice: Principal) -> None:
    """Who was told that a file is delivered isn't told again when a damaged copy is back."""
    file = await arrived(house, alice, BYTES)
    for store in ("b", "c", "b"):
        rot(house, await now(house, file), store)
        house.clock.advance(MONTH)
        assert 1 == len((await house.scrub.turn()).damages)
        assert not (await now(house, file)).is_delivered
        await run_due(house)
        assert (await now(house, file)).is_delivered

    assert 1 == len(house.told)


async def test_a_reading_that_is_cut_goes_on(house: House, alice: Principal) -> None:
    """A connection that breaks is opened anew at the same byte, in any range; that is no damage."""
    file = await arrived(house, alice, BYTES, target="far")
    for start, stop, cut in ((0, len(BYTES), 1000), (5, len(BYTES) - 5, 1), (1 << 20, 3 << 20, 1 << 20)):
        far_of(house).cut_after = cut
        assert sha256(BYTES[start:stop]) == sha256(await house.content(file, start, stop))
    far_of(house).cut_after = 0
    with pytest.raises(StoreError, match="can't be read now"):  # it gave nothing: asking again is no use
        await house.content(file)
    assert {"far": STORED} == states(await now(house, file))


async def test_a_short_copy_is_left_for_the_next(house: House, alice: Principal) -> None:
    """Bytes that end too early are damage: the reader gets the rest from a sibling, and the copy is healed."""
    file = await arrived(house, alice, BYTES)
    path = bytes_of(house, file.copy_in("b"))  # type: ignore[arg-type]
    path.write_bytes(BYTES[: 1 << 20])

    assert sha256(BYTES) == sha256(await house.content(file))
    assert {"b": QUEUED, "c": STORED} == states(await now(house, file))
    await run_due(house)
    assert BYTES == bytes_of(house, (await now(house, file)).copy_in("b")).read_bytes()  # type: ignore[arg-type]


async def test_a_store_that_is_away_is_no_damage(house: House, alice: Principal) -> None:
    """What can't be reached is read elsewhere and stays as it is."""
    file = await arrived(house, alice, BYTES, target="far,b")
    bytes_of(house, file.copy_in("b")).unlink()  # type: ignore[arg-type]
    far_of(house).is_away = True

    with pytest.raises(StoreError) as raised:
        await house.content(file)

    assert ("file_unreadable", True) == (raised.value.stable_code, raised.value.retryable)
    assert {"far": STORED, "b": QUEUED} == states(await now(house, file))
    far_of(house).is_away = False
    assert BYTES == await house.content(file)


async def test_a_file_without_a_sibling_is_lost_and_said_so(house: House, alice: Principal) -> None:
    """Nobody gets wrong bytes for right ones; the doctor says it, an event tells it, and bytes that come back count."""
    file = await arrived(house, alice, BYTES, target="b")
    path = bytes_of(house, file.copy_in("b"))  # type: ignore[arg-type]
    rot(house, file, "b")

    report = await house.scrub.turn()
    assert [] == report.damages  # it was compared a moment ago
    house.clock.advance(MONTH)
    report = await house.scrub.turn()

    assert [True] == [damage.is_lost for damage in report.damages]
    assert {"b": GONE} == states(await now(house, file))
    with pytest.raises(StoreError):
        await house.content(await now(house, file))
    assert "file.damaged" == (await events(house))[-1]
    assert any("is lost in store b" in finding.text for finding in await house.findings() if finding.is_wrong)

    path.write_bytes(BYTES)
    assert 1 == (await house.scrub.turn()).back
    assert BYTES == await house.content(await now(house, file))


async def test_damage_isnt_carried_on(house: House, alice: Principal) -> None:
    """A copy that rotted before it was delivered is found out, whichever store it goes to; nothing wrong arrives."""
    for target in ("b,far", "b,c"):
        file = await house.door.accept(alice, declared(target=target), ScriptedBody(BYTES))
        rot(house, file, "b")
        house.clock.advance(MONTH)
        await run_due(house)

        held = await now(house, file)
        assert GONE is held.copy_in("b").state  # type: ignore[union-attr]
        assert not any(copy.is_stored for copy in held.copies)
        assert [] == far_of(house).puts


async def test_two_local_copies_are_two(house: House, alice: Principal) -> None:
    """What happens to one local copy doesn't happen to the other: they aren't links to the same bytes."""
    file = await arrived(house, alice, BYTES)
    rot(house, file, "b")

    assert BYTES == bytes_of(house, file.copy_in("c")).read_bytes()  # type: ignore[arg-type]


async def test_what_was_moved_or_deleted_isnt_damaged(house: House, alice: Principal) -> None:
    """A reader that still knows the old place finds nothing there, and no copy is touched for that."""
    old = await arrived(house, alice, BYTES, target="b")
    await house.evacuate.run(MoveWish("b", "c"))
    bytes_of(house, old.copy_in("b")).unlink()  # type: ignore[arg-type]

    assert BYTES == await house.content(old)
    assert {"c": STORED} == states(await now(house, old))


async def test_a_disk_that_isnt_mounted_lost_nothing(house: House, alice: Principal) -> None:
    """Where a whole folder is away, no copy is called damaged; readers get the sibling."""
    file = await arrived(house, alice, BYTES)
    root = house.folder / "b"
    away = root.rename(house.folder / "away")
    root.mkdir()

    assert BYTES == await house.content(file)
    house.clock.advance(MONTH)
    report = await house.scrub.turn()

    assert ([], 1) == (report.damages, report.unseen["b"][0])
    assert {"b": STORED, "c": STORED} == states(await now(house, file))
    root.rmdir()
    away.rename(root)


async def test_bytes_that_wait_are_compared_now_and_then(house: House, alice: Principal) -> None:
    """Before a try to deliver them, if that was an hour ago; it is written down, so that the next try needn't."""
    far_of(house).is_away = True
    file = await arrived(house, alice, BYTES, target="b,far")
    for hours, expected in ((0.5, 0), (0.4, 0), (0.2, 1.1), (0.5, 1.1), (1, 2.6)):
        house.clock.advance(timedelta(hours=hours))
        await house.deliver.retry(file.id, ["far"])
        await run_due(house)
        checked_at = (await now(house, file)).copy_in("b").checked_at  # type: ignore[union-attr]
        assert timedelta(hours=expected) == checked_at - file.created_at  # type: ignore[operator]
