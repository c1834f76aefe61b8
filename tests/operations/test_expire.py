"""What time takes away, what the sweep finds, and what the doctor says."""

import asyncio
import os
import zlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import EXPIRY, SWEEP_AFTER, House, declared, house_on, user

from carryall.model.errors import Missing, UploadClosed
from carryall.model.principal import Principal
from carryall.model.upload import Mode, State
from carryall.operations import expire
from carryall.ports.catalog_files import FileQuery
from carryall.testing.fakes import ScriptedBody

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def age(house: House, by: timedelta = SWEEP_AFTER) -> None:
    """Make everything on the disk look that much older."""
    for path in house.folder.glob("*/*/*"):
        then = path.stat().st_mtime - by.total_seconds() - 60
        os.utime(path, (then, then))


def litter(house: House, room: str, name: str) -> None:
    """Leave a file that no row knows."""
    shard = zlib.crc32(name.partition(".")[0].encode() if room == "staging" else name.encode()) % 4
    (house.folder / room / f"{shard:02x}" / name).write_bytes(b"litter")


async def test_files_go_after_their_retention(house: House) -> None:
    """Not a moment earlier; gone for readers at once, their bytes by a job, their room with them."""
    who = user(retention=90 * DAY)
    file = await house.door.accept(who, declared(), ScriptedBody(b"x"))
    assert house.clock.now() + 90 * DAY == file.expires_at
    kept = await house.door.accept(user("bob"), declared(), ScriptedBody(b"kept"))

    house.clock.advance(90 * DAY - TICK)
    await house.expire.run()
    assert file == await house.serve.by_id(who, file.id)
    house.clock.advance(TICK)
    with pytest.raises(Missing):
        await house.serve.by_id(who, file.id)
    assert [] == await house.serve.find(who, FileQuery())
    await house.expire.run()

    assert 1 == await house.run_jobs("erase")
    assert [kept.copies[0].key] == house.stored()
    assert (0, 0) == ((await house.usage()).stored_bytes, (await house.usage()).files)
    assert b"kept" == await house.content(kept)
    await house.is_tidy()


async def test_downloads_put_the_end_off(house: House) -> None:
    """Blobs: 90 days since the last download. An end that the owner set stays where it is."""
    who = user(retention=90 * DAY)
    read, set_by_owner = [await house.door.accept(who, declared(), ScriptedBody(b"x")) for _ in range(2)]
    await house.files.set_expiry(who, set_by_owner.id, house.clock.now() + 85 * DAY)

    house.clock.advance(80 * DAY)
    for file in (read, set_by_owner):
        await house.serve.count_download(file, "client", via="/s", size=1)
    house.clock.advance(5 * DAY)
    await house.expire.run()
    assert [read.id] == [file.id for file in await house.all_files()]
    house.clock.advance(85 * DAY - TICK)
    await house.expire.run()
    assert [read.id] == [file.id for file in await house.all_files()]
    house.clock.advance(TICK)
    await house.expire.run()
    assert [] == await house.all_files()


async def test_more_than_a_page_expires(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, all of them go in one run, files, uploads and old rows alike."""
    monkeypatch.setattr(expire, "_PAGE", 3)
    who = user(retention=DAY)
    for number in range(8):
        await house.door.accept(who, declared(name=str(number)), ScriptedBody(b"x"))
        await house.door.open(who, declared(5), is_resumable=True)
    house.clock.advance(2 * DAY)
    await house.expire.run()
    usage = await house.usage()
    assert (0, 0, 0) == (usage.files, usage.open_uploads, usage.reserved_bytes)

    house.clock.advance(8 * DAY)
    await house.expire.run()
    assert 0 == await house.world.catalog.write(lambda tx: tx.uploads.forget_closed(house.clock.now(), 100))


async def test_uploads_go_when_nobody_continues_them(house: House, alice: Principal) -> None:
    """By idle time: each write moves the end; room and bytes come back at the end."""
    upload_id = (await house.door.open(alice, declared(10), is_resumable=True)).id
    for offset in range(3):
        house.clock.advance(EXPIRY - TICK)
        await house.expire.run()
        await house.door.receive(alice, upload_id, ScriptedBody(b"x"), offset=offset)
    house.clock.advance(EXPIRY)
    await house.expire.run()

    assert State.EXPIRED is (await house.upload(upload_id)).state
    assert (0, 0) == ((await house.usage()).reserved_bytes, (await house.usage()).open_uploads)
    assert [] == house.staged()
    with pytest.raises(UploadClosed, match="expired"):
        await house.door.receive(alice, upload_id, ScriptedBody(b"x"), offset=3)


async def test_an_upload_that_is_written_never_expires(house: House, alice: Principal) -> None:
    """A slow client that is still sending is not asked to leave, however late it is; others beside it go."""
    upload_id = (await house.door.open(alice, declared(2), is_resumable=True)).id
    idle = (await house.door.open(alice, declared(2), is_resumable=True)).id
    gate = asyncio.Event()
    body = ScriptedBody(b"a", gate, b"b")
    receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, body))
    await body.waits.wait()
    house.clock.advance(10 * EXPIRY)

    await house.expire.run()
    age(house)
    await house.expire.sweep()
    gate.set()
    await receiving

    assert b"ab" == await house.content(await house.door.complete(alice, upload_id))
    assert State.EXPIRED is (await house.upload(idle)).state


async def test_an_upload_that_is_continued_just_now_stays(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found stale, then written to before its turn came: its new end counts."""
    ids = [(await house.door.open(alice, declared(2), is_resumable=True)).id for _ in range(2)]
    house.clock.advance(EXPIRY)
    abort = house.door.abort

    async def late(*args: Any, **kwargs: Any) -> None:
        while coming_back:
            await house.door.receive(alice, coming_back.pop(), ScriptedBody(b"x"))
        await abort(*args, **kwargs)

    coming_back = list(ids)
    monkeypatch.setattr(house.door, "abort", late)
    await house.expire.run()

    assert [State.OPEN] * 2 == [(await house.upload(upload_id)).state for upload_id in ids]


async def test_the_sweep_takes_what_no_row_knows(house: House, alice: Principal) -> None:
    """Old litter goes from staging and store; young litter, open uploads and files stay."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"file"))
    upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
    await house.door.receive(alice, upload_id, ScriptedBody(b"upload"))
    for room, name in (("staging", "old.0.0"), ("staging", "old.joined"), ("files", "old"), ("files", "old.half")):
        litter(house, room, name)
    age(house)
    litter(house, "staging", "young.0.0")
    litter(house, "files", "young")
    assert not any(finding.is_wrong for finding in await house.findings())

    assert 3 <= await house.expire.sweep() <= 4

    assert {f"{upload_id}.0.0", "young.0.0"} == set(house.staged())
    assert sorted([file.copies[0].key, "young"]) == house.stored()
    assert b"file" == await house.content(file)
    assert b"upload" == await house.content(await house.door.complete(alice, upload_id))
    age(house)
    assert 2 == await house.expire.sweep()
    await house.is_tidy()


async def test_the_sweep_takes_what_a_closed_upload_left(house: House, alice: Principal) -> None:
    """Without waiting: nobody will write there any more."""
    upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
    await house.door.abort(alice, upload_id)
    litter(house, "staging", f"{upload_id}.0.0")
    litter(house, "files", upload_id)

    assert 2 == await house.expire.sweep()

    assert ([], []) == (house.staged(), house.stored())


async def test_the_next_process_gives_up_one_shots(folder: Path, alice: Principal) -> None:
    """Nobody can send the rest of a one-shot upload after a restart; resumable ones wait for their clients."""
    async with house_on(folder) as house:
        ids = [(await house.door.open(alice, declared(9), is_resumable=r)).id for r in (True, False)]
        for upload_id in ids:
            await house.door.receive(alice, upload_id, ScriptedBody(b"123456789"))

    async with house_on(folder) as house:
        assert 1 == await house.expire.abort_one_shots()
        assert [State.OPEN, State.ABORTED] == [(await house.upload(upload_id)).state for upload_id in ids]
        assert (9, 1) == ((await house.usage()).reserved_bytes, (await house.usage()).open_uploads)
        assert [f"{ids[0]}.0.0"] == house.staged()
        assert 0 == await house.expire.abort_one_shots()


async def test_erasing_leaves_what_a_row_points_at(house: House, alice: Principal) -> None:
    """An erase job that comes late, twice, or for an unknown store does no harm."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    key = file.copies[0].key
    for store, name in (("local", key), ("local", "nothing"), ("gone", key)):
        await house.erase.copy(store, name)
    assert b"x" == await house.content(file)

    await house.files.delete(alice, file.id)
    assert [key] == house.stored()
    for _ in range(2):
        await house.erase.copy("local", key)
    assert [] == house.stored()


async def test_a_reader_keeps_a_file_that_is_deleted(house: House, alice: Principal) -> None:
    """A download that has begun comes to its end."""
    content = os.urandom(3_000_000)
    chunks = [content[at : at + 500_000] for at in range(0, len(content), 500_000)]
    file = await house.door.accept(alice, declared(), ScriptedBody(*chunks))
    reading = await house.serve.read(file, 0, file.size)
    coming = aiter(reading)
    first = await anext(coming)

    await house.files.delete(alice, file.id)
    await house.run_jobs("erase")

    assert content == first + b"".join([chunk async for chunk in coming])
    await reading.aclose()


Damage = Callable[[House, str], Awaitable[None]]


async def _lose_file(house: House, key: str) -> None:
    next(house.folder.glob(f"files/*/{key}")).unlink()


async def _cut_file(house: House, key: str) -> None:
    os.truncate(next(house.folder.glob(f"files/*/{key}")), 1)


async def _cut_extent(house: House, _: str) -> None:
    os.truncate(next(house.folder.glob("staging/*/*.0.0")), 1)


async def _lose_extent(house: House, _: str) -> None:
    next(house.folder.glob("staging/*/*.0.0")).unlink()


async def _miscount(house: House, _: str) -> None:
    await house.world.catalog.write(lambda tx: tx.usages.release("jwt:alice", 3))


@pytest.mark.parametrize(
    ("damage", "about"),
    [
        (_lose_file, "copy"),
        (_cut_file, "copy"),
        (_cut_extent, "staging"),
        (_lose_extent, "staging"),
        (_miscount, "usage"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_the_doctor_finds_damage(folder: Path, alice: Principal, damage: Damage, about: str) -> None:
    """Rows without their bytes, and counters without their rows."""
    async with house_on(folder) as house:
        file = await house.door.accept(alice, declared(), ScriptedBody(b"file"))
        upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
        await house.door.receive(alice, upload_id, ScriptedBody(b"upload"))
        await house.is_sound()

        await damage(house, file.copies[0].key)

        assert [about] == [finding.about for finding in await house.findings() if finding.is_wrong]
        assert (about == "usage") == (await house.doctor.repair_counters() > 0)
        assert about == "usage" or [about] == [one.about for one in await house.findings() if one.is_wrong]
        if about == "usage":
            await house.is_sound()


async def test_lost_bytes_are_never_served(house: House, alice: Principal) -> None:
    """An upload whose staged bytes are gone can neither be continued nor completed, and says so."""
    upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
    for segment in range(2):
        await house.door.receive(alice, upload_id, ScriptedBody(b"123"), segment=segment, mode=Mode.REPLACE)
    os.truncate(next(house.folder.glob(f"staging/*/{upload_id}.0.0")), 2)
    for use in (
        house.door.receive(alice, upload_id, ScriptedBody(b"4"), offset=3),
        house.door.complete(alice, upload_id, segment_count=2),
    ):
        with pytest.raises(Exception, match="lost a part of this upload"):
            await use
    await house.door.abort(alice, upload_id)
    assert [] == await house.all_files()
