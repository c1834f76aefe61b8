"""Staging on the local disk."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from carryall.model.errors import NoRoom, Unavailable
from carryall.model.upload import Segment
from carryall.ports.staging import Staging
from carryall.staging.disk import DiskStaging
from carryall.testing.fakes import pattern
from carryall.testing.staging_contract import StagingContract, held, landed


class TestDiskStaging(StagingContract):
    """Staging on the disk keeps the contract."""

    async def make_staging(self, tmp_path: Path) -> AsyncIterator[Staging]:
        """Give staging in an empty folder."""
        staging = DiskStaging(tmp_path)
        staging.prepare()
        yield staging
        staging.close()


@pytest.fixture
async def staging(tmp_path: Path) -> AsyncIterator[DiskStaging]:
    """Give staging in an empty folder."""
    made = DiskStaging(tmp_path / "staging")
    made.prepare()
    yield made
    made.close()


@dataclass
class Disk:
    """The operating system as staging sees it: records what is synced, and fails where it is told to."""

    calls: list[str] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)

    def record(self, monkeypatch: pytest.MonkeyPatch, name: str, kind: Callable[[int], str]) -> None:
        """Watch a function of `os` whose first argument is a file descriptor."""
        real = getattr(os, name)

        def watched(fd: int, *args: Any, **kwargs: Any) -> Any:
            self.calls.append(f"{name} {kind(fd)}")
            if name in self.failing:
                raise OSError(self.failing[name], os.strerror(self.failing[name]))
            return real(fd, *args, **kwargs)

        monkeypatch.setattr(os, name, watched)


def kind_of(fd: int) -> str:
    """Tell what a descriptor is of: "directory" or "file"."""
    return "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Watch what is written and synced."""
    watched = Disk()
    for name in ("pwrite", "fdatasync", "fsync"):
        watched.record(monkeypatch, name, kind_of)
    return watched


def test_new_folders_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder that was made on the way is synced, and the one that it was made in (threats 3.1)."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    made = DiskStaging(tmp_path / "new" / "data" / "staging")

    made.prepare()
    made.close()

    assert {str(tmp_path / name) for name in ("", "new", "new/data", "new/data/staging")} <= set(synced)


async def test_the_name_then_the_bytes_are_durable(staging: DiskStaging, disk: Disk) -> None:
    """Before a length is told, the extent's name and all of its bytes were synced (ADR 0007)."""
    await landed(staging, "up", Segment(0, 0), b"x" * 3_000_000)

    assert ["fsync directory", "pwrite file", "fdatasync file"] == list(dict.fromkeys(disk.calls))
    assert "fdatasync file" == disk.calls[-1]


async def test_a_name_that_couldnt_be_synced_is_made_anew_by_the_next_write(
    staging: DiskStaging, disk: Disk, tmp_path: Path
) -> None:
    """The folder's next sync would keep nothing of an old name, and say that it did: so the name goes (fault 6)."""
    disk.failing["fsync"] = errno.EIO
    with pytest.raises(Unavailable):
        await staging.land("up", Segment(0, 0))
    assert [] == list((tmp_path / "staging").glob("*/*"))
    disk.failing.clear()
    disk.calls.clear()

    await landed(staging, "up", Segment(0, 0), b"x")

    assert "fsync directory" == disk.calls[0]


async def test_a_full_disk_is_no_room(staging: DiskStaging, disk: Disk) -> None:
    """ENOSPC is NoRoom with a Retry-After, at the latest when the bytes are synced; the landing is dead."""
    landing = await staging.land("up", Segment(0, 0))
    disk.failing["pwrite"] = errno.ENOSPC
    await landing.put(b"x" * 10)

    for _ in range(2):
        with pytest.raises(NoRoom) as raised:
            await landing.sync()
        assert raised.value.retry_after_s
        disk.failing.clear()  # room again; what was lost stays lost
    await landing.close()


async def test_what_a_full_disk_took_is_given_back(staging: DiskStaging, disk: Disk, tmp_path: Path) -> None:
    """What was written and is not to count leaves the disk with its landing, not with the next writer (fault 5)."""
    await landed(staging, "up", Segment(0, 0), b"kept")
    landing = await staging.land("up", Segment(0, 4))
    await landing.put(b"x" * (1 << 20))
    await landing.digests()
    disk.failing["fdatasync"] = errno.ENOSPC
    with pytest.raises(NoRoom):
        await landing.sync()
    await landing.close()

    assert [4] == [path.stat().st_size for path in (tmp_path / "staging").glob("*/*")]


async def test_a_failed_write_stops_the_body(staging: DiskStaging, disk: Disk) -> None:
    """A broken disk is told to the next put: nobody sends gigabytes that can't be kept."""
    landing = await staging.land("up", Segment(0, 0))
    disk.failing["pwrite"] = errno.EIO

    async def send() -> None:
        for _ in range(3):
            await landing.put(b"x" * (1 << 20))

    with pytest.raises(Unavailable):
        await send()
    await landing.close()


async def test_a_failed_sync_is_final(staging: DiskStaging, disk: Disk) -> None:
    """A second fsync after a failed one would succeed and lie: it is never believed (ADR 0007)."""
    landing = await staging.land("up", Segment(0, 0))
    await landing.put(b"x")
    disk.failing["fdatasync"] = errno.EIO
    with pytest.raises(Unavailable):
        await landing.sync()
    disk.failing.clear()

    with pytest.raises(Unavailable):
        await landing.sync()
    await landing.close()


async def test_a_sync_that_fails_behind_a_cancellation_is_final(
    staging: DiskStaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for the sync may be gone when it fails; the next one hears of it."""
    entered, release = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        entered.set()
        release.wait(10)
        raise OSError(errno.EIO, "broken")

    landing = await staging.land("up", Segment(0, 0))
    await landing.put(b"x")
    monkeypatch.setattr(os, "fdatasync", slow)
    syncing = asyncio.ensure_future(landing.sync())
    await asyncio.to_thread(entered.wait, 10)
    syncing.cancel()
    await asyncio.wait([syncing])
    monkeypatch.undo()
    release.set()

    with pytest.raises(Unavailable):
        await landing.sync()
    await landing.close()


async def test_a_write_that_can_never_begin_is_no_success(
    staging: DiskStaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what no operating system says, as MemoryError, keeps a shorter file from being taken for the whole."""

    def never(*_: Any) -> int:
        raise MemoryError

    landing = await staging.land("up", Segment(0, 0))
    monkeypatch.setattr(os, "pwrite", never)
    await landing.put(b"x")

    with pytest.raises(MemoryError):
        await landing.sync()
    monkeypatch.undo()
    await landing.close()


async def test_who_stops_waiting_leaves_no_descriptor(staging: DiskStaging) -> None:
    """An extent that was opened for a request that is gone is closed."""

    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    await (await staging.land("up", Segment(99, 0))).close()
    before = descriptors()
    for index in range(40):
        landing = asyncio.ensure_future(staging.land("up", Segment(index, 0)))
        await asyncio.sleep(0)
        landing.cancel()
        await asyncio.wait([landing])

    async with asyncio.timeout(5):
        while before != descriptors():  # noqa: ASYNC110  # the threads come to their end unseen
            await asyncio.sleep(0.001)


async def test_a_link_in_place_of_an_extent_is_refused(staging: DiskStaging, tmp_path: Path) -> None:
    """Nothing is written or read through a symbolic link (threat 27)."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    segment = await landed(staging, "up", Segment(0, 0), b"public")
    two = await landed(staging, "up", Segment(1, 0), b"more")
    extent = next(staging_root(staging).glob("*/up.0.0"))
    extent.unlink()
    extent.symlink_to(secret)

    for use in (
        staging.land("up", Segment(0, 0)),
        staging.staged("up", [segment]),
        staging.join("up", [segment], algorithms=["sha-256"]),
        staging.join("up", [segment, two], algorithms=()),
    ):
        with pytest.raises(Unavailable):
            await use
    assert b"secret" == secret.read_bytes()


@pytest.mark.parametrize("answer", [OSError(errno.EXDEV, "no"), 0], ids=["refused", "nothing"])
async def test_joining_where_the_kernel_cant_copy(
    staging: DiskStaging, monkeypatch: pytest.MonkeyPatch, answer: OSError | int
) -> None:
    """A file system without copy_file_range, or one that stops half-way, gets the same bytes by reading and writing."""
    real, calls = os.copy_file_range, []

    def sometimes(*args: Any, **kwargs: Any) -> int:
        calls.append(args)
        if len(calls) % 2:
            return real(args[0], args[1], min(args[2], 1000), **kwargs)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "copy_file_range", sometimes)
    contents = [pattern(3_000_000), b"the end"]
    segments = [await landed(staging, "up", Segment(index, 0), content) for index, content in enumerate(contents)]

    assert b"".join(contents) == await held(staging, "up", segments)
    assert len(calls) > 2


async def test_a_join_is_durable(staging: DiskStaging, disk: Disk) -> None:
    """The joined bytes are synced before the join returns."""
    segments = [await landed(staging, "up", Segment(index, 0), b"x") for index in range(2)]
    disk.calls.clear()

    await staging.join("up", segments, algorithms=())

    assert ["fsync file"] == disk.calls


async def test_names_on_the_disk_are_ours(staging: DiskStaging) -> None:
    """An extent is named by ids and numbers, and only its owner may read it."""
    await landed(staging, "aB3", Segment(12, 0, 3), b"x")

    (path,) = staging_root(staging).glob("*/*")

    assert ("aB3.12.3", 0o600) == (path.name, stat.S_IMODE(path.stat().st_mode))


def staging_root(staging: DiskStaging) -> Path:
    return staging._root
