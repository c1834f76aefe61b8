"""Files move from one store to another; whoever reads, writes or deletes them meanwhile notices nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.operations.conftest import House, declared
from tests.operations.places import FarStore, arrived, bytes_of, far_of, kept, now, places, run_due, states

from carryall.model.errors import Malformed, StoreError
from carryall.model.file import CopyState
from carryall.model.principal import Plan, Principal
from carryall.model.target import Target
from carryall.model.work import JobState
from carryall.operations.evacuate import Evacuate, MoveWish
from carryall.operations.move import GRACE, begin_move
from carryall.operations.queue import LEASE
from carryall.stores.local import LocalStore
from carryall.testing.fakes import ScriptedBody

STORED = CopyState.STORED


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    """Give a house with several stores, whose files go to b."""
    async with places(folder, "b") as made:
        yield made
        await made.is_sound()


async def moved(house: House, source: str, to: str) -> tuple[int, list[str]]:
    """Empty a store; give how many files went, and why others stayed."""
    report = await house.evacuate.run(MoveWish(source, to))
    return report.moved, [stayed.why for stayed in report.stayed.values()]


async def rest(house: House) -> None:
    """Let the grace pass, and what is due be done."""
    house.clock.advance(GRACE)
    await run_due(house)


@pytest.mark.parametrize(("source", "to"), [("b", "c"), ("b", "far"), ("far", "b"), ("local", "far"), ("far", "local")])
async def test_everything_goes(house: House, alice: Principal, source: str, to: str) -> None:
    """Each file is in the other store then, byte for byte, aimed there and delivered; nothing is left of it here."""
    contents = [bytes([number]) * number * 1000 for number in range(10)]
    files = [await arrived(house, alice, content, name=f"ä {n}", target=source) for n, content in enumerate(contents)]
    usage = await house.usage()

    assert (10, sum(map(len, contents))) == await house.evacuate.amount(source)
    assert (10, []) == await moved(house, source, to)

    after = [await now(house, file) for file in files]
    assert [{to: STORED}] * 10 == [states(file) for file in after]
    assert [(Target.of(to), True)] * 10 == [(file.target, file.is_delivered) for file in after]
    assert contents == [await house.content(file) for file in after]
    assert contents == [await house.content(file) for file in files]  # for who looked before
    assert 10 == kept(house, source)
    await rest(house)
    assert (0, 10) == (kept(house, source), kept(house, to))
    assert usage == await house.usage()
    assert (0, []) == await moved(house, source, to)
    await house.is_tidy()


@pytest.mark.parametrize(
    ("target", "to", "after"),
    [
        ("any:b,far", "c", "any:c,far"),
        ("b,c", "c", "c"),
        ("2:b,c,far", "far", "far,c"),
        ("far,b", "local", "far,local"),
    ],
)
async def test_targets_keep_their_rule(house: House, alice: Principal, target: str, to: str, after: str) -> None:
    """The other stores of a target stay as they are; where the new one is among them, nothing is brought twice."""
    file = await arrived(house, alice, target=target)

    assert (1, []) == await moved(house, "b", to)

    held = await now(house, file)
    assert (after, True) == (str(held.target), held.is_delivered)
    assert dict.fromkeys(held.target.stores, STORED) == states(held)
    await rest(house)
    assert 0 == kept(house, "b")


async def test_home_may_keep_what_it_gave_away(folder: Path, alice: Principal) -> None:
    """A copy that moves out of the built-in store stays there as a cached one where such are kept."""
    async with places(folder, "local", keep_bytes=None) as house:
        file = await arrived(house, alice)
        assert (1, []) == await moved(house, "local", "far")
        held = await now(house, file)
        assert {"local": (STORED, True), "far": (STORED, False)} == {
            copy.store: (copy.state, copy.is_cache) for copy in held.copies
        }
        await rest(house)
        assert 1 == kept(house, "local")
        assert (0, []) == await moved(house, "local", "far")


async def test_a_store_that_is_away_can_be_emptied(house: House, alice: Principal) -> None:
    """Siblings give the bytes; what has none stays, is listed, and goes the next time."""
    twin, single = await arrived(house, alice, target="far,c"), await arrived(house, alice, target="far")
    far_of(house).is_away = True

    report = await house.evacuate.run(MoveWish("far", "b"))

    assert (1, {single.id}) == (report.moved, set(report.stayed))
    assert {"b": STORED, "c": STORED} == states(await now(house, twin))
    assert STORED is states(await now(house, single))["far"]
    far_of(house).is_away = False
    assert (1, []) == await moved(house, "far", "b")
    await rest(house)
    assert 0 == kept(house, "far")


async def test_what_can_t_be_stored_stays(house: House, alice: Principal) -> None:
    """A store that takes nothing costs no file its place, and no promise; the file can still be deleted."""
    file, other = await arrived(house, alice, gives_up=True), await arrived(house, alice)
    far_of(house).is_away = True
    with pytest.raises(StoreError, match="can't be reached"):
        await moved(house, "b", "far")
    far_of(house).is_away, far_of(house).is_full = False, True

    assert (0, ["Store far is full."] * 2) == await moved(house, "b", "far")

    held = await now(house, file)
    assert (Target.of("b"), True) == (held.target, held.is_delivered)
    assert b"content" == await house.content(held)
    far_of(house).is_full = False
    await house.files.delete(alice, file.id)
    assert (1, []) == await moved(house, "b", "far")
    assert {"far": STORED} == states(await now(house, other))
    await rest(house)


async def test_what_is_on_its_way_goes_the_other_way(house: House, alice: Principal) -> None:
    """A copy that hasn't arrived yet, or failed, is brought to the new store in place of the old one."""
    far_of(house).is_away = True
    failed = await arrived(house, alice, target="c,far")
    queued = await house.door.accept(alice, declared(target="c,far"), ScriptedBody(b"content"))

    assert (2, []) == await moved(house, "far", "b")

    far_of(house).is_away = False
    house.clock.advance(timedelta(hours=2))
    await run_due(house)
    for file in (failed, queued):
        held = await now(house, file)
        assert ({"c": STORED, "b": STORED}, True) == (states(held), held.is_delivered)
    assert 0 == kept(house, "far")
    assert 2 == len(house.told)


async def test_a_file_that_goes_meanwhile_is_gone(house: House, alice: Principal) -> None:
    """Deleted while its bytes travel: none are left in either store."""
    files = [await arrived(house, alice, bytes([number])) for number in range(8)]
    store = far_of(house)
    put = store.put

    async def slow(*how: object, **more: object) -> object:
        stored = await put(*how, **more)  # type: ignore[arg-type]
        file = next((file for file in files if file.id in str(how[0])), files[0])
        if files.index(file) % 2:
            await house.files.delete(alice, file.id)
        return stored

    store.put = slow  # type: ignore[assignment,method-assign]
    assert (4, []) == await moved(house, "b", "far")
    await rest(house)
    assert (0, 4) == (kept(house, "b"), kept(house, "far"))


async def test_what_comes_meanwhile_is_moved_too(house: House, alice: Principal) -> None:
    """Files that arrive while it runs are moved as well; readers never see a gap."""
    files = [await arrived(house, alice, bytes([number]) * 1000) for number in range(20)]
    is_over = asyncio.Event()
    reads = 0

    async def write() -> None:
        for number in range(20, 40):
            content = ScriptedBody(bytes([number]) * 1000)
            files.insert(number, await house.door.accept(alice, declared(), content))

    async def read() -> None:
        nonlocal reads
        while not is_over.is_set():
            for number, file in enumerate(list(files)):
                assert bytes([number]) * 1000 == await house.content(await now(house, file))
                reads += 1

    reader, writer = asyncio.create_task(read()), asyncio.create_task(write())
    report = await house.evacuate.run(MoveWish("b", "far"))
    await writer
    more = await house.evacuate.run(MoveWish("b", "far"))
    is_over.set()
    await reader

    assert 40 == report.moved + more.moved
    assert reads >= 40
    assert [{"far": STORED}] * 40 == [states(await now(house, file)) for file in files]
    await rest(house)
    assert (0, 40) == (kept(house, "b"), kept(house, "far"))


async def test_an_interrupted_move_goes_on(house: House, alice: Principal) -> None:
    """What a process that died had begun is taken over at once by the next, or by the server when its lease is over."""
    files = [await arrived(house, alice, bytes([number])) for number in range(3)]
    store, stuck = far_of(house), asyncio.Event()
    put = store.put

    async def never(key: str, *how: object, **more: object) -> object:
        if "test" not in key:
            await stuck.wait()
        return await put(key, *how, **more)  # type: ignore[arg-type]

    store.put = never  # type: ignore[assignment,method-assign]
    running = asyncio.create_task(house.evacuate.run(MoveWish("b", "far")))
    async with asyncio.timeout(10):
        while any("far" not in states(file) for file in await house.all_files()):  # noqa: ASYNC110  # no bell rings
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    store.put = put  # type: ignore[method-assign]
    job = await house.world.catalog.read(lambda tx: tx.jobs.get(f"{files[0].id}.far"))
    assert job is not None
    assert JobState.RUNNING is job.state
    assert [b"\0", b"\1", b"\2"] == [await house.content(await now(house, file)) for file in files]
    assert 0 == (await house.scrub.turn()).reconciled.requeued

    await house.files.delete(alice, files[2].id)
    house.clock.advance(timedelta(minutes=11))
    await run_due(house)  # a server's runner finishes the two
    assert [{"far": STORED}] * 2 == [states(await now(house, file)) for file in files[:2]]
    assert (0, []) == await moved(house, "b", "far")
    await rest(house)
    assert (0, 2) == (kept(house, "b"), kept(house, "far"))


async def test_there_and_back(house: House, alice: Principal) -> None:
    """Moved back before the old bytes were erased, a file stays whole: what was to be erased is no more to be."""
    file = await arrived(house, alice, target="far")
    for _ in range(3):
        assert (1, []) == await moved(house, "far", "b")
        assert (1, []) == await moved(house, "b", "far")
    await rest(house)

    assert b"content" == await house.content(await now(house, file))
    assert (0, 1) == (kept(house, "b"), kept(house, "far"))


async def test_damaged_bytes_arent_moved(house: House, alice: Principal) -> None:
    """A file whose bytes rotted isn't carried on as if it were whole: it is listed, and lost for its readers."""
    file = await arrived(house, alice)
    path = bytes_of(house, file.copies[0])
    path.write_bytes(b"CONTENT")
    house.clock.advance(timedelta(days=1))

    for to in ("c", "far"):
        assert (0, ["No store can give the file's bytes."]) == await moved(house, "b", to)
    with pytest.raises(StoreError):
        await house.content(await now(house, file))
    path.write_bytes(b"content")
    await house.scrub.turn()
    assert (1, []) == await moved(house, "b", "far")


async def test_what_is_asked_has_to_make_sense(house: House) -> None:
    """A store that isn't there gets nothing, nor does a store itself; one that is gone may be emptied."""
    for source, to in (("b", "nowhere"), ("b", "b")):
        with pytest.raises(Malformed) as raised:
            await moved(house, source, to)
        assert "store_unknown" == raised.value.stable_code
    assert (0, []) == await moved(house, "gone", "b")


async def test_plans_that_name_it_are_told(house: House) -> None:
    """Whoever still sends files to a store is named."""
    plans = [Plan("far", target=Target.of("far", "b")), Plan("near", target=Target.of("b")), Plan("none")]
    for plan in plans:
        await house.world.catalog.write(lambda tx, one=plan: tx.plans.put(one))  # type: ignore[misc]

    assert ["far"] == await house.evacuate.named_by("far")
    assert ["far", "near"] == await house.evacuate.named_by("b")


async def test_two_names_for_one_place_are_found_out(house: House, alice: Principal) -> None:
    """Nothing is moved from a place to itself: what would be erased later is what was brought."""
    near = LocalStore("b2", house.folder / "b", is_durable=False)
    far = FarStore(LocalStore("far2", house.folder / "far", is_durable=False))
    stores = {**house.world.stores, "b2": near, "far2": far}
    evacuate = Evacuate(replace(house.world, stores=stores), house.deliver, house.cache)
    for source, to in (("b", "b2"), ("far", "far2")):
        file = await arrived(house, alice, target=source)
        before = kept(house, source)
        with pytest.raises(Malformed, match="are the same place"):
            await evacuate.run(MoveWish(source, to))
        assert before == kept(house, source)
        assert b"content" == await house.content(await now(house, file))
    for store in (near, far):
        await store.close()


async def test_a_dead_servers_job_holds_nobody_up(house: House, alice: Principal) -> None:
    """What a server that is gone was erasing, or delivering, is waited for until its lease is over, and no longer."""
    file = await arrived(house, alice, target="far")
    assert (1, []) == await moved(house, "far", "b")
    house.clock.advance(GRACE)
    (erasing,) = await house.queue.claim(10)
    assert "erase" == erasing.kind
    held = await now(house, file)
    begun = await house.world.catalog.write(lambda tx: begin_move(tx, house.world, held, "b", "far"))
    assert begun is None

    house.clock.advance(LEASE)
    assert (1, []) == await moved(house, "b", "far")
    await rest(house)
    assert b"content" == await house.content(await now(house, file))
    assert (0, 1) == (kept(house, "b"), kept(house, "far"))
