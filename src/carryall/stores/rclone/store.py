"""Any remote that rclone knows, as a store. A file's location is its key: its path below the remote."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from carryall.model.errors import CarryallError, Missing, StoreError
from carryall.ports.store import Capabilities, Room, Sent, Source, Stored
from carryall.stores.rclone.daemon import Daemon
from carryall.stores.rclone.facts import Facts, room
from carryall.stores.rclone.folder import INCOMING, Folder
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.putting import Putting
from carryall.stores.rclone.rc import Rc, unless_missing
from carryall.stores.rclone.reading import RcloneReading

_NO_ROOM = Room(total=None, used=None, free=None)
_PARTS = 3  # of a key: owner, file id, name


class RcloneStore:
    """Implements `ports.store.Store`. Starts rclone at first use.

    What the remote can do is known after `ready`; before, `capabilities` promises no links and no room.
    """

    def __init__(self, name: str, options: RcloneOptions) -> None:
        self.name = name
        self.capabilities = Capabilities(keys="named")
        self._fs = options.remote
        self._daemon = Daemon(name, options)
        self._rc = Rc(name, self._daemon)
        self._putting: Putting | None = None

    async def put(self, key: str, source: Source, *, sent: Sent = lambda _: None) -> Stored:
        """Keep a file under its key."""
        return await (await self._opened()).put(self._checked(key), source, sent)

    async def open(self, location: str, start: int, stop: int) -> RcloneReading:
        """Open the half-open range."""
        if start == stop:
            await self.stat(location)
            return RcloneReading(self.name, None, 0)
        response = await self._rc.get(self._fs, self._checked(location), start, stop)
        return RcloneReading(self.name, response, stop - start)

    async def erase(self, location: str) -> None:
        """Remove a file, and the folder that was made for it alone."""
        folder = await self._folder()
        await folder.erase(self._checked(location))
        parent, _, _ = location.rpartition("/")
        # Its owner's folder stays: another put may be about to use it, and not every remote looks again whether a
        # folder is empty when it removes it.
        if parent.count("/") == _PARTS - 2 and not folder.facts.is_bucket:
            with suppress(CarryallError):
                await self._rc.call("operations/rmdir", fs=self._fs, remote=parent)

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        stored = await (await self._folder()).stat(self._checked(location))
        if stored is None:
            raise Missing("The stored file isn't there.", code="file_damaged")
        return stored

    async def list(self) -> AsyncIterator[Stored]:
        """Walk over every file, one folder at a time: no more than one folder's list is in memory."""
        folder, waiting = await self._folder(), [""]
        while waiting:
            inner, files = await folder.list(waiting.pop())
            waiting += [path for path in inner if path != INCOMING]
            for stored in files:
                yield stored

    async def link(self, location: str) -> str | None:
        """Give the remote's own public link."""
        folder = await self._folder()
        if not folder.facts.has_links:
            return None
        answer = await self._rc.call("operations/publiclink", fs=self._fs, remote=self._checked(location))
        return str(answer.body["url"])

    def address(self, location: str) -> None:
        """Give none: what a remote calls a file, rclone doesn't tell."""

    async def about(self) -> Room:
        """Tell the room; remotes that don't know it tell nothing."""
        told = _NO_ROOM
        if (await self._folder()).facts.has_room:
            try:
                told = room((await self._rc.call("operations/about", fs=self._fs)).body)
            except StoreError as error:
                if error.stable_code != StoreError.code:  # the general one: this server can't, though others could
                    raise
        self.capabilities = replace(self.capabilities, has_room=told.free is not None)
        return told

    async def ready(self) -> None:
        """Raise StoreError when the remote can't be asked for a file now."""
        if not await (await self._folder()).is_there():
            raise self._not_there()
        await self.about()

    def path(self, location: str) -> None:
        """Tell where the bytes lie on this machine: nowhere."""

    async def close(self) -> None:
        """End rclone."""
        await self._daemon.close()

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Erase what puts of dead processes left, if they began that long ago. Gives how many files that were."""
        return await (await self._opened()).abort_leftovers(older_than)

    async def _folder(self) -> Folder:
        return (await self._opened()).folder

    async def _opened(self) -> Putting:
        """Ask once what the remote can do."""
        if self._putting is None:
            answer = await unless_missing(self._rc.call("operations/fsinfo", fs=self._fs))
            if answer is None:
                raise self._not_there()
            folder = Folder(self._fs, self._rc, Facts.of(answer.body))
            self.capabilities = replace(self.capabilities, has_links=folder.facts.has_links)
            self._putting = Putting(self.name, folder, self._daemon)
        return self._putting

    def _not_there(self) -> StoreError:
        text = f"Store {self.name}: the remote has no such bucket or folder. Make it with `rclone mkdir`."
        return StoreError(text, retryable=False, code="store_not_found")

    def _checked(self, key: str) -> str:
        """Give the path of a key. Refuse what would lead out of the folder, or to what isn't whole."""
        parts = key.split("/")
        if {"", ".", ".."}.intersection(parts) or parts[0] == INCOMING:
            raise StoreError(f"Store {self.name} takes no such key.", retryable=False, code="store_refused")
        return key
