"""Local copies that no target asks for: how long they stay, and when they come back."""

from datetime import timedelta
from pathlib import Path

from tests.operations.conftest import House
from tests.operations.places import arrived, far_of, kept, now, places, run_due, states

from carryall.model.file import CopyState, File
from carryall.model.principal import Principal

STORED, QUEUED = CopyState.STORED, CopyState.QUEUED
MINUTE = timedelta(minutes=1)
KIB = 1024


async def cached(house: House, *files: File) -> list[bool]:
    """Tell of each file whether there is a copy of it in the built-in store."""
    found = [await now(house, file) for file in files]
    return [file.stored_copy("local") is not None for file in found]


async def test_it_goes_when_the_target_is_reached(folder: Path, alice: Principal) -> None:
    """Not before, and not while another store still waits for its copy."""
    async with places(folder, "any:far,b") as house:
        far_of(house).is_away = True
        file = await arrived(house, alice, target="any:far,b")
        assert {"b": STORED, "far": CopyState.FAILED} == states(file)
        only_far = await arrived(house, alice, target="far")
        assert [True] == await cached(house, only_far)

        far_of(house).is_away = False
        house.clock.advance(timedelta(hours=1))
        await run_due(house)

        assert [False] == await cached(house, only_far)
        await run_due(house)
        assert (0, 2, 1) == (kept(house, "local"), kept(house, "far"), kept(house, "b"))
        assert b"content" == await house.content(await now(house, only_far))
        assert [False] == await cached(house, only_far)
        await house.is_tidy()


async def test_it_can_stay_for_good(folder: Path, alice: Principal) -> None:
    """With `always`, reading never needs the far store."""
    async with places(folder, "far", keep_bytes=None) as house:
        file = await arrived(house, alice)
        far_of(house).is_away = True

        assert b"content" == await house.content(file)
        assert 0 == await house.cache.trim()
        assert {"far": STORED, "local": STORED} == states(await now(house, file))


async def test_those_go_first_that_were_read_longest_ago(folder: Path, alice: Principal) -> None:
    """The cache keeps to its room; a file that isn't delivered yet stays, whatever it holds."""
    async with places(folder, "far", keep_bytes=100 * KIB) as house:
        files = []
        for number in range(4):
            house.clock.advance(MINUTE)
            files.append(await arrived(house, alice, bytes([number]) * 30 * KIB, name=str(number)))
        assert [False, True, True, True] == await cached(house, *files)

        house.clock.advance(MINUTE)
        await house.serve.count_download(files[1], "somebody", via="/s", size=1)
        far_of(house).is_away = True
        house.clock.advance(MINUTE)
        waiting = await arrived(house, alice, b"w" * 80 * KIB)
        assert 3 == await house.cache.trim()  # what may go went, and it still isn't enough
        assert [False, False, False, False, True] == await cached(house, *files, waiting)


async def test_what_was_read_last_stays(folder: Path, alice: Principal) -> None:
    """A download makes a file younger than one that came later and that nobody reads."""
    async with places(folder, "far", keep_bytes=100 * KIB) as house:
        first = await arrived(house, alice, b"1" * 40 * KIB)
        house.clock.advance(MINUTE)
        second = await arrived(house, alice, b"2" * 40 * KIB)
        house.clock.advance(MINUTE)
        await house.serve.count_download(first, "somebody", via="/s", size=1)
        third = await arrived(house, alice, b"3" * 40 * KIB)

        assert [True, False, True] == await cached(house, first, second, third)


async def test_what_is_read_from_afar_comes_back(folder: Path, alice: Principal) -> None:
    """Behind its reader, once, and not if it is larger than a quarter of the room."""
    async with places(folder, "far", keep_bytes=100 * KIB) as house:
        small, large = await arrived(house, alice, b"s" * 25 * KIB), await arrived(house, alice, b"l" * 26 * KIB)
        others = []
        for number in range(2):
            house.clock.advance(MINUTE)
            others.append(await arrived(house, alice, bytes([number]) * 49 * KIB))
        assert [False, False, True, True] == await cached(house, small, large, *others)

        for _ in range(3):
            assert small.size == len(await house.content(await now(house, small)))
            assert large.size == len(await house.content(await now(house, large)))
        assert {"far": STORED, "local": QUEUED} == states(await now(house, small))
        house.clock.advance(MINUTE)
        await run_due(house)

        assert [True, False, False, True] == await cached(house, small, large, *others)
        far_of(house).is_away = True
        assert small.size == len(await house.content(await now(house, small)))
        assert 2 == len([job for job in await _jobs(house) if job.startswith(f"{small.id}.")])
        assert [] == [event.type for event in await house.announce.recent(3) if event.type == "copy.failed"]


async def test_nothing_comes_back_where_nothing_is_cached(folder: Path, alice: Principal) -> None:
    """Without a cache a file is read from afar each time; a file with a local target needs none."""
    async with places(folder, "far") as house:
        file = await arrived(house, alice)
        await house.content(file)
        assert {"far": STORED} == states(await now(house, file))
    async with places(folder, "far,b", keep_bytes=100 * KIB) as house:
        file = await arrived(house, alice)
        await house.content(file)
        assert {"far": STORED, "b": STORED} == states(await now(house, file))


async def test_a_smaller_room_is_made_at_once(folder: Path, alice: Principal) -> None:
    """What an earlier setting kept goes with the next trimming."""
    async with places(folder, "far", keep_bytes=None) as house:
        files = [await arrived(house, alice, bytes([n])) for n in range(150)]
        empty = await arrived(house, alice, b"")
    async with places(folder, "far") as house:
        assert 151 == await house.cache.trim()
        assert [False] * 151 == await cached(house, *files, empty)
        await run_due(house)
        assert 0 == kept(house, "local")


async def _jobs(house: House) -> list[str]:
    found = await house.world.catalog.read(lambda tx: tx.jobs.find(limit=1000))
    return [job.id for job in found]
