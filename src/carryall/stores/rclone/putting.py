"""Bringing a file to a remote, so that a reader sees it whole or not at all.

It is brought to a name of its own in the folder `INCOMING`, looked at, and only then renamed. No remote is trusted to
refuse, or to replace, what is there already: that is set aside before and comes back when the renaming fails.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carryall.model.errors import CarryallError, Missing, NoRoom, StoreError
from carryall.ports.cancellation import shielded
from carryall.ports.store import Sent, Source, Stored
from carryall.stores.rclone.daemon import Daemon
from carryall.stores.rclone.failures import damaged
from carryall.stores.rclone.folder import INCOMING, Folder

_BEGUN = "%Y%m%dT%H%M%SZ"
_CLEAN_S = 10.0
_LATE_S = 5.0
_FIRST_PAUSE_S = 0.02
_SPARE_BYTES = 64 << 20

# The name is new: nothing needs to be looked up, or renamed by rclone once more.
_AS_NEW = {"NoCheckDest": True, "Inplace": True}


class Putting:
    """Brings files to one remote."""

    def __init__(self, name: str, folder: Folder, daemon: Daemon) -> None:
        self.folder = folder
        self._name = name
        self._daemon = daemon
        self._spooling = asyncio.Lock()  # one file at a time: this bounds the disk that it takes

    async def put(self, path: str, source: Source, sent: Sent) -> Stored:
        """Keep a file at a path."""
        before = await self.folder.stat(path)
        if before is not None and before.size == source.size and before.tag == _tag(source):
            sent(source.size)
            return before  # an earlier try has done it
        if self._is_direct(source):
            await self._bring(path, source, sent)
            return await self._checked(path, source)
        temporary = f"{INCOMING}/{(await self.folder.now()).strftime(_BEGUN)}-{secrets.token_hex(8)}"
        try:
            await self._bring(temporary, source, sent)
            await self._checked(temporary, source)
            await shielded(self._rename(temporary, path, is_there=before is not None))
        except BaseException:
            await shielded(self._clean(temporary))
            raise
        return await self._checked(path, source)

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Erase what puts of dead processes left, if they began that long ago. Gives how many files that were."""
        now, erased = await self.folder.now(), 0
        for left in (await self.folder.list(INCOMING))[1]:
            begun = _begun(left.location.rpartition("/")[2])
            if begun is not None and now - begun > older_than:
                await self.folder.erase(left.location)
                erased += 1
        return erased

    def _is_direct(self, source: Source) -> bool:
        """Tell whether the file may be brought to its name at once.

        Buckets show a file when it is whole, and rename it by copying. Of a stream that was cut rclone may keep what
        came, so that is looked at first. Where nothing can be renamed there is no other way.
        """
        return not self.folder.facts.moves or (self.folder.facts.is_bucket and source.path is not None)

    async def _bring(self, path: str, source: Source, sent: Sent) -> None:
        if source.path is not None:
            await self._copy(source.path, path, source, sent)
        elif self.folder.facts.streams:
            await self._stream(path, source, sent)
        else:
            async with self._spooling:
                if self._daemon.free_bytes < source.size + _SPARE_BYTES:
                    raise NoRoom("The server's disk has no room to pass the file on.", retry_after_s=60)
                await self._stream(path, source, sent)
        sent(source.size)

    async def _copy(self, local: Path, path: str, source: Source, sent: Sent) -> None:
        """Have rclone read the file itself. It compares checksums wherever the remote has one that it can compute."""
        absolute, size = await asyncio.to_thread(_looked_at, local)
        if size != source.size:
            raise StoreError("The bytes are not as many as were counted.", retryable=False, code="staging_lost")
        try:
            await self.folder.rc.run(
                "operations/copyfile",
                told=lambda count: sent(min(count, source.size)),
                srcFs="/",
                srcRemote=absolute[1:],
                dstFs=self.folder.fs,
                dstRemote=path,
                _config=_AS_NEW,
            )
        except Missing:  # rclone can't say every name that Linux can
            await self._stream(path, source, sent)

    async def _stream(self, path: str, source: Source, sent: Sent) -> None:
        async def body() -> AsyncIterator[bytes]:
            count = 0
            reading = await source.open(0, source.size)
            try:
                async for chunk in reading:
                    count += len(chunk)
                    yield chunk
                    sent(min(count, source.size))
            finally:
                await reading.aclose()
            if count != source.size:
                raise StoreError("The bytes are not as many as were counted.", retryable=False, code="staging_lost")

        folder, _, name = path.rpartition("/")
        try:
            await self.folder.rc.upload(self.folder.fs, folder, name, body, size=source.size)
        except Missing as error:
            raise StoreError(
                f"Store {self._name}: the remote's folder isn't there.", retryable=True, code="store_not_found"
            ) from error

    async def _checked(self, path: str, source: Source) -> Stored:
        """Look at what is there now. Raises StoreError where that isn't what was sent.

        Some remotes hear late of what was just done there (MEGA's tree comes by events): it looks a few times.
        """
        give_up_at, pause_s = time.monotonic() + _LATE_S, _FIRST_PAUSE_S
        while True:
            stored = await self.folder.stat(path)
            if stored is not None and _agrees(stored, source):
                return stored
            if time.monotonic() > give_up_at:
                raise damaged(self._name)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _rename(self, temporary: str, path: str, *, is_there: bool) -> None:
        aside = f"{temporary}.before"
        try:
            if is_there:
                await self.folder.move(path, aside)
            await self.folder.move(temporary, path)
        except CarryallError as error:
            if is_there and await self.folder.stat(path) is None:
                await self.folder.move(aside, path)
            if isinstance(error, Missing):  # somebody else took it away
                raise damaged(self._name) from error
            raise
        if is_there:
            with suppress(CarryallError):  # a leftover, then
                await self.folder.erase(aside)

    async def _clean(self, temporary: str) -> None:
        with suppress(CarryallError, TimeoutError):  # what stays is hidden, and goes with the leftovers
            async with asyncio.timeout(_CLEAN_S):
                await self.folder.erase(temporary)


def _agrees(stored: Stored, source: Source) -> bool:
    """Tell whether the size is the source's, and the checksum, if it is of the kind that we know."""
    is_comparable = stored.tag is not None and stored.tag.startswith("sha256:")
    return stored.size == source.size and (not is_comparable or stored.tag == _tag(source))


def _tag(source: Source) -> str:
    return f"sha256:{source.sha256}"


def _looked_at(path: Path) -> tuple[str, int]:
    """Give the absolute path and the size."""
    try:
        return str(path.absolute()), path.lstat().st_size
    except OSError as error:
        raise StoreError("The bytes can't be read.", retryable=True, code="staging_lost") from error


def _begun(name: str) -> datetime | None:
    """Read when a put began out of the name that it gave; None for a name that isn't ours."""
    try:
        return datetime.strptime(name.partition("-")[0], _BEGUN).replace(tzinfo=UTC)
    except ValueError:
        return None
