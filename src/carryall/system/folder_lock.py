"""One process serves a data folder at a time, until leases cross processes."""

import os
from pathlib import Path

from carryall.model.errors import Unavailable


class FolderLock:
    """An advisory lock that the kernel takes back when its process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "serving.lock"
        self._fd = -1

    def take(self) -> None:
        """Take the lock. Raises Unavailable when another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd)
        except OSError as error:
            os.close(fd)
            raise Unavailable(
                "Another Carryall process serves this data folder. Stop it, or set CARRYALL_DATA_DIR to another "
                "folder. (Start one worker only: several workers need leases that cross processes.)",
                code="data_folder_busy",
            ) from error
        self._fd = fd

    def release(self) -> None:
        """Let the next process have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


if os.name == "nt":
    import msvcrt

    def _lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
