"""Our folder in the account: found or made once, and which of its files has which mark."""

import asyncio
import os
import time
from contextlib import suppress
from typing import Any

from carryall.model.errors import StoreError
from carryall.stores.mega import errors
from carryall.stores.mega.crypto import b64encode, ecb_encrypt, sealed
from carryall.stores.mega.errors import Refusal, part
from carryall.stores.mega.keys import Identity
from carryall.stores.mega.nodes import (
    FILE,
    FOLDER,
    ROOT,
    Label,
    Place,
    RawNode,
    compact,
    folder_name,
    handle_of,
    located,
)
from carryall.stores.mega.session import Session

FRESH_S = 30.0
"""How long the tree is believed at least; of a large one, that takes long to fetch, longer."""

_COSTS = 200  # so that at most a two-hundredth of the time goes into fetching it

_Index = dict[str, list[str]]  # locations by mark


class Folder:
    """The folder of one configuration.

    MEGA tells its whole tree or nothing. It is asked for when something is put, and afterwards this process's own puts
    keep the index right. It is asked for again where the index may be wrong: when nobody heard what became of a put,
    and after some time, as other processes put files too.

    Where several folders have the name, because two processes made one in the same moment, all are looked into, and
    the oldest gets what is new.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._turn = asyncio.Lock()
        self._root = ""
        self._handle: str | None = None
        self._index: _Index = {}
        self._stale_at = 0.0

    async def places(self, mark: str) -> list[str]:
        """Give the locations of the files that have this mark, as far as this process knows."""
        async with self._turn:
            await self._found()
            return list(self._index.get(mark, ()))

    async def keep(self, node: dict[str, Any], mark: str) -> RawNode:
        """Make a file out of bytes that were sent. Where nobody hears what became of it, whoever is next looks."""
        async with self._turn:  # so that no tree is on its way, which wouldn't have it
            try:
                answer = await self._session.ask({"a": "p", "t": await self._found(), "n": [node]}, hook=compact)
                made = _only(part(answer, "f"))
            except BaseException:
                self._handle = None
                raise
            self._index.setdefault(mark, []).append(located(made.handle, node["k"]))
            return made

    async def nodes(self) -> list[RawNode]:
        """Give every file in the folder, as MEGA knows them now."""
        async with self._turn:
            return await self._load()

    async def erase(self, location: str) -> None:
        """Remove a file for good. One that isn't there is no error. The index forgets it with the next tree."""
        try:
            await self._session.ask({"a": "d", "n": handle_of(location)})
        except Refusal as error:
            if error.number != errors.NOT_FOUND:
                raise

    async def _found(self) -> str:
        """Give the folder's node; make it where there is none."""
        if self._handle is None or time.monotonic() > self._stale_at:
            await self._load()
        if self._handle is None:
            await self._make()
            await self._load()  # another process may have made one too: the oldest is everybody's
        if self._handle is None:
            raise StoreError("MEGA made a folder, and doesn't know of it.", retryable=True)
        return self._handle

    async def _load(self) -> list[RawNode]:
        """Ask for the tree; find the folder, and index its files. Gives these."""
        began = time.monotonic()
        own = await self._session.identity()
        tree = await self._session.ask({"a": "f", "c": 1}, hook=compact)
        files, self._handle, self._index = await asyncio.to_thread(self._sorted, tree, own)
        loaded = time.monotonic()
        self._stale_at = loaded + max(FRESH_S, _COSTS * (loaded - began))
        return files

    def _sorted(self, tree: object, own: Identity) -> tuple[list[RawNode], str | None, _Index]:
        nodes = [node for node in part(tree, "f") if isinstance(node, RawNode)]
        self._root = _root(nodes)
        folders = [node for node in nodes if node.kind == FOLDER and node.parent == self._root]
        ours = [node for node in folders if folder_name(node, own) == self._name]
        oldest = min(ours, key=lambda node: (node.made_at_s, node.handle), default=None)
        if oldest is None:
            return [], None, {}
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


def _indexed(files: list[RawNode], own: Identity) -> _Index:
    index: _Index = {}
    for node in files:
        with suppress(ValueError):  # a file whose key can't be read isn't one of ours
            place = Place.of_node(node, own)
            mark = Label.read(node.attributes, place.key).mark
            if mark is not None:
                index.setdefault(mark, []).append(place.location)
    return index


def _only(nodes: Any) -> RawNode:
    match nodes:
        case [RawNode() as made]:
            return made
    raise StoreError("MEGA made a file, and didn't say which.", retryable=True)


def _root(nodes: list[RawNode]) -> str:
    for node in nodes:
        if node.kind == ROOT:
            return node.handle
    raise StoreError("MEGA told of no cloud drive in this account.", retryable=True)
