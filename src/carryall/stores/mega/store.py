"""Files in an account at MEGA."""

import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from carryall.ports.keepsake import Keepsake
from carryall.ports.store import Capabilities, Reading, Room, Sent, Source, Stored
from carryall.stores.mega import errors
from carryall.stores.mega.api import Api
from carryall.stores.mega.crypto import b64encode
from carryall.stores.mega.download import MegaReading, describe, missing
from carryall.stores.mega.errors import Refusal, part
from carryall.stores.mega.folder import Folder
from carryall.stores.mega.nodes import Label, Place, handle_of, marked
from carryall.stores.mega.options import MegaOptions
from carryall.stores.mega.putting import Putting
from carryall.stores.mega.session import Session
from carryall.stores.mega.upload import Way
from carryall.stores.mega.wire import Wire

_ROOM_S = 300
_READY_S = 10


class MegaStore:
    """Implements `ports.store.Store`: files in one folder of an account, under the names that people gave them.

    A location is a node and its encrypted key, so a file is found, read and erased without knowing the account's
    tree, which may be large. The key that `put` is given stands in the node's encrypted attributes.
    """

    capabilities = Capabilities(has_links=True, has_room=True)

    def __init__(self, name: str, options: MegaOptions, keepsake: Keepsake) -> None:
        self.name = name
        self._wire = Wire()
        self._session = Session(name, Api(self._wire, options.api_url), options, keepsake)
        self._folder = Folder(self._session, options.folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"store-{name}")
        way = Way(self._session, self._wire, self._thread, options.parallel_chunks)
        self._putting = Putting(way, self._folder)
        self._room: tuple[Room, float] | None = None

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file."""
        return await self._putting.put(key, source, sent)

    async def open(self, location: str, start: int, stop: int) -> Reading:
        """Open the half-open range."""
        return await MegaReading(self._session, self._wire, await self._place(location), start, stop).begin()

    async def erase(self, location: str) -> None:
        """Remove a file for good, past the rubbish bin."""
        if handle_of(location) is not None:
            await self._folder.erase(location)
            return
        await self._folder.nodes()  # a put that nobody heard of may have been another process's
        for place in await self._folder.places(marked(location)):
            await self._folder.erase(place)

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        place = await self._place(location)
        found = await describe(self._session, place)
        made_at_s = Label.read(str(found.get("at")), place.key).made_at_s
        return Stored(location, part(found, "s"), self._age_s(made_at_s), place.tag)

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over every file in the folder."""
        own = await self._session.identity()
        for node in await self._folder.nodes():
            try:
                place = Place.of_node(node, own)
            except ValueError:
                continue  # shared into the folder by somebody else: not ours, and not to be read
            yield Stored(place.location, node.size, self._age_s(node.made_at_s), place.tag)

    async def link(self, location: str) -> str | None:
        """Give the public link, which holds the file's key: whoever has it can read the file."""
        place = await self._place(location)
        try:
            public = await self._session.ask({"a": "l", "n": place.handle})
        except Refusal as error:
            if error.number == errors.NOT_FOUND:
                raise missing() from error
            raise
        return f"https://mega.nz/file/{public}#{b64encode(place.key.packed())}"

    def address(self, location: str) -> None:
        """Give none: what MEGA shows in a browser has no address by which a file alone is found."""

    async def about(self) -> Room:
        """Tell the account's room, as it was at most five minutes ago."""
        now = time.monotonic()
        if self._room is None or now - self._room[1] > _ROOM_S:
            told: dict[str, Any] = await self._session.ask({"a": "uq", "strg": 1, "xfer": 1, "pro": 1})
            total, used = part(told, "mstrg"), part(told, "cstrg")
            self._room = Room(total=total, used=used, free=max(0, total - used)), now
        return self._room[0]

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Abort nothing: what was sent and never completed has no node, and MEGA itself forgets it."""
        return 0

    async def ready(self) -> None:
        """Raise StoreError when the account can't be used now."""
        await self._session.ask({"a": "ug"}, patience_s=_READY_S)

    def path(self, location: str) -> Path | None:
        """Tell that nothing lies on this machine."""
        return None

    async def close(self) -> None:
        """Let go of the connections and the thread. The session stays open, for the next process."""
        self._thread.shutdown(wait=False)
        await self._wire.close()

    async def _place(self, location: str) -> Place:
        return Place.at(location, await self._session.identity())

    def _age_s(self, made_at_s: int) -> float:
        return max(0.0, self._session.api.now_s() - made_at_s) if made_at_s else 0.0
