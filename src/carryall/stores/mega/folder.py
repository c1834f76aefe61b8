"""Our folder in the account: found or made once, and which of its files has which key."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from carryall.model.errors import StoreError
from carryall.stores.mega import errors
from carryall.stores.mega.crypto import b64encode, ecb_encrypt, sealed
from carryall.stores.mega.errors import Refusal, part
from carryall.stores.mega.keys import Identity
from carryall.stores.mega.nodes import FILE, FOLDER, ROOT, Label, Place, RawNode, compact, folder_name, handle_of
from carryall.stores.mega.session import Session

FRESH_S = 30.0
"""How long the tree is believed at least; of a large one, that takes long to fetch, longer."""

_COSTS = 200  # so that at most a two-hundredth of the time goes into fetching it


class Folder:
    """The folder of one configuration.

    MEGA tells its whole tree or nothing. It is asked for when something is put, and afterwards this process's own puts
    and erases keep the index right. It is asked for again where the index may be wrong: when nobody heard what became
    of a put, and after some time, as other processes put files too.
    Where several folders have the name, because two processes made one in the same moment, all are looked into, and
    the oldest gets what is new.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._turn = asyncio.Lock()
        self._root = ""
        self._handle: str | None = None
        self._index = _Index()
        self._stale_at = 0.0
        self._changes: list[tuple[str, str | None]] = []  # since the tree was last asked for

    async def handle(self) -> str:
        """Give the folder's node; make it where there is none."""
        async with self._turn:
            if self._handle is None or time.monotonic() > self._stale_at:
                await self._load()
            if self._handle is None:
                await self._make()
                await self._load()  # another process may have made one too: the oldest is everybody's
            if self._handle is None:
                raise StoreError("MEGA made a folder, and doesn't know of it.", retryable=True)
            return self._handle

    async def places(self, key: str) -> list[str]:
        """Give the locations of the files that have this key, as far as this process knows."""
        await self.handle()
        return self._index.places(key)

    async def nodes(self) -> list[RawNode]:
        """Give every file in the folder, as MEGA knows them now."""
        async with self._turn:
            return await self._load()

    def added(self, location: str, key: str) -> None:
        """Take note of a file that was put."""
        self._changes.append((location, key))
        self._index.apply(location, key)

    async def erase(self, location: str) -> None:
        """Remove a file for good. One that isn't there is no error."""
        try:
            await self._session.ask({"a": "d", "n": handle_of(location)})
        except Refusal as error:
            if error.number != errors.NOT_FOUND:
                raise
        self._changes.append((location, None))
        self._index.apply(location, None)

    @contextmanager
    def in_doubt(self) -> Iterator[None]:
        """Ask for the tree again where the block fails: nobody knows then what MEGA did."""
        try:
            yield
        except BaseException:
            self._handle = None
            raise

    async def _load(self) -> list[RawNode]:
        """Ask for the tree; find the folder, and index its files. Gives these."""
        began = time.monotonic()
        self._changes.clear()
        own = await self._session.identity()
        tree = await self._session.ask({"a": "f", "c": 1}, hook=compact)
        files, handle, index = await asyncio.to_thread(self._sorted, tree, own)
        for location, key in self._changes:  # what happened while the tree was on its way
            index.apply(location, key)
        self._handle, self._index = handle, index
        loaded = time.monotonic()
        self._stale_at = loaded + max(FRESH_S, _COSTS * (loaded - began))
        return files

    def _sorted(self, tree: object, own: Identity) -> tuple[list[RawNode], str | None, "_Index"]:
        nodes = [node for node in part(tree, "f") if isinstance(node, RawNode)]
        self._root = _root(nodes)
        folders = [node for node in nodes if node.kind == FOLDER and node.parent == self._root]
        ours = [node for node in folders if folder_name(node, own) == self._name]
        oldest = min(ours, key=lambda node: (node.made_at_s, node.handle), default=None)
        if oldest is None:
            return [], None, _Index()
        everywhere = {node.handle for node in ours}
        files = [node for node in nodes if node.kind == FILE and node.parent in everywhere]
        return files, oldest.handle, _indexed(files, own)

    async def _make(self) -> None:
        own = await self._session.identity()
        key = os.urandom(16)
        node = {
            "h": "x" * 8,
            "t": FOLDER,
            "a": sealed({"n": self._name}, key),
            "k": b64encode(ecb_encrypt(own.master_key, key)),
        }
        await self._session.ask({"a": "p", "t": self._root, "n": [node]})


class _Index:
    """Locations by key, and keys by node."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self._keys: dict[str, str] = {}

    def places(self, key: str) -> list[str]:
        return list(self._places.get(key, ()))

    def apply(self, location: str, key: str | None) -> None:
        """Add a location under its key, or drop it where the key is None."""
        handle = handle_of(location) or ""
        before = self._keys.pop(handle, None)
        if before is not None:
            left = [place for place in self._places.pop(before) if handle_of(place) != handle]
            if left:
                self._places[before] = left
        if key is not None:
            self._keys[handle] = key
            self._places.setdefault(key, []).append(location)


def _indexed(files: list[RawNode], own: Identity) -> _Index:
    index = _Index()
    for node in files:
        with suppress(ValueError):  # a file whose key can't be read isn't one of ours
            place = Place.of_node(node, own)
            key = Label.read(node.attributes, place.key).key
            if key is not None:
                index.apply(place.location, key)
    return index


def _root(nodes: list[RawNode]) -> str:
    for node in nodes:
        if node.kind == ROOT:
            return node.handle
    raise StoreError("MEGA told of no cloud drive in this account.", retryable=True)
