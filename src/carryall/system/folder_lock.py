"""Who serves a data folder: one process alone, or several that know of each other."""

import os
from pathlib import Path

from carryall.model.errors import Unavailable


class FolderLock:
    """An advisory lock that the kernel takes back when its process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "serving.lock"
        self._fd = -1

    def take(self, *, is_shared: bool = False) -> None:
        """Take the lock, alone or beside others that share it. Raises Unavailable when that can't be."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, is_shared=is_shared)
        except OSError as error:
            os.close(fd)
            raise Unavailable(
                "Another Carryall process serves this data folder. Stop it, or set CARRYALL_DATA_DIR to another "
                "folder. Several may serve one folder where each of them is told so: by CARRYALL_WORKERS of 2 or "
                "more, or by a CARRYALL_DATABASE_URL that they share.",
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

    def _lock(fd: int, *, is_shared: bool) -> None:  # noqa: ARG001  # there it is always alone
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _lock(fd: int, *, is_shared: bool) -> None:
        fcntl.flock(fd, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
