"""MEGA by rclone's own backend: the second way to the same account, with links and room, and without streams."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.servers.mega.launch import FakeMega
from tests.servers.rclone_serve import obscured

from carryall.model.errors import Missing, NoRoom, StoreError
from carryall.ports.body import CHUNK_MAX_BYTES
from carryall.ports.store import Store
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.room import Room
from carryall.stores.rclone.store import RcloneStore
from carryall.testing.fakes import pattern
from carryall.testing.store_contract import FarSource, StoreContract, source, stored_bytes

EMAIL = "box@example.com"
PASSWORD = "open sesame"


@pytest.fixture(scope="module")
def mega(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeMega]:
    """Give one MEGA with one account to all tests; each has a folder of its own."""
    with FakeMega(tmp_path_factory.mktemp("mega")) as running:
        running.account(EMAIL, PASSWORD, version=1)
        yield running


def new_store(mega: FakeMega, tmp_path: Path, folder: str, *, password: str = PASSWORD) -> RcloneStore:
    config = tmp_path / "rclone.conf"
    config.write_text(f"[box]\ntype = mega\nuser = {EMAIL}\npass = {obscured(password)}\nhard_delete = true\n")
    return RcloneStore("box", RcloneOptions(f"box:{folder}", config=config, environment={"X_MEGA_API_URL": mega.url}))


@pytest.mark.long
class TestRcloneMega(StoreContract):
    """MEGA behind rclone keeps the contract."""

    @pytest.fixture(autouse=True)
    def on_a_server(self, mega: FakeMega) -> None:
        """Remember the server."""
        self.mega = mega

    async def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give a store in a folder that isn't there yet."""
        store = new_store(self.mega, tmp_path, tmp_path.parent.name)
        await store.ready()
        yield store
        await store.close()

    async def test_a_reader_keeps_the_file_it_opened(self, store: Store, tmp_path: Path) -> None:
        """MEGA cuts readers of what is erased; they are told so."""
        size = CHUNK_MAX_BYTES * 3
        stored = await store.put("key", source(tmp_path, pattern(size)))
        reading = await store.open(stored.location, 0, size)
        chunks = aiter(reading)
        first = await anext(chunks)

        await store.erase(stored.location)

        read = first
        with suppress(StoreError):
            async for chunk in chunks:
                read += chunk
            assert size == len(read)
        assert pattern(size).startswith(read)
        await reading.aclose()


@pytest.fixture
async def store(mega: FakeMega, tmp_path: Path) -> AsyncIterator[RcloneStore]:
    """Give a store in a new folder."""
    made = new_store(mega, tmp_path, tmp_path.name)
    yield made
    await made.close()


async def test_capabilities_come_with_the_first_contact(store: RcloneStore) -> None:
    """Before anybody asked the remote, nothing is promised."""
    before = store.capabilities
    await store.ready()

    assert (False, False) == (before.has_links, before.has_room)
    assert (True, True) == (store.capabilities.has_links, store.capabilities.has_room)


async def test_it_is_the_same_account(store: RcloneStore, mega: FakeMega, tmp_path: Path) -> None:
    """What is put by rclone lies in the account at its key, whole and under one name, also when it is replaced."""
    key, path = "user%3Aalice/1/a name.bin", f"/{tmp_path.name}/user%3Aalice/1/a name.bin"
    for size in (300_001, 300_002):
        await store.put(key, source(tmp_path, pattern(size)))

        inside = {at: node for at, node in mega.files(EMAIL).items() if at.startswith(f"/{tmp_path.name}/")}
        assert [path] == list(inside)
        assert pattern(size) == mega.bytes(inside[path]["handle"])
        assert pattern(size)[99:200_000] == await stored_bytes(store, key, 99, 200_000)
    await store.erase(key)
    assert not [at for at in mega.files(EMAIL) if at.startswith(f"/{tmp_path.name}/")]


async def test_it_has_links_and_room(store: RcloneStore, tmp_path: Path) -> None:
    """A link is the same each time, of what isn't there there is none, and the room is told in bytes."""
    await store.put("key", source(tmp_path, b"linked"))

    links = {await store.link("key") for _ in range(2)}
    room = await store.about()

    assert 1 == len(links)
    assert str(links.pop()).startswith("https://mega")
    with pytest.raises(Missing):
        await store.link("other")
    assert room.total is not None
    assert (room.used or 0) + (room.free or 0) == room.total


async def test_a_stream_that_must_be_spooled_needs_room(
    store: RcloneStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MEGA wants the size first: rclone spools a far source, one at a time, if this machine's disk has room for it."""
    far = FarSource(source(tmp_path, b"spooled"))
    await asyncio.gather(*(store.put(f"key{number}", far) for number in range(3)))
    assert b"spooled" == await stored_bytes(store, "key2", 0, 7)

    monkeypatch.setattr(Room, "free_bytes", 1000)
    with pytest.raises(NoRoom):
        await store.put("key", far)
    await store.put("key", far.near)


async def test_a_wrong_password(mega: FakeMega, tmp_path: Path) -> None:
    """MEGA says of a wrong password that there is no such object; we say what it means."""
    store = new_store(mega, tmp_path, "x", password="wrong")

    with pytest.raises(StoreError) as raised:
        await store.ready()
    await store.close()

    assert "store_credentials" == raised.value.stable_code
