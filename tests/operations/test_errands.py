"""Requests that are repeated: one does the work, whatever happened to the one before it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.operations.conftest import House, declared, user

from carryall.model.errors import Conflict, Interrupted, Malformed
from carryall.model.upload import Mode, State, Upload
from carryall.operations.errands import Asked, Errands
from carryall.testing.fakes import ScriptedBody

ASKED = Asked("jwt:alice", "key", "f" * 64)
ALICE = user()


@pytest.fixture
def errands(house: House) -> Errands:
    """The verb."""
    return Errands(house.world, house.door, kept_for=timedelta(hours=24))


async def opened(house: House, errand_id: str | None, **options: Any) -> Upload:
    """Open an upload as an attempt does."""
    return await house.door.open(ALICE, declared(3, errand=errand_id), **options)


async def sealed(house: House, errand_id: str | None) -> Upload:
    """Make a file as an attempt does."""
    upload = await opened(house, errand_id)
    await house.door.receive(ALICE, upload.id, ScriptedBody(b"abc"), mode=Mode.REPLACE)
    await house.door.complete(ALICE, upload.id)
    return upload


async def test_K_1_the_first_answer_is_told_again(errands: Errands) -> None:
    """Who repeats a request hears what was answered, and has nothing to do."""
    async with errands.attempt(ALICE, ASKED) as first:
        assert first.errand_id is not None
        await errands.answered(first.errand_id, "done")

    async with errands.attempt(ALICE, ASKED) as second:
        assert (None, "done") == (second.errand_id, second.answer)


async def test_K_3_a_key_is_of_one_request(errands: Errands) -> None:
    """Another request with the key is refused, answered or not; another owner's key is another one."""
    other = Asked(ASKED.owner, ASKED.key, "0" * 64)
    async with errands.attempt(ALICE, ASKED) as first:
        with pytest.raises(Malformed) as refused:
            async with errands.attempt(ALICE, other):
                pass
        assert "idempotency_key_reused" == refused.value.stable_code
        await errands.answered(str(first.errand_id), "done")
    with pytest.raises(Malformed):
        async with errands.attempt(ALICE, other):
            pass

    async with errands.attempt(user("bob"), Asked("jwt:bob", ASKED.key, other.fingerprint)) as another:
        assert another.answer is None


async def test_K_4_one_of_many_works(errands: Errands) -> None:
    """Of rivals with one key one gets the work; the others hear that it is under way, and when to come again."""
    go_on, refused = asyncio.Event(), asyncio.Semaphore(0)

    async def try_it() -> tuple[str, int | None]:
        try:
            async with errands.attempt(ALICE, ASKED) as attempt:
                await go_on.wait()
                await errands.answered(str(attempt.errand_id), "done")
                return "worked", None
        except Conflict as conflict:
            refused.release()
            return conflict.stable_code, conflict.retry_after_s

    rivals = [asyncio.ensure_future(try_it()) for _ in range(50)]
    for _ in range(49):
        await refused.acquire()
    go_on.set()

    assert [("idempotency_key_in_use", 1)] * 49 + [("worked", None)] == sorted(await asyncio.gather(*rivals))


async def test_K_8_a_file_that_was_made_is_found(house: House, errands: Errands) -> None:
    """The attempt died between the file and its answer: the next one is to answer for that file."""
    async with errands.attempt(ALICE, ASKED) as first:
        made = await sealed(house, first.errand_id)

    async with errands.attempt(ALICE, ASKED) as second:
        assert [(made.id, State.SEALED)] == [(one.id, one.state) for one in second.left]
        await errands.answered(str(second.errand_id), "found")
    assert 1 == len(await house.all_files())


async def test_K_8_an_upload_that_can_be_resumed_is_found(house: House, errands: Errands) -> None:
    """What the attempt began to be continued is continued, and not begun again."""
    async with errands.attempt(ALICE, ASKED) as first:
        begun = await opened(house, first.errand_id, is_resumable=True)

    async with errands.attempt(ALICE, ASKED) as second:
        assert [begun.id] == [one.id for one in second.left]


async def test_K_8_what_cant_be_resumed_is_given_up(house: House, errands: Errands) -> None:
    """A body that the attempt took to its grave can't become a file any more, and its room is free."""
    async with errands.attempt(ALICE, ASKED) as first:
        lost = await opened(house, first.errand_id)

    async with errands.attempt(ALICE, ASKED) as second:
        assert second.errand_id is not None
        assert [] == second.left
    assert State.ABORTED is (await house.upload(lost.id)).state
    assert 0 == (await house.usage()).reserved_bytes


async def test_K_8_who_was_taken_over_makes_nothing(house: House, errands: Errands) -> None:
    """An attempt that stood still while another took its place opens no upload, and keeps no answer."""
    async with errands.attempt(ALICE, ASKED) as first:
        pass
    async with errands.attempt(ALICE, ASKED) as second:
        with pytest.raises(Interrupted):
            await opened(house, first.errand_id)
        await errands.answered(str(first.errand_id), "late")
        await errands.answered(str(second.errand_id), "right")

    async with errands.attempt(ALICE, ASKED) as third:
        assert "right" == third.answer
    assert 0 == (await house.usage()).open_uploads


async def test_K_5_what_failed_is_tried_again(errands: Errands) -> None:
    """No answer was kept, so the next attempt has the work."""
    with pytest.raises(RuntimeError):
        async with errands.attempt(ALICE, ASKED):
            raise RuntimeError("a fault")

    async with errands.attempt(ALICE, ASKED) as second:
        assert second.errand_id is not None


async def test_K_7_an_answer_is_forgotten_in_time(house: House, errands: Errands) -> None:
    """After its time a key is free, whether the expiry came by or not; and it takes the row away."""
    for runs_expiry in (False, True):
        async with errands.attempt(ALICE, ASKED) as first:
            await errands.answered(str(first.errand_id), "done")
        house.clock.advance(timedelta(hours=24))
        if runs_expiry:
            await house.expire.run()
            assert await house.world.catalog.read(lambda tx: tx.errands.get(ASKED.owner, ASKED.key)) is None

        async with errands.attempt(ALICE, Asked(ASKED.owner, ASKED.key, "0" * 64)) as again:
            assert again.errand_id is not None
        house.clock.advance(timedelta(hours=24))
