"""Reading from MEGA, links to it, and the folder that our files are in."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.servers.mega.launch import FakeMega

from carryall.model.errors import Missing, StoreError
from carryall.ports.store import Reading
from carryall.stores.mega.crypto import FileKey, counter
from carryall.stores.mega.download import MegaReading
from carryall.stores.mega.nodes import Place
from carryall.stores.mega.store import MegaStore
from carryall.stores.mega.wire import Wire
from carryall.testing.fakes import pattern
from carryall.testing.store_contract import source, stored_bytes

SIZE = 400_000
EMAIL = "new@example.com"

NewStore = Callable[..., MegaStore]


def handle(location: str) -> str:
    """Give the node of a location."""
    return location.partition(":")[0]


async def read(store: MegaStore, location: str, start: int = 0, stop: int = SIZE) -> bytes:
    """Read a range of the pattern."""
    return await stored_bytes(store, location, start, stop)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 15), (1, 17), (15, 16), (16, 32), (131_071, 131_073), (399_999, 400_000), (200_001, 400_000)],
)
async def test_any_range_is_decrypted(store: MegaStore, tmp_path: Path, start: int, stop: int) -> None:
    """A range begins and ends anywhere, whatever AES' blocks and MEGA's chunks are."""
    stored = await store.put("key", source(tmp_path, pattern(SIZE)))

    assert pattern(SIZE)[start:stop] == await read(store, stored.location, start, stop)


@pytest.mark.parametrize(
    "fault", [{"cut_after": 100_003}, {"status": 403}, {"status": 404}, {"status": 500}, {"cut": True}], ids=str
)
async def test_a_broken_download_is_gone_on_with(
    mega: FakeMega, store: MegaStore, tmp_path: Path, fault: dict[str, object]
) -> None:
    """The reader gets every byte once, although the connection breaks or the address is over."""
    stored = await store.put("key", source(tmp_path, pattern(SIZE)))
    mega.fault("dl", **fault)

    assert pattern(SIZE)[7:] == await read(store, stored.location, 7)


async def test_an_address_may_be_over_when_it_is_needed_again(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """A download that breaks when its address is over goes on at another one."""
    stored = await store.put("key", source(tmp_path, pattern(SIZE)))
    mega.fault("dl", cut_after=100_003)
    reading = await store.open(stored.location, 0, SIZE)
    mega.expire("downloads")

    assert pattern(SIZE) == b"".join([chunk async for chunk in reading])
    await reading.aclose()


async def until_it_fails(reading: Reading) -> tuple[bytes, StoreError]:
    """Read to the error that has to come; give what came before it, and the error."""
    came = bytearray()

    async def drain() -> None:
        async for chunk in reading:
            came.extend(chunk)

    with pytest.raises(StoreError) as caught:
        await drain()
    await reading.aclose()
    return bytes(came), caught.value


async def test_a_download_that_always_breaks_fails(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """It is told in the end, and what came before is right."""
    stored = await store.put("key", source(tmp_path, pattern(SIZE)))
    mega.fault("dl", cut_after=100_000)
    mega.fault("dl", cut=True, times=100)

    came, error = await until_it_fails(await store.open(stored.location, 0, SIZE))

    assert ("store_unreachable", True) == (error.stable_code, error.retryable)
    assert came == pattern(SIZE)[: len(came)]


async def test_a_whole_file_is_checked(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Who reads all of it gets the right bytes, or an error before the last ones."""
    stored = await store.put("key", source(tmp_path, pattern(SIZE)))
    mega.fault("dl", flip=5)

    came, error = await until_it_fails(await store.open(stored.location, 0, SIZE))

    assert ("store_damaged", True) == (error.stable_code, error.retryable)
    assert len(came) < SIZE
    assert pattern(SIZE) == await read(store, stored.location)


class Known:
    """A session that knows one file, of 100 bytes."""

    def __init__(self, url: str) -> None:
        self.api = self
        self._url = url

    async def ask(self, _: dict[str, object], **__: object) -> dict[str, object]:
        """Give its address."""
        return {"g": self._url, "s": 100}

    def secured(self, url: str) -> str:
        """Leave it as it is."""
        return url


@pytest.mark.parametrize("answer", [b"too much", b""])
async def test_what_comes_isn_t_trusted(answer: bytes) -> None:
    """More bytes than were asked for go no further; a download without any is tried again, but not for ever."""

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=answer)

    app = web.Application()
    app.router.add_get("/dl/0-2", give)
    connections, key = Wire(), FileKey(bytes(16), bytes(8))
    async with TestServer(app) as server:
        known = Known(str(server.make_url("/dl")))
        reading = await MegaReading(known, connections, Place("AbCdEfGh", key, ""), 0, 3).begin()
        if answer:
            assert [counter(key, 0).update(answer[:3])] == [chunk async for chunk in reading]
        else:
            with pytest.raises(StoreError, match="too early"):
                await anext(aiter(reading))
        await reading.aclose()
        await connections.close()


async def test_the_transfer_quota_is_told(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Who comes back later is told when."""
    stored = await store.put("key", source(tmp_path, b"x"))
    mega.fault("dl", status=509, time_left_s=1234)

    with pytest.raises(StoreError) as caught:
        await store.open(stored.location, 0, 1)

    assert ("store_busy", True, 1234) == (
        caught.value.stable_code,
        caught.value.retryable,
        caught.value.retry_after_s,
    )


async def test_what_was_taken_down(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """A file that MEGA took down is refused, whoever asks, and so is its link."""
    stored = await store.put("key", source(tmp_path, b"x"))
    mega.change(handle(stored.location), is_taken_down=True)

    for asking in (store.open(stored.location, 0, 1), store.stat(stored.location), store.link(stored.location)):
        with pytest.raises(StoreError) as caught:
            await asking
        assert ("store_refused", False) == (caught.value.stable_code, caught.value.retryable)


@pytest.mark.parametrize("location", ["AbCdEfGh:AAAA", "AbCdEfGh:ü", "AbCdEfGh", "", f"AbCdEfGh:{'A' * 43}"])
async def test_what_is_no_location_is_missing(store: MegaStore, location: str) -> None:
    """What isn't there is missing, and so is what never was a place."""
    for asking in (store.open(location, 0, 1), store.stat(location), store.link(location)):
        with pytest.raises(Missing):
            await asking
    await store.erase(location)


async def test_reading_needs_no_tree(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """A location is enough to read, link and erase: the account's tree may be large."""
    stored = await new_store().put("key", source(tmp_path, b"carried"))
    mega.clear()
    again = new_store()

    assert b"carried" == await read(again, stored.location, 0, 7)
    assert await again.link(stored.location)
    await again.erase(stored.location)
    assert 0 == mega.count("f")


async def test_the_tree_is_asked_for_once(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """However many files are put; the folder is made in the first one's turn."""
    await new_store().put("key", source(tmp_path, b"x"))
    mega.clear()
    store = new_store()

    for number in range(3):
        await store.put(f"key-{number}", source(tmp_path, b"x"))

    assert 1 == mega.count("f")


async def test_the_link_is_megas(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """It names the public file and holds the whole key; who has both needs nothing else."""
    stored = await store.put("key", source(tmp_path, b"x"))

    link = await store.link(stored.location)

    public = mega.files(EMAIL)[f"/{tmp_path.name}/source.txt"]["link"]
    assert link is not None
    assert link.startswith(f"https://mega.nz/file/{public}#")
    assert 43 == len(link.partition("#")[2])


async def test_a_link_doesn_t_tell_the_key(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Who has a link reads the attributes too: what the file is called, and nothing that opens a door of ours."""
    stored = await store.put("0123456789-key", source(tmp_path, b"x"))

    (node,) = [node for node in mega.nodes(EMAIL) if node["handle"] == handle(stored.location)]

    assert {"n", "cam", "cah", "cat"} == set(node["attributes"])
    assert "0123456789-key" not in str(node["attributes"])


@pytest.mark.parametrize(
    ("name", "shown"), [("Grüße 🎈.txt", "Grüße 🎈.txt"), ('a/b\\c:"*?<>|\n.txt', "a_b_c________.txt"), ("", "_")]
)
async def test_names_are_peoples(mega: FakeMega, store: MegaStore, tmp_path: Path, name: str, shown: str) -> None:
    """A file has its own name, but for what MEGA's programs couldn't write to a disk."""
    given = source(tmp_path, b"x")
    stored = await store.put("key", type(given)(given.path, 1, name, "text/plain", given.sha256))

    assert shown == {node["handle"]: node["name"] for node in mega.nodes(EMAIL)}[handle(stored.location)]


async def test_ages_are_by_megas_clock(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Whatever our own clock says."""
    stored = await store.put("key", source(tmp_path, b"x"))
    mega.change(handle(stored.location), ts=int(datetime.now(UTC).timestamp()) - 1000)

    (found,) = [each async for each in store.list()]

    assert 990 < found.age_s < 1100
    assert 0 <= (await store.stat(stored.location)).age_s < 60


async def test_nothing_is_lost_between_folders(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """Processes that made the folder at the same moment find each other's files; what is new goes into the oldest."""
    stores = [new_store() for _ in range(4)]
    given = source(tmp_path, b"x")
    for store in stores:
        await store._folder.nodes()
    for store in stores[:2]:
        await store._folder._make()  # neither knows of the other's
    for number, store in enumerate(stores):
        await store.put(f"{number}", given)
    folders = [node for node in mega.nodes(EMAIL) if node["name"] == tmp_path.name]
    parents = {node["handle"]: node["parent"] for node in mega.nodes(EMAIL)}
    (unused,) = [folder for folder in folders if folder["handle"] not in parents.values()]
    mega.change(unused["handle"], ts=unused["ts"] - 1000)

    for store in (*stores, new_store()):
        assert 4 == len([found async for found in store.list()])
    stored = await stores[0].put("new", given)

    parents = {node["handle"]: node["parent"] for node in mega.nodes(EMAIL)}
    assert unused["handle"] == parents[handle(stored.location)]


async def test_a_folder_that_is_gone_is_made_again(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Somebody removed it: the put that finds out fails, the next one makes a new one."""
    await store.put("key", source(tmp_path, b"x"))
    (folder,) = [node["handle"] for node in mega.nodes(EMAIL) if node["name"] == tmp_path.name]
    await store.erase(f"{folder}:x")

    with pytest.raises(StoreError) as caught:
        await store.put("other", source(tmp_path, b"y"))
    stored = await store.put("other", source(tmp_path, b"y"))

    assert caught.value.retryable
    assert b"y" == await read(store, stored.location, 0, 1)


async def test_the_room_is_remembered(mega: FakeMega, store: MegaStore) -> None:
    """MEGA is asked at most every few minutes."""
    rooms = [await store.about() for _ in range(3)]

    assert 1 == mega.count("uq")
    assert 20 << 30 == rooms[0].total


async def test_closing_early_is_fine(store: MegaStore, tmp_path: Path) -> None:
    """Who has read enough closes, and the store goes on."""
    stored = await store.put("key", source(tmp_path, pattern(SIZE)))
    reading = await store.open(stored.location, 0, SIZE)

    async for _ in reading:
        break
    await reading.aclose()

    assert pattern(SIZE) == await read(store, stored.location)
