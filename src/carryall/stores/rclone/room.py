"""The daemon's own folder: its socket and what it must spool, for us alone; what killed processes left is removed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "carryall-rclone-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Room:
    """A folder that is ours as long as we hold its lock, which ends with our process however that ends."""

    folder: Path
    lock: int

    @property
    def socket(self) -> Path:
        """Where the daemon listens. Nobody else may enter the folder, so it needs no password."""
        return self.folder / "rc"

    @property
    def free_bytes(self) -> int:
        """How much can be spooled."""
        return shutil.disk_usage(self.folder).free

    def leave(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.lock)


def enter() -> Room:
    """Make a folder, and remove those whose owners are gone. Raises OSError. Blocks."""
    # A spooled file may be large, and /tmp is memory on many machines.
    parent = "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()  # noqa: S108  # mkdtemp
    _sweep(Path(parent))
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody's sweep was between the two calls
            os.close(lock)
        else:
            return Room(folder, lock)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(_PREFIX + "*"):
        with suppress(OSError), _unheld(folder / _LOCK):  # not ours, or its owner lives
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _unheld(lock: Path) -> Iterator[None]:
    fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
