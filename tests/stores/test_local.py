"""The local store."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carryall.model.errors import NoRoom, StoreError
from carryall.ports.store import Store
from carryall.stores.local import LocalStore
from carryall.testing.fakes import pattern
from carryall.testing.store_contract import StoreContract, source, stored_bytes

OTHER_FILE_SYSTEM = [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK]


class TestLocalStore(StoreContract):
    """The local store keeps the contract."""

    async def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give a store in an empty folder."""
        store = LocalStore("local", tmp_path)
        store.prepare()
        yield store
        await store.close()


class TestCopyingStore(TestLocalStore):
    """It keeps it, too, where staging is on another file system and every put is a copy."""

    @pytest.fixture(autouse=True)
    def no_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refuse every hard link, as the kernel does between file systems."""
        refuse_links(monkeypatch, errno.EXDEV)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    """Give a store in an empty folder."""
    made = LocalStore("local", tmp_path / "files")
    made.prepare()
    yield made
    await made.close()


def refuse_links(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refuse)


def opened(fd: int) -> Path:
    """Tell what a descriptor is of."""
    return Path(f"/proc/self/fd/{fd}").readlink()


def open_files() -> int:
    """Count this process's descriptors."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def keys(tmp_path: Path) -> list[str]:
    """List what lies in the store's folder, finished or not."""
    return sorted(path.name for path in (tmp_path / "files").glob("*/*"))


async def test_on_one_file_system_nothing_is_copied(store: LocalStore, tmp_path: Path) -> None:
    """A put is a link: it costs the same for a byte and for a terabyte."""
    given = source(tmp_path, b"x")

    await store.put("key", given)

    assert given.path.samefile(next((tmp_path / "files").glob("*/key")))


async def test_the_name_is_durable_before_put_returns(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is made, then its directory is synced (ADR 0007)."""
    calls: list[str] = []
    link, fsync = os.link, os.fsync

    def linking(*args: Any, **kwargs: Any) -> None:
        calls.append("link")
        link(*args, **kwargs)

    def syncing(fd: int) -> None:
        calls.append(f"fsync {opened(fd).parent.name}")
        fsync(fd)

    given = source(tmp_path, b"x")
    monkeypatch.setattr(os, "link", linking)
    monkeypatch.setattr(os, "fsync", syncing)

    await store.put("key", given)

    assert ["link", "fsync files"] == calls


async def test_new_folders_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder that was made on the way is synced, and the one that it was made in (threats 3.1)."""
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(opened(fd)))
    made = LocalStore("local", tmp_path / "new" / "data" / "files")

    made.prepare()
    await made.close()

    assert {tmp_path, tmp_path / "new", tmp_path / "new/data", tmp_path / "new/data/files"} <= set(synced)


async def test_a_name_that_couldnt_be_synced_is_taken_away(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next sync of the folder would keep nothing of it, and say that it did; a new name it syncs (fault 6)."""
    given, fsync = source(tmp_path, b"x"), os.fsync

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "EIO")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError):
        await store.put("key", given)
    assert [] == keys(tmp_path)

    monkeypatch.setattr(os, "fsync", fsync)
    await store.put("key", given)
    assert ["key"] == keys(tmp_path)


async def test_a_copy_is_durable_before_it_has_its_name(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy is synced under another name, and that one's file is renamed: nobody ever sees a part of it."""
    refuse_links(monkeypatch, errno.EXDEV)
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def syncing(fd: int) -> None:
        calls.append("fsync " + opened(fd).name)
        fsync(fd)

    def renaming(old: Path, new: Path) -> None:
        calls.append(f"rename {Path(old).name} {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", renaming)

    await store.put("key", source(tmp_path, b"x"))

    (shard,) = (path.parent.name for path in (tmp_path / "files").glob("*/key"))
    assert ["fsync key.half", "rename key.half key", f"fsync {shard}"] == calls


@pytest.mark.parametrize("reason", OTHER_FILE_SYSTEM, ids=errno.errorcode.get)
async def test_where_there_are_no_links_it_copies(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """Another file system, one without hard links, and too many links are all the same to the caller."""
    refuse_links(monkeypatch, reason)
    given = source(tmp_path, pattern(3_000_000))

    await store.put("key", given)

    assert pattern(3_000_000) == await stored_bytes(store, "key", 0, 3_000_000)
    assert ["key"] == keys(tmp_path)


async def test_what_a_killed_copy_left_is_no_hindrance(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half copy of an earlier process is thrown away, and never served."""
    refuse_links(monkeypatch, errno.EXDEV)
    await store.put("key", source(tmp_path, b"x"))
    (stored,) = (tmp_path / "files").glob("*/key")
    stored.rename(stored.with_name("key.half"))

    await store.put("key", source(tmp_path, b"whole", "two"))

    assert ["key"] == keys(tmp_path)
    assert b"whole" == await stored_bytes(store, "key", 0, 5)


async def test_a_full_disk_is_no_room(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC is NoRoom, and nothing is left of the try."""
    refuse_links(monkeypatch, errno.ENOSPC)

    with pytest.raises(NoRoom) as raised:
        await store.put("key", source(tmp_path, b"x"))

    assert raised.value.retry_after_s
    assert [] == keys(tmp_path)


async def test_a_broken_disk_can_be_tried_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO is a StoreError that says so, without paths in its text (threat 25)."""
    refuse_links(monkeypatch, errno.EIO)

    with pytest.raises(StoreError) as raised:
        await store.put("key", source(tmp_path, b"x"))

    assert raised.value.retryable
    assert str(tmp_path) not in raised.value.message


async def test_a_file_that_shrank_is_an_error(store: LocalStore, tmp_path: Path) -> None:
    """A reader of a damaged file gets an error, never a shorter file."""
    await store.put("key", source(tmp_path, b"12345"))
    next((tmp_path / "files").glob("*/key")).write_bytes(b"123")

    with pytest.raises(StoreError):
        await stored_bytes(store, "key", 0, 5)


async def test_a_link_in_place_of_a_file_is_refused(store: LocalStore, tmp_path: Path) -> None:
    """Nothing is read through a symbolic link (threat 27)."""
    await store.put("key", source(tmp_path, b"x"))
    (stored,) = (tmp_path / "files").glob("*/key")
    stored.unlink()
    stored.symlink_to(source(tmp_path, b"secret", "secret").path)

    with pytest.raises(StoreError):
        await store.open("key", 0, 6)


async def test_a_link_in_place_of_the_source_is_refused(store: LocalStore, tmp_path: Path) -> None:
    """Nothing is stored through a symbolic link, either."""
    real = source(tmp_path, b"secret", "secret")
    given = replace(real, path=tmp_path / "link")
    given.path.symlink_to(real.path)

    with pytest.raises(StoreError):
        await store.put("key", given)


async def test_reading_early_ends_leaves_no_descriptor(store: LocalStore, tmp_path: Path) -> None:
    """A client that goes away after the first chunk costs no descriptor."""
    size = 3 << 20
    await store.put("key", source(tmp_path, pattern(size)))
    before = open_files()

    for _ in range(20):
        reading = await store.open("key", 0, size)
        await anext(aiter(reading))
        await reading.aclose()

    assert before == open_files()


async def test_who_stops_waiting_leaves_no_descriptor(store: LocalStore, tmp_path: Path) -> None:
    """A file that was opened for a request that is gone is closed."""
    await store.put("key", source(tmp_path, b"x"))
    before = open_files()
    for _ in range(40):
        opening = asyncio.ensure_future(store.open("key", 0, 1))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])

    async with asyncio.timeout(5):
        while before != open_files():  # noqa: ASYNC110  # the threads come to their end unseen
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("store")
async def test_folders_are_the_owners_alone(tmp_path: Path) -> None:
    """Nobody else on the machine may look into the files."""
    for folder in (tmp_path / "files", *(tmp_path / "files").iterdir()):
        assert 0 == stat.S_IMODE(folder.stat().st_mode) & 0o077
