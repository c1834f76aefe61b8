"""One multipart upload: begun, its parts sent side by side, completed, or given up."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from xml.sax.saxutils import escape

from carryall.model.errors import CarryallError, StoreError
from carryall.ports.cancellation import shielded
from carryall.stores.s3.faults import UploadGone, damaged, parsed
from carryall.stores.s3.parts import Part
from carryall.stores.s3.wire import Answer, Wire

T = TypeVar("T")
_TRIES = 3  # fault 10; whoever wraps the store tries the whole file again later
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the provider has."""

    number: int
    etag: str
    crc32: str


class Multipart:
    """One upload of one key. Every open one of this process is in `open_ids`, so that no clean-up takes it for left."""

    def __init__(self, wire: Wire, key: str, open_ids: set[str]) -> None:
        self._wire = wire
        self._key = key
        self._open_ids = open_ids
        self._id = ""
        self._may_be_completing = False
        self.sent: list[SentPart] = []

    async def begin(self, headers: Mapping[str, str]) -> None:
        """Get an id. To be shielded: an id that nobody heard stays open."""
        answer = await self._wire.call("POST", self._key, query={"uploads": ""}, headers=headers, is_closing=True)
        self._id = parsed(self._wire.name, answer.body).findtext("{*}UploadId") or ""
        if not self._id:
            raise damaged(self._wire.name, "it began an upload without an id.")
        self._open_ids.add(self._id)

    async def send(self, number: int, part: Part) -> None:
        """Send a part, in up to three tries."""
        query = {"partNumber": str(number), "uploadId": self._id}
        answer = await patiently(lambda: self._wire.send(self._key, part, query=query, headers={}))
        self.sent.append(SentPart(number, answer.etag, part.checksum.crc32))

    async def complete(self) -> str:
        """Make the file of its parts; give its ETag.

        Raises UploadGone where the upload isn't open any more, which it also isn't when an earlier try succeeded and
        its answer was lost: compare `expected_etag` with what is there.
        """
        self.sent.sort(key=lambda part: part.number)
        body = "".join(["<CompleteMultipartUpload>", *map(_entry, self.sent), "</CompleteMultipartUpload>"]).encode()
        query, headers = {"uploadId": self._id}, {"Content-Type": "application/xml"}
        answer = await patiently(lambda: shielded(self._try_completing(query, headers, body)))
        return (parsed(self._wire.name, answer.body).findtext("{*}ETag") or "").strip('"')

    async def _try_completing(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        """Ask once. To be shielded: giving up what is being completed leaves some servers with half a file (Swift)."""
        self._may_be_completing = True
        try:
            return await self._wire.call("POST", self._key, query=query, headers=headers, body=body)
        except StoreError as error:
            self._may_be_completing = error.stable_code in ("store_timeout", "store_unreachable")  # nobody answered
            raise

    @property
    def expected_etag(self) -> str:
        """Give what AWS and most others make of the parts: the MD5 of their MD5s, and their number; "" if unknown."""
        try:
            digests = b"".join(bytes.fromhex(part.etag) for part in self.sent)
        except ValueError:
            return ""
        return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self.sent)}"

    async def abort(self) -> None:
        """Give up what was sent. Never raises: what can't be given up now, `abort_leftovers` will find."""
        if self._id and not self._may_be_completing:
            await abort_upload(self._wire, self._key, self._id)

    def forget(self) -> None:
        """Leave it to the clean-up, whether it is open or not."""
        self._open_ids.discard(self._id)


def _entry(part: SentPart) -> str:
    crc32 = f"<ChecksumCRC32>{part.crc32}</ChecksumCRC32>" if part.crc32 else ""
    return f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag>{crc32}</Part>'


async def abort_upload(wire: Wire, key: str, upload_id: str) -> bool:
    """Give up a multipart upload; tell whether it is gone."""
    try:
        await wire.call("DELETE", key, query={"uploadId": upload_id}, is_closing=True)
    except UploadGone:
        return True
    except CarryallError:
        return False
    return True


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Try up to three times, with pauses that differ: all parts of a file fail at the same moment."""
    for fails in range(1, _TRIES):
        try:
            return await work()
        except UploadGone:
            raise
        except StoreError as error:
            pause_s = error.retry_after_s or _FIRST_PAUSE_S * 2**fails
            if not error.retryable or error.stable_code == "staging_lost" or pause_s > _LONGEST_PAUSE_S:
                raise
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter is no secret
    return await work()
