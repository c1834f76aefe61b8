"""Files in a bucket: small ones by one request, large ones in parts side by side, and a look at what came of it."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from carryall.model.errors import Missing
from carryall.ports.store import Capabilities, Room, Sent, Source, Stored, _nobody
from carryall.stores.s3 import pages
from carryall.stores.s3.account import Account
from carryall.stores.s3.faults import too_large
from carryall.stores.s3.loading import Loader
from carryall.stores.s3.multipart import abort_upload
from carryall.stores.s3.options import MEBIBYTE, Patience, S3Options
from carryall.stores.s3.putting import Means, Putting, look, stored
from carryall.stores.s3.reading import S3Reading, checked
from carryall.stores.s3.wire import Wire

_SIZE_MAX = 5 << 40  # S3's limits
_PART_MIN = 5 * MEBIBYTE
_LINK_DAYS_MAX = 7


class S3Store:
    """Implements `ports.store.Store`. A location is the key, below the prefix."""

    def __init__(self, name: str, options: S3Options, *, patience: Patience | None = None) -> None:
        self.name = name
        self.capabilities = Capabilities(has_links=options.links != "none", keys="encoded")
        self._options = options
        self._threads = ThreadPoolExecutor(options.parallel_parts + 1, thread_name_prefix=f"store-{name}")
        self._wire = Wire(name, options, Account(name, options, self._threads), patience or Patience())
        self._means = Means(
            wire=self._wire,
            loader=Loader(options.parallel_parts, self._threads),
            part_bytes=max(_PART_MIN, options.part_bytes),
            parallel_parts=options.parallel_parts,
            checksum=options.checksum,
            open_ids=set(),
        )

    async def put(self, key: str, source: Source, *, sent: Sent = _nobody) -> Stored:
        """Keep a file."""
        if source.size > _SIZE_MAX:
            raise too_large(self.name)
        return await Putting(self._means, key, source, sent).run()

    async def open(self, location: str, start: int, stop: int) -> S3Reading:
        """Open the half-open range."""
        if start >= stop:
            await look(self._wire, location)
            return S3Reading(self.name, None, 0)
        response = await self._wire.open(location, start, stop)
        if error := checked(self.name, response, start, stop):
            response.close()
            raise error
        return S3Reading(self.name, response, stop - start)

    async def erase(self, location: str) -> None:
        """Remove a file."""
        with suppress(Missing):
            await self._wire.call("DELETE", location)

    async def stat(self, location: str) -> Stored:
        """Tell what is there."""
        return stored(location, await look(self._wire, location))

    def list(self) -> AsyncIterator[Stored]:
        """Walk over everything below the prefix."""
        return pages.objects(self._wire)

    async def link(self, location: str) -> str | None:
        """Give a link to the object itself: signed for some days, or plain where everybody may read the bucket."""
        if self._options.links == "none":
            return None
        await look(self._wire, location)
        signer, bucket = await self._wire.signer()
        if self._options.links == "public":
            return bucket.link(location)
        days = min(self._options.link_days, _LINK_DAYS_MAX)
        return signer.link(bucket.link(location), int(timedelta(days=days).total_seconds()))

    def address(self, location: str) -> str:
        """Give the object's URL, by which only those with rights on the bucket can read."""
        return self._wire.address(location)

    async def about(self) -> Room:
        """Tell nothing: S3 has no word for room."""
        return Room(None, None, None)

    async def ready(self) -> None:
        """Ask for a list of one: unlike HEAD, a refusal says what is wrong."""
        _, bucket = await self._wire.signer()
        await self._wire.call("GET", query={"list-type": "2", "max-keys": "1", "prefix": bucket.prefix})

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Give up multipart uploads that nobody will complete; give their number.

        Those that this process has under way stay. Others' are told by their age alone, so it must be longer than the
        longest upload takes. What fails stays for the next time.
        """
        count = 0
        async for found in pages.open_uploads(self._wire):
            if found.age_s >= older_than.total_seconds() and found.id not in self._means.open_ids:
                count += await abort_upload(self._wire, found.key, found.id)
        return count

    def path(self, location: str) -> Path | None:
        """Tell that no bytes lie on this machine."""
        return None

    async def close(self) -> None:
        """Close connections; threads end by themselves."""
        await self._wire.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
