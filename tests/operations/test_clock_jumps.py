"""The clock jumps by days, ahead or back: what the verbs make of it (threat 30, fault 17)."""

import asyncio
from datetime import timedelta

import pytest
from tests.operations.conftest import EXPIRY, House, declared, user

from carryall.model.principal import Principal
from carryall.model.upload import State
from carryall.testing.fakes import ScriptedBody

DAYS = timedelta(days=2)
JUMPS = [DAYS, -DAYS, timedelta(days=4000), timedelta(days=-4000)]
PERIOD = timedelta(minutes=1)


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_finished_files_stay(house: House, alice: Principal, jump: timedelta) -> None:
    """A file without an end is there at any time; the cleaner and the sweep pass it by."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"finished"))
    house.clock.advance(jump)
    await house.expire.run()
    await house.expire.sweep()

    assert b"finished" == await house.content(await house.serve.by_id(alice, file.id))
    house.clock.advance(-jump)
    await house.expire.run()
    assert b"finished" == await house.content(await house.serve.by_id(alice, file.id))


async def test_a_file_goes_by_its_recorded_end(house: House) -> None:
    """A retention ends when the clock has passed what was recorded, however it got there, and not before."""
    who = user(retention=3 * DAYS)
    file = await house.door.accept(who, declared(), ScriptedBody(b"x"))
    for jump in (-DAYS, 2 * DAYS, timedelta(days=3)):
        house.clock.advance(jump)
        await house.expire.run()
        assert file.id == (await house.serve.by_id(who, file.id)).id
    house.clock.advance(DAYS)
    await house.expire.run()

    assert [] == await house.all_files()


async def test_a_write_in_the_past_takes_no_time_away(house: House, alice: Principal) -> None:
    """Bytes that came while the clock was behind don't bring the upload's end nearer than it was."""
    upload_id = (await house.door.open(alice, declared(10), is_resumable=True)).id
    promised = (await house.upload(upload_id)).expires_at
    house.clock.advance(-DAYS)
    await house.door.receive(alice, upload_id, ScriptedBody(b"12345"), offset=0)
    assert promised <= (await house.upload(upload_id)).expires_at
    house.clock.advance(DAYS)
    await house.expire.run()

    assert State.OPEN is (await house.upload(upload_id)).state
    await house.door.receive(alice, upload_id, ScriptedBody(b"67890"), offset=5)
    assert b"1234567890" == await house.content(await house.door.complete(alice, upload_id))


@pytest.mark.parametrize("jump", [DAYS, timedelta(days=4000)], ids=str)
async def test_an_upload_that_is_written_stays(house: House, alice: Principal, jump: timedelta) -> None:
    """A jump past its end, in the middle of its body, costs an upload nothing: its writer holds it."""
    upload_id = (await house.door.open(alice, declared(10), is_resumable=True)).id
    gate = asyncio.Event()
    body = ScriptedBody(b"12345", gate, b"67890")
    writing = asyncio.create_task(house.door.receive(alice, upload_id, body, offset=0))
    await body.waits.wait()
    house.clock.advance(jump)
    await house.expire.run()
    await house.expire.sweep()
    gate.set()
    await writing

    assert b"1234567890" == await house.content(await house.door.complete(alice, upload_id))


async def test_unfinished_uploads_stay_until_their_end(house: House, alice: Principal) -> None:
    """Years back and forth, an upload is there before its recorded end and gone after it, with its room."""
    upload_id = (await house.door.open(alice, declared(10), is_resumable=True)).id
    house.clock.advance(timedelta(days=-4000))
    await house.expire.run()
    await house.expire.sweep()
    house.clock.advance(timedelta(days=4000) + EXPIRY - timedelta(seconds=1))
    await house.expire.run()
    assert State.OPEN is (await house.upload(upload_id)).state
    house.clock.advance(timedelta(seconds=1))
    await house.expire.run()

    assert State.EXPIRED is (await house.upload(upload_id)).state
    assert (0, 0) == ((await house.usage()).reserved_bytes, (await house.usage()).open_uploads)


@pytest.mark.parametrize("jump", [-DAYS, timedelta(days=-4000)], ids=str)
async def test_jobs_dont_wait_for_a_time_that_was_wrong(house: House, jump: timedelta) -> None:
    """A periodic job that was planned by a clock far ahead is due again soon after the clock was put right."""
    await house.queue.ensure([("periodic:expire", "expire")])
    (job,) = await house.queue.claim(1)
    await house.queue.done(job, again_in=PERIOD)
    assert [] == await house.queue.claim(1)
    house.clock.advance(jump)

    assert ["periodic:expire"] == [one.id for one in await house.queue.claim(1)]


@pytest.mark.parametrize("jump", [-DAYS, timedelta(days=-4000)], ids=str)
async def test_a_lost_job_is_taken_up_after_a_jump_back(house: House, jump: timedelta) -> None:
    """A job whose runner died while the clock was ahead runs again, and not in two days."""
    await house.queue.ensure([("periodic:expire", "expire")])
    assert 1 == len(await house.queue.claim(1))
    house.clock.advance(jump)

    assert ["periodic:expire"] == [one.id for one in await house.queue.claim(1)]
