"""The machine's clock, its randomness, and the lock on the data folder."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carryall.model.errors import Unavailable
from carryall.system.clock import SystemClock
from carryall.system.folder_lock import FolderLock
from carryall.system.ids import RandomIds

TAKE = """
import sys
from pathlib import Path
from carryall.system.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""


def descriptors() -> int:
    """Count this process's open files."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_the_clock_is_aware() -> None:
    """It gives the present time in UTC."""
    now = SystemClock().now()

    assert timedelta(0) == now.utcoffset()
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


def test_ids_are_unguessable_names() -> None:
    """Letters and digits alone, 22 of them for 128 bits, never twice the same."""
    ids = RandomIds(short_length=8)
    made = {ids.long() for _ in range(10_000)}

    assert 10_000 == len(made)
    assert all(re.fullmatch(r"[0-9A-Za-z]{22}", one) for one in made)
    assert 62 == len(set("".join(made)))


def test_short_ids_are_easy_to_read_aloud() -> None:
    """As long as the operator says, without letters and digits that people mix up."""
    made = "".join(RandomIds(short_length=12).short() for _ in range(5000))

    assert 60_000 == len(made)
    assert set() == set(made) & set("0OoIl1i5")
    assert 54 == len(set(made))


def test_one_process_serves_a_folder(tmp_path: Path) -> None:
    """A second one is refused and told what to do; a folder that isn't there yet is made, for the owner alone."""
    folder = tmp_path / "data"
    first, second = FolderLock(folder), FolderLock(folder)
    first.take()
    with pytest.raises(Unavailable, match="Another Carryall process") as raised:
        second.take()
    assert "data_folder_busy" == raised.value.stable_code
    assert str(tmp_path) not in raised.value.message
    assert 0 == folder.stat().st_mode & 0o077

    first.release()
    second.take()
    second.release()
    second.release()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    """The kernel takes the lock back, however its process ended."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKE, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert "taken\n" == other.stdout.readline()
        with pytest.raises(Unavailable):
            FolderLock(tmp_path).take()
        other.kill()
        other.wait(10)

    lock = FolderLock(tmp_path)
    lock.take()
    lock.release()


def test_a_refused_lock_leaves_no_descriptor(tmp_path: Path) -> None:
    """Trying in vain costs nothing that lasts."""
    held = FolderLock(tmp_path)
    held.take()
    before = descriptors()
    for _ in range(10):
        with pytest.raises(Unavailable):
            FolderLock(tmp_path).take()
    assert before == descriptors()
    held.release()
