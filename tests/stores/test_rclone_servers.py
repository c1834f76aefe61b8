"""Servers with other opinions than rclone's own: FTP, and WsgiDAV."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.servers.rclone_serve import Serving, serving, serving_by_wsgidav

from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.store import RcloneStore
from carryall.testing.fakes import pattern
from carryall.testing.store_contract import FarSource, source, stored_bytes


@pytest.fixture(scope="module", params=["ftp", "wsgidav"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give each server to all tests."""
    folder = tmp_path_factory.mktemp(request.param) / "served"
    folder.mkdir()
    with serving("ftp", folder) if request.param == "ftp" else serving_by_wsgidav(folder) as running:
        yield running


@pytest.fixture
async def store(server: Serving, tmp_path: Path) -> AsyncIterator[RcloneStore]:
    """Give a store in a new folder."""
    config = tmp_path / "rclone.conf"
    config.write_text(server.section("far"))
    made = RcloneStore("far", RcloneOptions(f"far:{tmp_path.name}", config=config))
    yield made
    await made.close()


async def test_a_files_life(store: RcloneStore, tmp_path: Path) -> None:
    """Put, replaced by as many bytes, told, listed, read in ranges, erased: near and far."""
    await store.ready()
    key = "user%3Aalice/1/a näme ⅓.bin"
    for number, size in enumerate((0, 5, 5, 2_500_000)):
        content = bytes([number]) + pattern(size - 1) if size else b""
        near = source(tmp_path, content)

        stored = await store.put(key, FarSource(near) if number % 2 else near)

        assert (key, size) == (stored.location, stored.size)
        assert [(key, size)] == [(found.location, found.size) async for found in store.list()]
        assert content == await stored_bytes(store, key, 0, size)
        assert content[size // 3 : size // 2] == await stored_bytes(store, key, size // 3, size // 2)
    for _ in range(2):
        await store.erase(key)
    assert [] == [found async for found in store.list()]


async def test_an_unfinished_read_harms_no_other(store: RcloneStore, tmp_path: Path) -> None:
    """A reader that goes away early, as FTP servers dislike, leaves a store that works."""
    size = 8 << 20
    await store.put("key", source(tmp_path, pattern(size)))
    for _ in range(3):
        reading = await store.open("key", 0, size)
        await anext(aiter(reading))
        await reading.aclose()

    assert pattern(size)[-9:] == await stored_bytes(store, "key", size - 9, size)
