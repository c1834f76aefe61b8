"""What every store must do: subclass StoreContract, say how to make one, and pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from carryall.model.errors import CarryallError, Missing
from carryall.ports.body import CHUNK_MAX_BYTES
from carryall.ports.store import Store
from carryall.testing.fakes import pattern

_KEY = "Az09._-" + "k" * 193  # every kind of character, and as long as keys may be


def source(folder: Path, content: bytes, name: str = "source") -> Path:
    """Write a local file, as staging would hand it to a store."""
    path = folder / name
    path.write_bytes(content)
    return path


async def stored_bytes(store: Store, key: str, start: int, stop: int) -> bytes:
    """Read a range, and check that its chunks are as the contract says."""
    reading = await store.open(key, start, stop)
    try:
        chunks = [chunk async for chunk in reading]
    finally:
        await reading.aclose()
        await reading.aclose()  # twice is once
    assert all(0 < len(chunk) <= CHUNK_MAX_BYTES for chunk in chunks)
    return b"".join(chunks)


class StoreContract:
    """The contract of `ports.store.Store`. Needs pytest-asyncio with `asyncio_mode = "auto"`.

    class TestMyStore(StoreContract):
        async def make_store(self, tmp_path):
            store = MyStore(tmp_path / "files")
            yield store
            await store.close()
    """

    def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give an empty store, then take it down: an async generator that yields once."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give the store under test, in a folder of its own."""
        folder = tmp_path / "store"
        folder.mkdir()
        async with asynccontextmanager(self.make_store)(folder) as made:
            yield made

    @pytest.mark.parametrize("size", [0, 1, 4096, CHUNK_MAX_BYTES, CHUNK_MAX_BYTES * 2 + 1])
    async def test_what_was_put_is_read(self, store: Store, tmp_path: Path, size: int) -> None:
        """After put the bytes are there, whole, whatever their number; the source is left as it was."""
        path = source(tmp_path, pattern(size))

        await store.put(_KEY, path, size=size, media_type="application/octet-stream")

        assert pattern(size) == await stored_bytes(store, _KEY, 0, size)
        assert size == (await store.stat(_KEY)).size
        assert pattern(size) == path.read_bytes()

    async def test_what_was_put_outlives_its_source(self, store: Store, tmp_path: Path) -> None:
        """The source may be removed as soon as put has returned."""
        path = source(tmp_path, b"carried")
        await store.put("key", path, size=7, media_type="text/plain")

        path.unlink()

        assert b"carried" == await stored_bytes(store, "key", 0, 7)

    @pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (3, 9), (99, 100), (0, 100)])
    async def test_ranges_are_half_open(self, store: Store, tmp_path: Path, start: int, stop: int) -> None:
        """A range begins at its start and ends before its stop."""
        await store.put("key", source(tmp_path, pattern(100)), size=100, media_type="text/plain")

        assert pattern(100)[start:stop] == await stored_bytes(store, "key", start, stop)

    async def test_put_is_idempotent(self, store: Store, tmp_path: Path) -> None:
        """The same key and bytes once more change nothing and succeed: a job may run twice."""
        path = source(tmp_path, b"same")
        for _ in range(2):
            await store.put("key", path, size=4, media_type="text/plain")

        assert b"same" == await stored_bytes(store, "key", 0, 4)
        assert ["key"] == [stored.key async for stored in store.list()]

    @pytest.mark.parametrize("content", [b"second", b"a longer second"])
    async def test_put_replaces_a_key_whole(self, store: Store, tmp_path: Path, content: bytes) -> None:
        """Other bytes under a key that an unfinished completion left take its place, whatever their number."""
        await store.put("key", source(tmp_path, b"first!", "one"), size=6, media_type="text/plain")

        await store.put("key", source(tmp_path, content, "two"), size=len(content), media_type="text/plain")

        assert content == await stored_bytes(store, "key", 0, len(content))
        assert ["key"] == [stored.key async for stored in store.list()]

    async def test_a_reader_keeps_the_file_it_opened(self, store: Store, tmp_path: Path) -> None:
        """Erasing a key doesn't cut the readers that have it open."""
        size = CHUNK_MAX_BYTES * 3
        await store.put("key", source(tmp_path, pattern(size)), size=size, media_type="text/plain")
        reading = await store.open("key", 0, size)
        chunks = aiter(reading)
        first = await anext(chunks)

        await store.erase("key")

        assert pattern(size) == first + b"".join([chunk async for chunk in chunks])
        await reading.aclose()

    async def test_a_failed_put_leaves_nothing(self, store: Store, tmp_path: Path) -> None:
        """Fewer bytes than announced are an error, and no reader ever sees them."""
        path = source(tmp_path, b"cut")

        with pytest.raises(CarryallError):
            await store.put("key", path, size=4, media_type="text/plain")

        with pytest.raises(Missing):
            await store.stat("key")

    async def test_a_failed_put_harms_nothing(self, store: Store, tmp_path: Path) -> None:
        """What a key had before a put that failed, it has after it."""
        await store.put("key", source(tmp_path, b"before", "one"), size=6, media_type="text/plain")

        with pytest.raises(CarryallError):
            await store.put("key", source(tmp_path, b"cut", "two"), size=4, media_type="text/plain")

        assert b"before" == await stored_bytes(store, "key", 0, 6)

    async def test_a_cancelled_put_is_all_or_nothing(self, store: Store, tmp_path: Path) -> None:
        """Cancelled at any point, put has stored the file whole or not at all."""
        size = CHUNK_MAX_BYTES * 2
        path = source(tmp_path, pattern(size))
        for steps in range(8):
            key = f"key{steps}"
            putting = asyncio.ensure_future(store.put(key, path, size=size, media_type="text/plain"))
            for _ in range(steps):
                await asyncio.sleep(0)
            putting.cancel()
            await asyncio.wait([putting])
            try:
                assert size == (await store.stat(key)).size
            except Missing:
                continue
            assert pattern(size) == await stored_bytes(store, key, 0, size)

    async def test_missing_is_told_at_open(self, store: Store) -> None:
        """A key that isn't there is Missing before the first chunk: the answer's status depends on it."""
        with pytest.raises(Missing):
            await store.open("nothing", 0, 1)
        with pytest.raises(Missing):
            await store.stat("nothing")

    async def test_erase_is_idempotent(self, store: Store, tmp_path: Path) -> None:
        """Erased is gone, and erasing what isn't there is no error."""
        await store.put("key", source(tmp_path, b"x"), size=1, media_type="text/plain")

        for _ in range(2):
            await store.erase("key")

        with pytest.raises(Missing):
            await store.open("key", 0, 1)
        assert [] == [stored.key async for stored in store.list()]

    async def test_list_gives_every_key_once(self, store: Store, tmp_path: Path) -> None:
        """The walk finds every key, with its size and an age that isn't negative."""
        path = source(tmp_path, b"12345")
        keys = {f"key-{number}" for number in range(20)}
        for key in keys:
            await store.put(key, path, size=5, media_type="text/plain")

        found = [stored async for stored in store.list()]

        assert sorted(keys) == sorted(stored.key for stored in found)
        assert {5} == {stored.size for stored in found}
        assert all(0 <= stored.age_s < 3600 for stored in found)

    async def test_is_ready(self, store: Store) -> None:
        """A store that works says so, and has a name."""
        await store.ready()

        assert store.name
