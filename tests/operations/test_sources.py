"""Files on their way into a store are read as they lie there: in ranges, again, and several at once."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carryall.model.errors import Missing, StoreError
from carryall.model.file import Copy, CopyState, File
from carryall.operations.pace import Pace
from carryall.operations.sources import CopySource, PathSource
from carryall.ports.store import Reading
from carryall.stores.local import LocalStore
from carryall.testing.fakes import ScriptedStore, pattern
from carryall.testing.store_contract import source

SIZE = (2 << 20) + 5
BYTES = pattern(SIZE)


async def read(reading: Reading) -> bytes:
    """Give what it gives, and close it, twice."""
    try:
        return b"".join([chunk async for chunk in reading])
    finally:
        await reading.aclose()
        await reading.aclose()


def a_file(size: int = SIZE) -> File:
    """Give a file of these bytes."""
    return File(
        "id", "short", "alice", "v1", "höhe.bin", size, "ab" * 32, "text/plain", datetime(2026, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (1 << 20, (1 << 20) + 1), (5, SIZE), (0, SIZE)])
async def test_ranges_are_half_open(tmp_path: Path, start: int, stop: int) -> None:
    """Any of them, from the disk or out of a store."""
    there = ScriptedStore("s3")
    there.files["place"] = BYTES
    copied = CopySource(a_file(), Copy("s3", "key", CopyState.STORED, location="place"), there)

    for one in (source(tmp_path, BYTES), copied):
        assert BYTES[start:stop] == await read(await one.open(start, stop))
        assert BYTES[start:stop] == await read(await one.open(start, stop))


async def test_ranges_are_read_at_once(tmp_path: Path) -> None:
    """None of them moves another one's place."""
    given = source(tmp_path, BYTES)
    middle = SIZE // 2

    halves = await asyncio.gather(read(await given.open(0, middle)), read(await given.open(middle, SIZE)))

    assert BYTES == b"".join(halves)


async def test_staged_bytes_that_are_gone(tmp_path: Path) -> None:
    """They are told from a store that fails, before the first byte and behind the last one."""
    given = source(tmp_path, b"content", size=9)
    with pytest.raises(StoreError) as short:
        await read(await given.open(0, 9))
    given.path.unlink()
    with pytest.raises(StoreError) as gone:
        await given.open(0, 9)

    assert ["staging_lost"] * 2 == [short.value.stable_code, gone.value.stable_code]
    assert [False, True] == [short.value.retryable, gone.value.retryable]


async def test_a_copy_is_what_its_file_is(tmp_path: Path) -> None:
    """Its name, type, size and digest are the file's; its place is the store's, not the key that it was put under."""
    store = LocalStore("b", tmp_path / "b", is_durable=False)
    store.prepare()
    file, copy = a_file(7), Copy("b", "key", CopyState.STORED, location="place")
    await store.put("place", source(tmp_path, b"content"))

    made = CopySource(file, copy, store)

    told: Any = (made.size, made.name, made.media_type, made.sha256)
    assert (7, "höhe.bin", "text/plain", "ab" * 32) == told
    assert store.path("place") == made.path
    assert b"content" == await read(await made.open(0, 7))
    await store.erase("place")
    with pytest.raises(Missing):
        await made.open(0, 7)
    await store.close()


async def test_who_reads_slowly_tells_no_path(tmp_path: Path) -> None:
    """A path would be linked or read at once; and two local copies would be one where the first is linked."""
    store = LocalStore("b", tmp_path / "b", is_durable=False)
    copy = Copy("b", "key", CopyState.STORED, location="place")

    slow = CopySource(a_file(), copy, store, Pace(1e9))
    streamed = CopySource(a_file(), copy, store, is_streamed=True)

    assert [None, None] == [slow.path, streamed.path]
    await store.close()


def test_a_path_is_a_source(tmp_path: Path) -> None:
    """A file on the disk says itself what it is."""
    made = PathSource(tmp_path, 1, "n", media_type="t", sha256="s")

    assert (tmp_path, 1, "n", "t", "s") == (made.path, made.size, made.name, made.media_type, made.sha256)
