"""One file on its way into a bucket, and the look at what came of it."""

import asyncio
import base64
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from carryall.model.errors import Missing, StoreError
from carryall.ports.cancellation import shielded
from carryall.ports.store import Sent, Source, Stored
from carryall.stores.s3.faults import UploadGone, damaged, gone
from carryall.stores.s3.loading import Loader
from carryall.stores.s3.multipart import Multipart
from carryall.stores.s3.options import MEBIBYTE
from carryall.stores.s3.pages import age_s
from carryall.stores.s3.parts import Protection
from carryall.stores.s3.wire import Answer, Wire

_PARTS = 10_000  # S3's limit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the provider must have now: its ETag, and the checksum where one was sent."""

    etag: str
    crc32: str


@dataclass(frozen=True, slots=True)
class Means:
    """What every put of a store shares.

    Attributes:
        open_ids: the multipart uploads of this process that are under way.
    """

    wire: Wire
    loader: Loader
    part_bytes: int
    parallel_parts: int
    checksum: str
    open_ids: set[str]


class Putting:
    """A file on its way to a key."""

    def __init__(self, means: Means, key: str, source: Source, sent: Sent) -> None:
        self._means = means
        self._wire = means.wire
        self._key = key
        self._source = source
        self._sent = sent
        self._counts: dict[int, int] = {}
        self._total = 0
        self._protection: Protection = "tls"

    async def run(self) -> Stored:
        """Bring it, and make sure that it is there."""
        _, bucket = await self._wire.signer()
        if self._means.checksum == "crc32":
            self._protection = "crc32"
        elif not bucket.is_encrypted:
            self._protection = "sha256"  # never an unprotected body over http
        if self._source.size <= self._means.part_bytes:
            outcome = await self._whole()
        else:
            try:
                outcome = await self._in_parts()
            except UploadGone:  # somebody gave it up: a rule of the bucket, or another clean-up
                outcome = await self._in_parts()
        return await self._verified(outcome)

    async def _whole(self) -> Outcome:
        async with self._means.loader.load(
            self._source, 0, self._source.size, protection=self._protection, told=self._told(1)
        ) as part:
            answer = await self._wire.send(self._key, part, query={}, headers=self._facts())
            return Outcome(answer.etag, part.checksum.crc32)

    async def _in_parts(self) -> Outcome:
        upload = Multipart(self._wire, self._key, self._means.open_ids)
        headers = {"x-amz-checksum-algorithm": "CRC32"} if self._protection == "crc32" else {}
        size = part_bytes(self._source.size, self._means.part_bytes)
        ranges = enumerate(range(0, self._source.size, size), start=1)
        try:
            await shielded(upload.begin({**self._facts(), **headers}))
            await self._side_by_side(upload, ranges, size)
            return Outcome(await self._completed(upload), composite(upload))
        except BaseException:
            await shielded(upload.abort())
            raise
        finally:
            upload.forget()

    async def _side_by_side(self, upload: Multipart, ranges: Iterator[tuple[int, int]], size: int) -> None:
        """Send all parts; the first one that fails stops the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._means.parallel_parts):
                    group.create_task(self._one_by_one(upload, ranges, size))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _one_by_one(self, upload: Multipart, ranges: Iterator[tuple[int, int]], size: int) -> None:
        for number, start in ranges:
            stop = min(start + size, self._source.size)
            async with self._means.loader.load(
                self._source, start, stop, protection=self._protection, told=self._told(number)
            ) as part:
                await upload.send(number, part)

    async def _completed(self, upload: Multipart) -> str:
        try:
            return await upload.complete()
        except UploadGone:
            there = await self._look()  # was it completed by a try whose answer was lost?
            if there is None or there.etag != upload.expected_etag:
                raise
            return there.etag

    async def _verified(self, outcome: Outcome) -> Stored:
        """Agree with the provider on what it has; what isn't what was sent is taken away."""
        there = await self._look()
        wrong = "it isn't there." if there is None else _difference(there, self._source.size, outcome)
        if there is None or wrong:
            with suppress(Missing):
                await self._wire.call("DELETE", self._key)
            raise damaged(self._wire.name, f"after the upload, {wrong}")
        return stored(self._key, there)

    async def _look(self) -> Answer | None:
        with suppress(Missing):
            return await look(self._wire, self._key)
        return None

    def _facts(self) -> dict[str, str]:
        """Say what the object is served as. Nothing else is told: there is no other metadata."""
        name = quote(self._source.name, safe="", errors="replace")
        return {
            "Content-Type": self._source.media_type,
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        }

    def _told(self, number: int) -> Callable[[int], None]:
        """Count what is on its way in one part; all parts together are told."""

        def count(sent_bytes: int) -> None:
            self._total += sent_bytes - self._counts.get(number, 0)
            self._counts[number] = sent_bytes
            self._sent(self._total)

        return count


async def look(wire: Wire, key: str) -> Answer:
    """Tell what is there. Raises Missing."""
    try:
        return await wire.call("HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"})
    except StoreError as error:
        if error.stable_code != "store_not_found":
            raise
    # An answer to HEAD has no body: it can't say whether the file or the whole bucket isn't there.
    await wire.call("GET", key, headers={"Range": "bytes=0-0"})
    raise gone()  # and comes just now: whoever brings it will look again


def stored(key: str, there: Answer) -> Stored:
    """Say what was found at a key."""
    age = age_s(there.headers.get("Last-Modified", ""), there.headers)
    return Stored(location=key, size=size_of(there), age_s=age, tag=there.etag or None)


def size_of(there: Answer) -> int:
    """Read an object's size; -1 where it isn't told."""
    value = there.headers.get("Content-Length", "")
    return int(value) if value.isascii() and value.isdigit() else -1


def _difference(there: Answer, size: int, outcome: Outcome) -> str:
    """Say what isn't as it was sent; "" if nothing."""
    crc32 = there.headers.get("x-amz-checksum-crc32", "")
    if size_of(there) != size:
        return f"it has {size_of(there)} bytes instead of {size}."
    if outcome.etag and there.etag != outcome.etag:
        return "its ETag is another one."
    # A checksum over a whole file of several parts isn't ours to compare: ours is over the parts' checksums.
    if crc32 and outcome.crc32 and ("-" in crc32) == ("-" in outcome.crc32) and crc32 != outcome.crc32:
        return "its checksum is another one."
    return ""


def composite(upload: Multipart) -> str:
    """Give the checksum of the parts' checksums. Source: AWS, "Checking object integrity", composite."""
    if not all(part.crc32 for part in upload.sent):
        return ""
    crc32 = zlib.crc32(b"".join(base64.b64decode(part.crc32) for part in upload.sent))
    return f"{base64.b64encode(crc32.to_bytes(4, 'big')).decode()}-{len(upload.sent)}"


def part_bytes(size: int, preferred: int) -> int:
    """Choose the size of a file's parts: whole MiB, and never more than 10,000 of them."""
    needed = -(-size // _PARTS)
    return max(preferred, -(-needed // MEBIBYTE) * MEBIBYTE)
