"""A process stands still in the middle of an upload; another goes on with it; then the first one wakes up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import House, declared, house_on, sha256

from carryall.leases import shared
from carryall.leases.shared import SharedLeases
from carryall.model.errors import CarryallError, Interrupted
from carryall.model.principal import Principal
from carryall.model.upload import Mode
from carryall.operations.streams import Checkpoints
from carryall.testing.fakes import ScriptedBody, pattern

_DATA = pattern(50_000)
_AT = 20_000


Make = Callable[..., "asyncio.Future[House]"]


@pytest.fixture
async def process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Make a process on the folder; one that is `stopped` has a heart that never beats again."""
    monkeypatch.setattr(shared, "_DEAD_S", 0.2)
    monkeypatch.setattr(shared, "_BEAT_S", 0.05)
    every = Checkpoints(every_bytes=4096, every=timedelta(hours=1), least_bytes=1)
    async with AsyncExitStack() as stack:

        async def make(node: str, *, is_stopped: bool = False) -> House:
            house = await stack.enter_async_context(
                house_on(
                    folder, checkpoints=every, make_leases=lambda catalog: SharedLeases(catalog, catalog, node=node)
                )
            )
            if is_stopped:
                await house.world.catalog.write(lambda tx: tx.leases.beat(node))
            else:
                await stack.enter_async_context(house.world.leases.beating())
            return house

        yield lambda *names, **how: asyncio.ensure_future(make(*names, **how))


async def half_sent(house: House, who: Principal, upload_id: str, wakes: asyncio.Event) -> "asyncio.Task[object]":
    """Send the first bytes of an upload, and stand still before the rest."""
    body = ScriptedBody(_DATA[:_AT], wakes, _DATA[_AT:])
    task = asyncio.ensure_future(house.door.receive(who, upload_id, body))
    await body.waits.wait()
    return task


@pytest.mark.parametrize("size", [len(_DATA), None])
async def test_a_zombie_writes_nothing_that_counts(process: Make, alice: Principal, size: int | None) -> None:
    """The successor goes on where the rows are; what the zombie still writes and commits is void; room is exact."""
    zombie, living = await process("zombie", is_stopped=True), await process("living")
    upload = await zombie.door.open(alice, declared(size), is_resumable=True)
    wakes = asyncio.Event()
    task = await half_sent(zombie, alice, upload.id, wakes)
    held = (await living.upload(upload.id)).held_bytes
    assert 0 < held <= _AT

    mine = b"m" * (len(_DATA) - held)
    await living.door.receive(alice, upload.id, ScriptedBody(mine[:1000]), offset=held)
    wakes.set()
    with pytest.raises(Interrupted):
        await task
    await living.door.receive(alice, upload.id, ScriptedBody(mine[1000:]), offset=held + 1000)
    file = await living.door.complete(alice, upload.id)

    assert sha256(_DATA[:held] + mine) == file.sha256 == sha256(await living.content(file))
    assert (len(_DATA), 0, 0) == (
        (usage := await living.usage()).stored_bytes,
        usage.reserved_bytes,
        usage.open_uploads,
    )
    await living.is_sound()


async def test_a_zombie_that_has_sent_everything_is_copied(process: Make, alice: Principal) -> None:
    """The bytes of a zombie become a file that it can't write to any more, whatever it has in hand."""
    zombie, living = await process("zombie", is_stopped=True), await process("living")
    upload = await zombie.door.open(alice, declared(None), is_resumable=True)
    wakes = asyncio.Event()
    task = await half_sent(zombie, alice, upload.id, wakes)
    held = (await living.upload(upload.id)).held_bytes

    file = await living.door.complete(alice, upload.id)
    wakes.set()
    with pytest.raises(Exception, match="takes no more"):
        await task

    assert _DATA[:held] == await living.content(file)
    assert held == (await living.world.stores["local"].stat(file.copies[0].key)).size
    await living.is_sound()


@pytest.mark.parametrize("has_stored", [False, True])
async def test_a_zombie_that_completes_leaves_the_successors_file_alone(
    process: Make, alice: Principal, monkeypatch: pytest.MonkeyPatch, *, has_stored: bool
) -> None:
    """A completion that stood still before or after it stored puts its bytes beside the successor's."""
    zombie, living = await process("zombie", is_stopped=True), await process("living")
    upload = await zombie.door.open(alice, declared(None), is_resumable=True)
    for index, chunk in enumerate((b"one ", b"two ", b"three")):
        await zombie.door.receive(alice, upload.id, ScriptedBody(chunk), segment=index, mode=Mode.REPLACE)
    store, stands, wakes = zombie.world.stores["local"], asyncio.Event(), asyncio.Event()
    put = store.put

    async def late(*args: Any, **more: Any) -> None:
        if has_stored:
            await put(*args, **more)
        stands.set()
        await wakes.wait()
        if not has_stored:
            await put(*args, **more)

    monkeypatch.setattr(store, "put", late)
    completing = asyncio.ensure_future(zombie.door.complete(alice, upload.id))
    await stands.wait()

    await living.door.receive(alice, upload.id, ScriptedBody(b"2 "), segment=1, mode=Mode.REPLACE)
    file = await living.door.complete(alice, upload.id)
    wakes.set()
    with pytest.raises(CarryallError):
        await completing

    assert b"one 2 three" == await living.content(file)
    await living.expire.sweep()
    assert [file.copies[0].key] == living.stored()
    await living.is_tidy()


async def test_one_shots_of_the_dead_go_and_those_of_the_living_stay(process: Make, alice: Principal) -> None:
    """What a dead process began and only it could end gives its room back; nobody else's upload is touched."""
    dead, living = await process("dead", is_stopped=True), await process("living")
    lost = await dead.door.open(alice, declared(1000))
    kept = await living.door.open(alice, declared(50))
    resumable = await dead.door.open(alice, declared(7), is_resumable=True)
    await living.expire.run()
    await asyncio.sleep(0.3)  # the heart has to be seen standing still
    await living.expire.run()

    states = {upload: str((await living.upload(upload)).state) for upload in (lost.id, kept.id, resumable.id)}
    assert {lost.id: "aborted", kept.id: "open", resumable.id: "open"} == states
    assert 57 == (await living.usage()).reserved_bytes
    await living.door.receive(alice, kept.id, ScriptedBody(b"k" * 50), mode=Mode.REPLACE)
    assert b"k" * 50 == await living.content(await living.door.complete(alice, kept.id))


async def test_the_fence_is_the_uploads_own(process: Make, alice: Principal) -> None:
    """A writer whose upload was taken over hears of it at its next checkpoint, also when its lease row is its own."""
    house = await process("one")
    upload = await house.door.open(alice, declared(len(_DATA)), is_resumable=True)
    wakes = asyncio.Event()
    task = await half_sent(house, alice, upload.id, wakes)
    await house.world.catalog.write(lambda tx: tx.uploads.raise_fence(upload.id, above=0))
    wakes.set()
    with pytest.raises(Interrupted):
        await task
    there = await house.upload(upload.id)

    assert (1, replace(there, fence=1)) == (there.fence, there)
    assert there.held_bytes < len(_DATA)
