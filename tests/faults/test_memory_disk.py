"""The disk of the power-loss tests forgets what it says that it forgets: the ruler is measured first."""

import errno
import random
import stat

import pytest
from tests.faults.memory_disk import PAGE_BYTES, Change, Loss, MemoryDisk, Node

FILE = stat.S_IFREG | 0o600
FOLDER = stat.S_IFDIR | 0o700
SEEDS = range(60)


def written(disk: MemoryDisk, path: str, data: bytes, at: int = 0) -> Node:
    """Write to a file, which is made where it isn't there."""
    folder, _, name = path.rpartition("/")
    node = disk.find(path) if name in disk.find(folder).names else disk.make(path, FILE)
    node.change(Change(at, data))
    return node


def left(disk: MemoryDisk, loss: Loss, path: str) -> set[bytes | None]:
    """Give every content that a file may have after a power loss; None for no file."""
    found: set[bytes | None] = set()
    for seed in SEEDS:
        names = disk.after_power_loss(loss, random.Random(seed)).root.names
        found.add(bytes(names[path].content) if path in names else None)
    return found


@pytest.mark.parametrize("loss", list(Loss))
def test_what_was_synced_is_kept(loss: Loss) -> None:
    """A file and its folder, both synced, come back as they were, whatever was done to other files."""
    disk = MemoryDisk()
    disk.sync(written(disk, "/kept", b"kept"))
    disk.sync(disk.root)
    written(disk, "/other", b"other")

    assert {b"kept"} == left(disk, loss, "kept")


def test_strict_keeps_nothing_else() -> None:
    """Without a sync of the folder there is no name, without one of the file no bytes."""
    disk = MemoryDisk()
    disk.sync(written(disk, "/nameless", b"synced"))
    assert {None} == left(disk, Loss.STRICT, "nameless")

    written(disk, "/empty", b"not synced")
    disk.sync(disk.root)
    assert {b""} == left(disk, Loss.STRICT, "empty")

    disk.rename("/empty", "/renamed")
    assert {None} == left(disk, Loss.STRICT, "renamed")
    assert {b""} == left(disk, Loss.STRICT, "empty")


def test_torn_keeps_any_part() -> None:
    """Pages arrive in any order, some in part, and the size may be there before them: a file can be long and empty."""
    disk = MemoryDisk()
    disk.sync(disk.make("/file", FILE))
    disk.sync(disk.root)
    written(disk, "/file", b"a" * PAGE_BYTES + b"b" * PAGE_BYTES)
    found = left(disk, Loss.TORN, "file")

    assert {b"", bytes(2 * PAGE_BYTES), b"a" * PAGE_BYTES + b"b" * PAGE_BYTES} < found
    assert bytes(PAGE_BYTES) + b"b" * PAGE_BYTES in found
    assert any(content and 0 < content.count(b"a") < PAGE_BYTES for content in found)


def test_ordered_keeps_a_beginning() -> None:
    """Names and pages are kept in their order; a sync of any file keeps all names before it."""
    disk = MemoryDisk()
    written(disk, "/first", b"a" * PAGE_BYTES + b"b" * PAGE_BYTES)
    disk.make("/second", FILE)
    whole = b"a" * PAGE_BYTES + b"b" * PAGE_BYTES
    assert {None, b"", whole[:PAGE_BYTES], whole} == left(disk, Loss.ORDERED, "first")
    for seed in SEEDS:
        names = disk.after_power_loss(Loss.ORDERED, random.Random(seed)).root.names
        assert "second" not in names or "first" in names

    disk.sync(disk.find("/second"))
    assert None not in left(disk, Loss.ORDERED, "first")
    assert {b""} == left(disk, Loss.ORDERED, "second")


@pytest.mark.parametrize("loss", list(Loss))
def test_a_sync_that_failed_has_forgotten(loss: Loss) -> None:
    """After it the next sync has nothing to do, and what it was to keep is gone."""
    disk = MemoryDisk()
    disk.sync(disk.make("/file", FILE))
    disk.sync(disk.root)
    node = written(disk, "/file", b"lost")
    node.lose_changes()
    disk.sync(node)

    assert b"lost" == node.content
    assert {b""} == left(disk, loss, "file")


def test_names_of_one_file() -> None:
    """A file with two names is one file after a power loss, too; renaming one of them to the other changes nothing."""
    disk = MemoryDisk()
    disk.make("/a", FOLDER)
    node = written(disk, "/a/one", b"1")
    disk.link("/a/one", "/a/two")
    disk.rename("/a/one", "/a/two")
    for one in (node, disk.find("/a"), disk.root):
        disk.sync(one)
    after = disk.after_power_loss(Loss.STRICT, random.Random(1))

    assert ["one", "two"] == list(after.find("/a").names)
    assert after.find("/a/one") is after.find("/a/two")
    assert 2 == after.find("/a/one").links


@pytest.mark.parametrize(
    ("call", "expected"), [("find", errno.ENOENT), ("make", errno.EEXIST), ("remove", errno.ENOTEMPTY)]
)
def test_it_refuses_as_a_disk_does(call: str, expected: int) -> None:
    """Missing, taken and full names are errors with the numbers that programs know."""
    disk = MemoryDisk()
    disk.make("/a", FOLDER)
    disk.make("/a/b", FILE)
    with pytest.raises(OSError, match="E") as refused:
        {"find": lambda: disk.find("/c"), "make": lambda: disk.make("/a", FILE), "remove": lambda: disk.remove("/a")}[
            call
        ]()

    assert expected == refused.value.errno
