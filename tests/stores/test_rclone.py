"""The store over rclone: the contract over WebDAV and SFTP, and what goes beyond it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.servers.rclone_serve import Serving, serving

from carryall.model.errors import CarryallError, StoreError
from carryall.ports.store import Store
from carryall.stores.rclone.folder import INCOMING
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.store import RcloneStore
from carryall.stores.stack import Rules, stacked
from carryall.testing.fakes import CollectingTelemetry, pattern
from carryall.testing.store_contract import FarSource, StoreContract, source, stored_bytes

KINDS = ["webdav", "sftp"]
on_webdav_alone = pytest.mark.parametrize("server", ["webdav"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give one server of each kind to all tests; each has a folder of its own on it."""
    folder = tmp_path_factory.mktemp(request.param) / "served"
    folder.mkdir()
    with serving(request.param, folder) as running:
        yield running


def new_store(server: Serving, tmp_path: Path, folder: str) -> RcloneStore:
    config = tmp_path / "rclone.conf"
    config.write_text(server.section("far"))
    return RcloneStore("far", RcloneOptions(f"far:{folder}", config=config))


class TestRcloneStore(StoreContract):
    """A remote behind rclone keeps the contract."""

    @pytest.fixture(autouse=True)
    def on_a_server(self, server: Serving) -> None:
        """Remember the server."""
        self.server = server

    async def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give a store in a folder that isn't there yet."""
        store = new_store(self.server, tmp_path, secrets.token_hex(8))
        yield store
        await store.close()


@pytest.fixture
async def store(server: Serving, tmp_path: Path) -> AsyncIterator[RcloneStore]:
    """Give a store in the folder `store` below a new one."""
    made = new_store(server, tmp_path, f"{tmp_path.name}/store")
    yield made
    await made.close()


@pytest.fixture
def served(server: Serving, tmp_path: Path) -> Path:
    """Tell where the store's files lie."""
    return server.folder / tmp_path.name / "store"


def files(served: Path) -> list[str]:
    """List every file, finished or not."""
    return sorted(str(path.relative_to(served)) for path in served.rglob("*") if path.is_file())


def incoming_bytes(served: Path) -> int:
    """Count what has come of files that aren't whole."""
    return sum(path.stat().st_size for path in served.glob(f"{INCOMING}/*"))


ODD = [
    "plain.txt",
    "with a space",
    " begins and ends with one ",
    "ends with a dot.",
    "%25 and %2F",
    "näme ⅓ 名前 🎻.txt",
    "\uff0f and \u201b\uff0f and \uff05",  # rclone writes some characters so where a remote can't have them
    "[brackets]{braces}#hash&and+plus;'quote'",
    "-flag",
    "~",
    "....",
    "e\u0301 decomposed",
    "x" * 200,
]


async def test_names_stay_as_they_are(store: RcloneStore, tmp_path: Path) -> None:
    """Whatever a file is called, it is listed, read and erased by its key."""
    keys = [f"user%3Aalice/{number}/{name}" for number, name in enumerate(ODD)]
    given = source(tmp_path, b"named")
    stored = await asyncio.gather(*(store.put(key, given) for key in keys))

    assert keys == [each.location for each in stored]
    assert sorted(keys) == sorted([found.location async for found in store.list()])
    for key in keys:
        assert b"name" == await stored_bytes(store, key, 0, 4)
        await store.erase(key)
    assert [] == [found async for found in store.list()]


@on_webdav_alone
@pytest.mark.parametrize("key", ["../outside", "user/../../outside", "/root", "a//b", "", f"{INCOMING}/x", "a/."])
async def test_a_key_never_leads_out(store: RcloneStore, served: Path, tmp_path: Path, key: str) -> None:
    """What isn't a path below the remote's folder is refused (threat 1)."""
    given = source(tmp_path, b"x")
    with pytest.raises(StoreError) as raised:
        await store.put(key, given)
    with pytest.raises(StoreError):
        await store.open(key, 0, 1)
    with pytest.raises(StoreError):
        await store.erase(key)

    assert "store_refused" == raised.value.stable_code
    assert not (served.parent / "outside").exists()


@on_webdav_alone
async def test_a_file_lies_at_its_key(store: RcloneStore, served: Path, tmp_path: Path) -> None:
    """People who open the drive find a file under its owner, id and name, and nothing else."""
    await store.put("user%3Aalice/id/a file.txt", source(tmp_path, b"x"))

    assert ["user%3Aalice/id/a file.txt"] == files(served)


@on_webdav_alone
@pytest.mark.parametrize("name", ["\uff0f [x]: %2F", "\u201b"], ids=["odd", "unspeakable"])
async def test_a_local_path_may_be_odd(store: RcloneStore, tmp_path: Path, name: str) -> None:
    """A file of this machine arrives whatever its folder is called, also when rclone can't find it by that."""
    folder = tmp_path / name
    folder.mkdir()

    await store.put("key", source(folder, b"odd"))

    assert b"odd" == await stored_bytes(store, "key", 0, 3)


@on_webdav_alone
async def test_erase_takes_the_files_own_folder(store: RcloneStore, served: Path, tmp_path: Path) -> None:
    """Of a key's folders the one with the file's id goes with it; its owner's stays."""
    given = source(tmp_path, b"x")
    await store.put("alice/1/name", given)
    await store.put("alice/2/name", given)

    await store.erase("alice/1/name")

    assert ["2"] == [path.name for path in (served / "alice").iterdir()]


async def test_a_cancelled_put_leaves_nothing(store: RcloneStore, served: Path, tmp_path: Path) -> None:
    """A put that is cancelled while bytes move is stopped, and what it brought is gone; what was there stays."""
    await store.put("key", source(tmp_path, b"before", "one"))
    given = source(tmp_path, b"\0" * (96 << 20), "two")
    for wanted in (given, FarSource(given)):
        putting = asyncio.ensure_future(store.put("key", wanted))
        async with asyncio.timeout(20):
            while not incoming_bytes(served):  # noqa: ASYNC110  # nobody tells when they come
                await asyncio.sleep(0.001)

        putting.cancel()
        await asyncio.wait([putting])

        assert putting.cancelled()
        assert b"before" == await stored_bytes(store, "key", 0, 6)
        assert ["key"] == [found.location async for found in store.list()]
    async with asyncio.timeout(20):
        while ["key"] != files(served):  # the server hears of a broken stream in its own time
            await store.abort_leftovers(timedelta(seconds=-5))
            await asyncio.sleep(0.01)


@on_webdav_alone
async def test_a_cut_stream_leaves_nothing(store: RcloneStore, served: Path, tmp_path: Path) -> None:
    """A far source that ends early, small or large, is an error of its own, and nothing is left of it."""
    for size in (5, 300_000):
        with pytest.raises(CarryallError) as raised:
            await store.put("key", FarSource(source(tmp_path, pattern(size - 1), size=size)))

        assert "staging_lost" == raised.value.stable_code
        assert [] == [found async for found in store.list()]
        assert not (served / "key").exists()


@pytest.fixture
def blocked(served: Path) -> None:
    """Put a file where a folder is to be."""
    served.mkdir(parents=True)
    (served / INCOMING).write_bytes(b"in the way")


@pytest.mark.usefixtures("blocked")
async def test_a_refusal_is_heard_while_bytes_go(store: RcloneStore, tmp_path: Path) -> None:
    """A remote that fails before all bytes were sent is told by its reason, not by the connection that it ended."""
    given = source(tmp_path, b"\0" * (8 << 20))
    for wanted in (given, FarSource(given)):
        with pytest.raises(StoreError) as raised:
            await store.put("key", wanted)

        assert "broke off" not in raised.value.message


@on_webdav_alone
async def test_leftovers_go_by_their_age(store: RcloneStore, server: Serving, served: Path, tmp_path: Path) -> None:
    """What dead processes left is erased when it is old enough by its name; what isn't ours stays."""
    await store.put("key", source(tmp_path, b"x"))
    incoming = served / INCOMING
    for name in ("20200101T000000Z-00", "20200101T000000Z-01.before", "99990101T000000Z-02", "notes.txt"):
        (incoming / name).write_bytes(b"left")
    server.look_again()

    erased = 0
    async with asyncio.timeout(10):
        while not (erased := await store.abort_leftovers(timedelta(days=1))):  # noqa: ASYNC110  # nor when it has
            await asyncio.sleep(0.01)

    assert 2 == erased
    assert ["99990101T000000Z-02", "notes.txt"] == sorted(path.name for path in incoming.iterdir())
    assert ["key"] == [found.location async for found in store.list()]


@on_webdav_alone
async def test_what_was_there_comes_back(store: RcloneStore, served: Path, tmp_path: Path) -> None:
    """When the new bytes can't take their name, the old ones have it again."""
    await store.put("key", source(tmp_path, b"before", "one"))
    putting = await store._opened()
    move = putting.folder.rc.call_once
    moves: list[str] = []

    async def failing(command: str, **params: str) -> object:
        moves.append(params["dstRemote"])
        if len(moves) == 2:
            raise StoreError("Refused.", retryable=True)
        return await move(command, **params)

    object.__setattr__(putting.folder.rc, "call_once", failing)
    with pytest.raises(StoreError):
        await store.put("key", source(tmp_path, b"after!", "two"))

    assert 3 == len(moves)
    assert b"before" == await stored_bytes(store, "key", 0, 6)
    assert ["key"] == files(served)


async def test_many_go_at_once(store: RcloneStore, tmp_path: Path) -> None:
    """Files of one owner may be put, read and erased at the same time: what a remote has locked is tried again."""
    steady = stacked(store, Rules(), CollectingTelemetry())
    given = [source(tmp_path, pattern(10_000 + number), f"s{number}") for number in range(8)]

    async def lives(number: int) -> None:
        stored = await steady.put(f"alice/{number}/name", given[number])
        assert pattern(10_000 + number) == await stored_bytes(steady, stored.location, 0, stored.size)
        await steady.erase(stored.location)

    await asyncio.gather(*(lives(number) for number in range(8)))

    assert [] == [found async for found in store.list()]
