"""What every store must do: subclass StoreContract, say how to make one, and pass."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from carryall.model.errors import CarryallError, Missing
from carryall.operations.sources import PathSource
from carryall.ports.body import CHUNK_MAX_BYTES
from carryall.ports.store import Reading, Store, Stored
from carryall.testing.fakes import pattern

_KEY = "Az09._-" + "k" * 193  # every kind of character, and as long as keys may be


def source(
    folder: Path, content: bytes, name: str = "source", *, size: int | None = None, digest: str | None = None
) -> PathSource:
    """Write a local file, as staging would hand it to a store. `size` and `digest` may claim something else."""
    path = folder / name
    path.write_bytes(content)
    return PathSource(
        path=path,
        size=len(content) if size is None else size,
        name=f"{name}.txt",
        media_type="text/plain",
        sha256=hashlib.sha256(content).hexdigest() if digest is None else digest,
    )


async def stored_bytes(store: Store, location: str, start: int, stop: int) -> bytes:
    """Read a range, and check that its chunks are as the contract says."""
    reading = await store.open(location, start, stop)
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
            store = MyStore("mine", tmp_path / "files")
            yield store
            await store.close()

    The store stands alone, without the wrappers of `stores.stack`.
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
        given = source(tmp_path, pattern(size))

        stored = await store.put(_KEY, given)

        assert pattern(size) == await stored_bytes(store, stored.location, 0, size)
        assert (stored.location, size, stored.tag) == placed(await store.stat(stored.location))
        assert size == stored.size
        assert pattern(size) == given.path.read_bytes()

    async def test_what_was_put_outlives_its_source(self, store: Store, tmp_path: Path) -> None:
        """The source may be removed as soon as put has returned."""
        given = source(tmp_path, b"carried")
        stored = await store.put("key", given)

        given.path.unlink()

        assert b"carried" == await stored_bytes(store, stored.location, 0, 7)

    async def test_a_source_needn_t_be_on_this_machine(self, store: Store, tmp_path: Path) -> None:
        """What comes out of another store is read range by range."""
        size = CHUNK_MAX_BYTES * 2 + 5

        stored = await store.put("key", FarSource(source(tmp_path, pattern(size))))

        assert pattern(size) == await stored_bytes(store, stored.location, 0, size)

    async def test_progress_is_told(self, store: Store, tmp_path: Path) -> None:
        """Who asks is told how much has been taken; in the end that is all of it."""
        told: list[int] = []

        await store.put("key", source(tmp_path, pattern(100_000)), sent=told.append)

        assert 100_000 == told[-1]

    @pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (3, 9), (17, 18), (99, 100), (0, 100)])
    async def test_ranges_are_half_open(self, store: Store, tmp_path: Path, start: int, stop: int) -> None:
        """A range begins at its start and ends before its stop."""
        stored = await store.put("key", source(tmp_path, pattern(100)))

        assert pattern(100)[start:stop] == await stored_bytes(store, stored.location, start, stop)

    async def test_put_is_idempotent(self, store: Store, tmp_path: Path) -> None:
        """The same key and bytes once more change nothing and succeed: a job may run twice."""
        given = source(tmp_path, b"same")
        await store.put("key", given)

        stored = await store.put("key", given)

        assert b"same" == await stored_bytes(store, stored.location, 0, 4)
        assert [stored.location] == [found.location async for found in store.list()]

    @pytest.mark.parametrize("content", [b"second", b"a longer second"])
    async def test_put_replaces_a_key_whole(self, store: Store, tmp_path: Path, content: bytes) -> None:
        """Other bytes under a key that an unfinished completion left take its place, whatever their number."""
        await store.put("key", source(tmp_path, b"first!", "one"))

        stored = await store.put("key", source(tmp_path, content, "two"))

        assert content == await stored_bytes(store, stored.location, 0, len(content))
        assert [stored.location] == [found.location async for found in store.list()]

    async def test_a_reader_keeps_the_file_it_opened(self, store: Store, tmp_path: Path) -> None:
        """Erasing doesn't cut the readers that are on their way."""
        size = CHUNK_MAX_BYTES * 3
        stored = await store.put("key", source(tmp_path, pattern(size)))
        reading = await store.open(stored.location, 0, size)
        chunks = aiter(reading)
        first = await anext(chunks)

        await store.erase(stored.location)

        assert pattern(size) == first + b"".join([chunk async for chunk in chunks])
        await reading.aclose()

    async def test_a_failed_put_leaves_nothing(self, store: Store, tmp_path: Path) -> None:
        """Fewer bytes than announced are an error, and no reader ever sees them."""
        with pytest.raises(CarryallError):
            await store.put("key", source(tmp_path, b"cut", size=4))

        assert [] == [found async for found in store.list()]

    async def test_a_failed_put_harms_nothing(self, store: Store, tmp_path: Path) -> None:
        """What a key had before a put that failed, it has after it."""
        stored = await store.put("key", source(tmp_path, b"before", "one"))

        with pytest.raises(CarryallError):
            await store.put("key", source(tmp_path, b"cut", "two", size=4))

        assert b"before" == await stored_bytes(store, stored.location, 0, 6)

    async def test_a_cancelled_put_is_all_or_nothing(self, store: Store, tmp_path: Path) -> None:
        """Cancelled at any point, put has stored the file whole or not at all."""
        size = CHUNK_MAX_BYTES * 2
        given = source(tmp_path, pattern(size))
        for steps in range(8):
            putting = asyncio.ensure_future(store.put(f"key{steps}", given))
            for _ in range(steps):
                await asyncio.sleep(0)
            putting.cancel()
            await asyncio.wait([putting])

        async for found in store.list():
            assert pattern(size) == await stored_bytes(store, found.location, 0, size)

    async def test_missing_is_told_at_open(self, store: Store, tmp_path: Path) -> None:
        """What isn't there is Missing before the first chunk: the answer's status depends on it."""
        gone = await store.put("key", source(tmp_path, b"x"))
        await store.erase(gone.location)

        with pytest.raises(Missing):
            await store.open(gone.location, 0, 1)
        with pytest.raises(Missing):
            await store.stat(gone.location)

    async def test_erase_is_idempotent(self, store: Store, tmp_path: Path) -> None:
        """Erased is gone, and erasing what isn't there is no error."""
        stored = await store.put("key", source(tmp_path, b"x"))

        for _ in range(2):
            await store.erase(stored.location)

        assert [] == [found async for found in store.list()]

    async def test_a_key_can_be_erased(self, store: Store, tmp_path: Path) -> None:
        """After a crash nobody may know where a put has got to: its key is enough to take it back."""
        await store.put(_KEY, source(tmp_path, b"x"))

        await store.erase(_KEY)

        assert [] == [found async for found in store.list()]

    async def test_list_gives_every_file_once(self, store: Store, tmp_path: Path) -> None:
        """The walk finds every file, with its size and an age that isn't negative."""
        given = source(tmp_path, b"12345")
        locations = {(await store.put(f"key-{number}", given)).location for number in range(20)}

        found = [stored async for stored in store.list()]

        assert sorted(locations) == sorted(stored.location for stored in found)
        assert {5} == {stored.size for stored in found}
        assert all(0 <= stored.age_s < 3600 for stored in found)

    async def test_links_are_as_declared(self, store: Store, tmp_path: Path) -> None:
        """A store that says it has links gives one, the same each time; the others give none."""
        stored = await store.put("key", source(tmp_path, b"linked"))

        links = [await store.link(stored.location) for _ in range(2)]

        assert store.capabilities.has_links == (links[0] is not None)
        assert links[0] is None or "://" in links[0]

    async def test_room_is_as_declared(self, store: Store) -> None:
        """A store that says it knows its room tells the free bytes, and never less than none."""
        room = await store.about()

        assert store.capabilities.has_room == (room.free is not None)
        assert (room.free or 0) >= 0

    async def test_is_ready(self, store: Store) -> None:
        """A store that works says so, and has a name."""
        await store.ready()

        assert store.name


def placed(stored: Stored) -> tuple[str, int, str | None]:
    """Give what doesn't change with time."""
    return stored.location, stored.size, stored.tag


@dataclass(frozen=True, slots=True)
class FarSource:
    """A source whose bytes lie elsewhere: it has no path. Implements `ports.store.Source`."""

    near: PathSource
    path: None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.near.size

    @property
    def name(self) -> str:
        """What people call it."""
        return self.near.name

    @property
    def media_type(self) -> str:
        """What it is served as."""
        return self.near.media_type

    @property
    def sha256(self) -> str:
        """Lower-case hexadecimal."""
        return self.near.sha256

    async def open(self, start: int, stop: int) -> Reading:
        """Open the half-open range."""
        return await self.near.open(start, stop)
