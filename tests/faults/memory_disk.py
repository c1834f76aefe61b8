"""A disk in memory that knows what of it would be left after a power loss.

Everything has two states: as programs see it, and as it was synced; between them lies what was done since. A power loss
keeps the synced state, and of the rest what the model allows:

strict   nothing: bytes only where their file was synced, names only where their folder was (the POSIX rule)
torn     any part: each page of each write by itself, some torn at a sector; any size the file had; any of the names
ordered  a beginning: names in the order in which they were made, and any sync keeps all before it; bytes in the order
         in which they were written to their file, whose size never goes past them (as ext4 does by default)
"""

import errno
import itertools
import random
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

PAGE_BYTES = 4096
SECTOR_BYTES = 512
NAME_BYTES = 4096  # what a name takes of the room, so that a full disk takes no names either
_numbers = itertools.count(2)


class Loss(StrEnum):
    """What a power loss leaves of what wasn't synced."""

    STRICT = "strict"
    TORN = "torn"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes that were written at an offset; without bytes, a file that was cut there, or grown with zeros."""

    at: int
    data: bytes | None

    def done_to(self, content: bytearray) -> None:
        """Make the change."""
        if self.data is None:
            resize(content, self.at)
            return
        resize(content, max(len(content), self.at))
        content[self.at : self.at + len(self.data)] = self.data

    def pages(self) -> Iterator["Change"]:
        """Give what each page of the disk gets of this write."""
        start, data = self.at, self.data or b""
        while data:
            length = PAGE_BYTES - start % PAGE_BYTES
            yield Change(start, data[:length])
            start, data = start + length, data[length:]


@dataclass(slots=True, eq=False)
class Node:
    """A file, or a folder."""

    mode: int
    number: int = field(default_factory=lambda: next(_numbers))
    links: int = 0
    changed_ns: int = field(default_factory=time.time_ns)
    content: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)
    names: dict[str, "Node"] = field(default_factory=dict)
    synced_names: dict[str, "Node"] = field(default_factory=dict)
    journaled_names: dict[str, "Node"] = field(default_factory=dict)
    name_changes: list[tuple[str, "Node | None"]] = field(default_factory=list)

    @property
    def is_folder(self) -> bool:
        """Tell which of the two it is."""
        return stat.S_ISDIR(self.mode)

    def change(self, change: Change) -> None:
        """Write, or cut."""
        change.done_to(self.content)
        self.changes.append(change)
        self.changed_ns = time.time_ns()

    def lose_changes(self) -> None:
        """Forget that there is something to sync: what a kernel does after a sync that failed."""
        self.changes, self.name_changes = [], []


def resize(content: bytearray, size: int) -> None:
    """Cut, or fill up with zeros."""
    del content[size:]
    content.extend(bytes(size - len(content)))


class MemoryDisk:
    """A tree of folders and files. Raises OSError as a file system does. One thread at a time."""

    def __init__(self) -> None:
        self.root = Node(stat.S_IFDIR | 0o755)
        self._journal: list[list[tuple[Node, str, Node | None]]] = []  # since the last sync of anything

    def find(self, path: str) -> Node:
        """Give what has this path."""
        node = self.root
        for name in path.split("/"):
            if name:
                node = node.names.get(name) or _fail(errno.ENOENT)
        return node

    def make(self, path: str, mode: int) -> Node:
        """Make an empty file or folder."""
        folder, name = self._place(path)
        if name in folder.names:
            _fail(errno.EEXIST)
        node = Node(mode)
        self._name([(folder, name, node)])
        return node

    def link(self, source: str, target: str) -> None:
        """Give a file one more name."""
        folder, name = self._place(target)
        if name in folder.names:
            _fail(errno.EEXIST)
        self._name([(folder, name, self.find(source))])

    def rename(self, source: str, target: str) -> None:
        """Move a name; what had the target's name loses it. Two names of one file stay as they are."""
        node, (old_folder, old_name), (folder, name) = self.find(source), self._place(source), self._place(target)
        if folder.names.get(name) is not node:
            self._name([(folder, name, node), (old_folder, old_name, None)])

    def remove(self, path: str) -> None:
        """Take a name away."""
        if self.find(path).names:
            _fail(errno.ENOTEMPTY)
        folder, name = self._place(path)
        self._name([(folder, name, None)])

    def sync(self, node: Node) -> None:
        """Keep a file's bytes, or a folder's names."""
        for change in node.changes:
            change.done_to(node.synced)
        for name, child in node.name_changes:
            _put(node.synced_names, name, child)
        node.lose_changes()
        for folder, name, child in itertools.chain(*self._journal):
            _put(folder.journaled_names, name, child)
        self._journal.clear()

    def nodes(self) -> list[Node]:
        """Give every file and folder that has a name."""
        found, waiting = {}, [self.root]
        while waiting:
            node = waiting.pop()
            found[node.number] = node
            waiting += node.names.values()
        return list(found.values())

    def used_bytes(self) -> int:
        """Give what the files and their names take."""
        return sum(-len(node.content) // PAGE_BYTES * -PAGE_BYTES + NAME_BYTES * node.links for node in self.nodes())

    def after_power_loss(self, loss: Loss, dice: random.Random) -> "MemoryDisk":
        """Give the disk as the next start finds it; this one stays as it is."""
        kept = dice.randint(0, len(self._journal)) if loss is Loss.ORDERED else 0
        early = list(itertools.chain(*self._journal[:kept]))
        made: dict[int, Node] = {}

        def left(node: Node) -> Node:
            if node.number not in made:
                copy = made[node.number] = Node(node.mode, changed_ns=node.changed_ns)
                copy.content = _content_left(node, loss, dice)
                copy.synced = bytearray(copy.content)
                for name, child in _names_left(node, loss, dice, early).items():
                    copy.names[name] = left(child)
                    copy.names[name].links += 1
                copy.synced_names, copy.journaled_names = dict(copy.names), dict(copy.names)
            return made[node.number]

        disk = MemoryDisk()
        disk.root = left(self.root)
        return disk

    def _place(self, path: str) -> tuple[Node, str]:
        parent, _, name = path.rpartition("/")
        folder = self.find(parent)
        return (folder, name) if folder.is_folder else _fail(errno.ENOTDIR)

    def _name(self, entries: list[tuple[Node, str, Node | None]]) -> None:
        for folder, name, node in entries:
            if old := folder.names.get(name):
                old.links -= 1
            if node:
                node.links += 1
            _put(folder.names, name, node)
            folder.name_changes.append((name, node))
            folder.changed_ns = time.time_ns()
        self._journal.append(entries)


def _fail(number: int) -> NoReturn:
    raise OSError(number, errno.errorcode[number])


def _put(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _names_left(
    folder: Node, loss: Loss, dice: random.Random, early: list[tuple[Node, str, Node | None]]
) -> dict[str, Node]:
    names = dict(folder.journaled_names if loss is Loss.ORDERED else folder.synced_names)
    if loss is Loss.ORDERED:
        for changed, name, node in early:
            if changed is folder:
                _put(names, name, node)
    if loss is Loss.TORN:
        for name, node in folder.name_changes:
            if dice.random() < 0.5:
                _put(names, name, node)
    return names


def _content_left(node: Node, loss: Loss, dice: random.Random) -> bytearray:
    content = bytearray(node.synced)
    if loss is Loss.ORDERED:
        pages = [page for change in node.changes for page in ([*change.pages()] or [change])]
        for page in pages[: dice.randint(0, len(pages))]:
            page.done_to(content)
    if loss is Loss.TORN:
        sizes, ghost = [len(content)], bytearray(content)
        for change in node.changes:
            change.done_to(ghost)
            sizes.append(len(ghost))
            for page in change.pages():
                if dice.random() < 0.5:
                    _torn(page, dice).done_to(content)
        resize(content, dice.choice(sizes))
    return content


def _torn(page: Change, dice: random.Random) -> Change:
    data = page.data or b""
    return Change(page.at, data[: dice.randrange(0, len(data) + 1, SECTOR_BYTES)] if dice.random() < 0.25 else data)
