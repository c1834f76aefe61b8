"""The closing steps of a request come to their end, whoever asks it to leave and how often."""

import asyncio
import threading

import pytest
from tests.operations.conftest import House, declared, user

from carryall.model.errors import QuotaExceeded
from carryall.model.principal import Principal
from carryall.operations import streams
from carryall.operations.streams import Checkpoints
from carryall.ports.cancellation import shielded
from carryall.ports.catalog import Tx
from carryall.testing.fakes import ScriptedBody


async def test_a_closing_step_ends_before_its_caller() -> None:
    """However often the caller is cancelled, it goes on only when the step is done; then it is cancelled."""
    gate, done = asyncio.Event(), asyncio.Event()

    async def step() -> None:
        await gate.wait()
        done.set()

    caller = asyncio.ensure_future(shielded(step()))
    for _ in range(3):
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()


async def test_a_closing_steps_answer_is_its_callers() -> None:
    """Without a cancellation, what it gives or raises goes through."""

    async def right() -> int:
        return 7

    async def wrong() -> None:
        raise ZeroDivisionError

    assert 7 == await shielded(right())
    with pytest.raises(ZeroDivisionError):
        await shielded(wrong())


@pytest.mark.parametrize(
    ("new_bytes", "seconds", "is_due"),
    [(63, 999, True), (64, 0, True), (63, 4.9, False), (3, 999, False), (4, 5, True), (0, 999, False)],
)
def test_when_progress_is_made_durable(new_bytes: int, seconds: float, is_due: bool) -> None:  # noqa: FBT001
    """Every 64 MiB, or every 5 s when at least 4 MiB are new."""
    assert is_due == streams._is_due(new_bytes << 20, seconds, Checkpoints())


async def test_room_that_was_taken_while_leaving_comes_back(house: House, alice: Principal) -> None:
    """A request that leaves while its reservation is being committed gives back exactly what that took."""
    upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
    gates = [threading.Event(), threading.Event()]
    entered = [threading.Event(), threading.Event()]
    body_gate = asyncio.Event()
    body = ScriptedBody(body_gate, b"x")

    def block(number: int) -> "asyncio.Future[None]":
        def work(_: Tx) -> None:
            entered[number].set()
            assert gates[number].wait(10)

        return asyncio.ensure_future(house.world.catalog.write(work))

    receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, body))
    await body.waits.wait()
    first = block(0)
    await asyncio.to_thread(entered[0].wait, 10)
    second = block(1)  # shares its commit with the reservation, which so can't be withdrawn any more
    await asyncio.sleep(0)
    body_gate.set()
    await asyncio.sleep(0.01)
    gates[0].set()
    await asyncio.to_thread(entered[1].wait, 10)
    receiving.cancel()
    gates[1].set()
    await asyncio.wait([receiving, first, second])

    assert 0 == (await house.upload(upload_id)).reserved_bytes == (await house.usage()).reserved_bytes


async def test_a_stalled_upload_holds_no_more_room_than_its_step(house: House) -> None:
    """Somebody who sends one byte and waits keeps a mebibyte from others, not everything that is free."""
    who = user(total_bytes=5 << 20)
    body = ScriptedBody(b"x", asyncio.Event())
    stalled = asyncio.ensure_future(house.door.accept(who, declared(), body))
    await body.waits.wait()

    await house.door.accept(who, declared(4 << 20), ScriptedBody(*[b"y" * (1 << 20)] * 4))
    with pytest.raises(QuotaExceeded):
        await house.door.open(who, declared(1))
    stalled.cancel()
    await asyncio.wait([stalled])
    await house.door.open(who, declared(1 << 20))
