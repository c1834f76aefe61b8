"""The commands on a remote's folder."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from carryall.ports.store import Stored
from carryall.stores.rclone.facts import Facts
from carryall.stores.rclone.rc import Rc, unless_missing

INCOMING = "carryall-incoming"  # what isn't whole yet. No key begins so: an owner is `user%3A…`, `admin` and the like

_ALWAYS = {"IgnoreTimes": True}  # else rclone takes two files of one size for one file, and drops the newer one


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder, and everything below it."""

    fs: str
    rc: Rc
    facts: Facts

    async def now(self) -> datetime:
        """Give the present time: rclone's clock is this machine's."""
        return (await self.rc.call("rc/noop")).at

    async def is_there(self) -> bool:
        """Ask the remote for something. Folders come with their first file; whether a bucket is there can be told."""
        wanted = {"fs": self.fs, "remote": INCOMING, "opt": {"noMimeType": True}}
        return await unless_missing(self.rc.call("operations/list", **wanted)) is not None or not self.facts.is_bucket

    async def stat(self, path: str) -> Stored | None:
        """Tell which file is there; None where none is."""
        wanted = self.facts.asked | {"filesOnly": True}
        answer = await unless_missing(self.rc.call("operations/stat", fs=self.fs, remote=path, opt=wanted))
        item = None if answer is None else answer.body["item"]
        return None if answer is None or item is None else self.facts.stored(item, answer.at)

    async def list(self, path: str) -> tuple[list[str], list[Stored]]:
        """Give the folders and the files in a folder; nothing where there is none."""
        answer = await unless_missing(self.rc.call("operations/list", fs=self.fs, remote=path, opt=self.facts.asked))
        items: list[dict[str, Any]] = [] if answer is None else answer.body["list"] or []
        folders = [item["Path"] for item in items if item["IsDir"]]
        files = [self.facts.stored(item, answer.at) for item in items if answer and not item["IsDir"]]
        return folders, files

    async def erase(self, path: str) -> None:
        """Remove a file; one that isn't there is no error."""
        await unless_missing(self.rc.call("operations/deletefile", fs=self.fs, remote=path))

    async def move(self, old: str, new: str) -> None:
        """Rename a file. Raises Missing."""
        here = {"srcFs": self.fs, "dstFs": self.fs}
        await self.rc.call_once("operations/movefile", **here, srcRemote=old, dstRemote=new, _config=_ALWAYS)
