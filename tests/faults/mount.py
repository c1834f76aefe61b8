"""Mount a disk that can be told to fail: `python -m tests.faults.mount FOLDER SOCKET`. Needs FUSE.

Programs run on it unchanged. A test says over the socket, in a line of JSON each, what is to go wrong.
"""

import errno
import json
import os
import random
import signal
import socketserver
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mfusepy
from tests.faults.memory_disk import NAME_BYTES, PAGE_BYTES, Change, Loss, MemoryDisk, Node

# The index of SQLite's log is shared memory, made anew at every start: what becomes of it says nothing.
_NOT_COUNTED = "-shm"
_BLOCKS = 1 << 22  # what statfs shows as free: 16 GiB


@dataclass
class Orders:
    """What is to go wrong from now on. Without `calls`, all that change something count.

    Attributes:
        calls: only these count for `fail_at` and `kill_at`.
        under: only paths with this in them count, and are slow.
        fail_at: the first call that fails, by its number from now; 0 for none.
        fail_count: how many fail from there on.
        error: what they fail with, a name of the errno module.
        kill_at: the call before which the process group `victim` is killed; 0 for none.
        room_bytes: what may be added to the disk; None for no end.
        delay_s: how long each write and each sync takes.
    """

    calls: tuple[str, ...] = ()
    under: str = ""
    fail_at: int = 0
    fail_count: int = 1
    error: str = "EIO"
    kill_at: int = 0
    victim: int = 0
    room_bytes: int | None = None
    is_read_only: bool = False
    delay_s: float = 0


class FaultDisk(mfusepy.Operations):
    """The file system. Every call asks first whether it is to fail."""

    use_ns = True
    flag_nopath = flag_nullpath_ok = True

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.next_disk: MemoryDisk | None = None
        self._orders = Orders()
        self._number = 0
        self._most_bytes = 0
        self._seen: list[tuple[str, str, bool]] = []  # call, path, whether it failed
        self._lock = threading.RLock()
        self._open: dict[int, tuple[str, Node]] = {}
        self._handles = 0

    # --- what a test says ---

    def obey(self, do: str, **facts: Any) -> Any:
        """Do what a test wants of the disk."""
        with self._lock:
            if do == "arm":
                self._orders, self._number, self._seen = Orders(**facts), 0, []
                self._most_bytes = self.disk.used_bytes() + (self._orders.room_bytes or 0)
            elif do == "lose_power":
                self.next_disk = self.disk.after_power_loss(Loss(facts["loss"]), random.Random(facts["seed"]))
            elif do == "seen":
                return self._seen
            elif do == "used_bytes":
                return self.disk.used_bytes()
        return None

    @contextmanager
    def _call(self, call: str, path: str, *, more_bytes: int = 0) -> Iterator[None]:
        """Count a call, and fail it where it is to fail. What it does it does alone."""
        orders = self._orders
        if orders.delay_s and call in ("write", "fsync", "fsyncdir") and orders.under in path:
            time.sleep(orders.delay_s)
        with self._lock:
            if not path.endswith(_NOT_COUNTED):
                number = self._fate(call, path) or self._limits(call, more_bytes)
                self._seen.append((call, path, bool(number)))
                if number:
                    raise OSError(number, os.strerror(number))
            yield

    def _fate(self, call: str, path: str) -> int:
        """Give the number of the error that this call ends with; 0 for none."""
        orders = self._orders
        counts = call in orders.calls if orders.calls else call not in ("open", "read")
        if not counts or orders.under not in path:
            return 0
        self._number += 1
        if 0 < orders.kill_at <= self._number:
            if orders.kill_at == self._number:
                os.killpg(orders.victim, signal.SIGKILL)
            return errno.EIO  # nobody lives to hear of it
        is_bad = 0 < orders.fail_at <= self._number < orders.fail_at + orders.fail_count
        return int(getattr(errno, orders.error)) if is_bad else 0

    def _limits(self, call: str, more_bytes: int) -> int:
        if self._orders.is_read_only and call not in ("open", "read", "fsync", "fsyncdir"):
            return errno.EROFS
        if self._orders.room_bytes is not None and more_bytes > 0:
            return errno.ENOSPC if self.disk.used_bytes() + more_bytes > self._most_bytes else 0
        return 0

    # --- names ---

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            node = self._open[fh][1] if fh else self.disk.find(path or "/")
            return {
                "st_mode": node.mode,
                "st_ino": node.number,
                "st_nlink": 2 if node.is_folder else node.links,
                "st_size": len(node.content),
                "st_blocks": -(-len(node.content) // 512),
                "st_uid": os.getuid(),
                "st_gid": os.getgid(),
                **dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), node.changed_ns),
            }

    def mkdir(self, path: str, mode: int) -> None:
        with self._call("mkdir", path, more_bytes=NAME_BYTES):
            self.disk.make(path, stat.S_IFDIR | mode)

    def rmdir(self, path: str) -> None:
        self.unlink(path)

    def unlink(self, path: str) -> None:
        with self._call("unlink", path):
            self.disk.remove(path)

    def link(self, target: str, source: str) -> None:
        with self._call("link", target, more_bytes=NAME_BYTES):
            self.disk.link(source, target)

    def rename(self, old: str, new: str) -> None:
        with self._call("rename", new):
            self.disk.rename(old, new)

    def chmod(self, path: str | None, mode: int) -> None:
        """Pass it over: nobody here is shut out by it."""

    def utimens(self, path: str | None, times: tuple[int, int] | None = None) -> None:
        if path is not None:
            with self._lock:
                self.disk.find(path).changed_ns = times[1] if times else time.time_ns()

    def readdir(self, path: str | None, fh: int) -> list[tuple[str, dict[str, int], int]]:
        with self._lock:
            node = self._open[fh][1]
            names = {".": node, "..": self.disk.root, **node.names}
            return [(name, {"st_mode": one.mode, "st_ino": one.number}, 0) for name, one in names.items()]

    def statfs(self, path: str) -> dict[str, int]:
        with self._lock:
            orders = self._orders
            free = _BLOCKS
            if orders.room_bytes is not None:
                free = max(0, self._most_bytes - self.disk.used_bytes()) // PAGE_BYTES
        sizes = {"f_bsize": PAGE_BYTES, "f_frsize": PAGE_BYTES, "f_blocks": _BLOCKS, "f_namemax": 255}
        return {**sizes, "f_bfree": free, "f_bavail": free}

    # --- what is open ---

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self._call("create", path, more_bytes=NAME_BYTES):
            return self._opened(path, self.disk.make(path, stat.S_IFREG | mode))

    def open(self, path: str, flags: int) -> int:
        with self._call("open", path):
            return self._opened(path, self.disk.find(path))

    def opendir(self, path: str) -> int:
        with self._call("open", path):
            return self._opened(path, self.disk.find(path))

    def _opened(self, path: str, node: Node) -> int:
        self._handles += 1
        self._open[self._handles] = path, node
        return self._handles

    def release(self, path: str | None, fh: int) -> None:
        with self._lock:
            del self._open[fh]

    def releasedir(self, path: str | None, fh: int) -> None:
        self.release(path, fh)

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        path, node = self._open[fh]
        with self._call("read", path):
            return bytes(node.content[offset : offset + size])

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        path, node = self._open[fh]
        with self._call("write", path, more_bytes=_pages(offset + len(data)) - _pages(len(node.content))):
            node.change(Change(offset, data))
            return len(data)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> None:
        path, node = self._open[fh] if fh else (path or "/", self.disk.find(path or "/"))
        with self._call("truncate", path, more_bytes=_pages(length) - _pages(len(node.content))):
            node.change(Change(length, None))

    def fsync(self, path: str | None, datasync: int, fh: int) -> None:
        self._sync("fsync", fh)

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> None:
        self._sync("fsyncdir", fh)

    def _sync(self, call: str, fh: int) -> None:
        path, node = self._open[fh]
        try:
            with self._call(call, path):
                self.disk.sync(node)
        except OSError:
            with self._lock:
                node.lose_changes()  # the next sync of it succeeds, and keeps nothing of this
            raise


class _Mounted(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy 3.1 keeps to itself which open file is cut."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        handle = fip.contents.fh if fip else None
        self.operations.truncate(None if path is None else path.decode(), length, handle)
        return 0


def _pages(size: int) -> int:
    """Give what a file of this size takes, in bytes."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _listen(disk: FaultDisk, socket_path: str) -> None:
    class Listener(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer = disk.obey(**json.loads(self.rfile.readline()))
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    server = socketserver.ThreadingUnixStreamServer(socket_path, Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(folder: str, socket_path: str) -> None:
    """Mount, and mount again after each power loss, until it is unmounted without one."""
    disk = FaultDisk()
    _listen(disk, socket_path)
    while True:
        _Mounted(disk, folder, foreground=True, hard_remove=True, use_ino=True, fsname="faults")
        if disk.next_disk is None:
            return
        disk.disk, disk.next_disk = disk.next_disk, None


if __name__ == "__main__":
    main(*sys.argv[1:])
