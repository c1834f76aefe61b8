"""Keeping a file once, whatever happens in between: look, send, complete, verify, clean up."""

import secrets

from carryall.model.errors import Missing, StoreError
from carryall.ports.store import Reading, Sent, Source, Stored
from carryall.stores.mega import errors
from carryall.stores.mega.crypto import b64encode, chunks, ecb_encrypt, sealed
from carryall.stores.mega.download import MegaReading, describe
from carryall.stores.mega.errors import Refusal
from carryall.stores.mega.folder import Folder
from carryall.stores.mega.nodes import FILE, Label, Place, marked
from carryall.stores.mega.upload import Uploaded, Way, upload


class Putting:
    """What `put` does."""

    def __init__(self, way: Way, folder: Folder) -> None:
        self._way = way
        self._session = way.session
        self._folder = folder

    async def put(self, key: str, source: Source, sent: Sent) -> Stored:
        """Keep a file; one that has the key already is kept if it is the same, and erased at the end if it isn't."""
        mark = marked(key)
        before = await self._folder.places(mark)
        place = await self._same(before, source)
        if place is None:
            place = await self._complete(mark, source, await upload(self._way, source, sent=sent))
        await self._verify(place, source)
        for location in before:
            if location != place.location:
                await self._folder.erase(location)
        sent(source.size)
        return Stored(location=place.location, size=source.size, age_s=0.0, tag=place.tag)

    async def _same(self, before: list[str], source: Source) -> Place | None:
        """Give the first file that holds these bytes, by what its label says of them."""
        own = await self._session.identity()
        for location in before:
            place = Place.at(location, own)
            try:
                found = await describe(self._session, place)
            except Missing:
                continue
            label = Label.read(str(found.get("at")), place.key)
            if (found.get("s"), label.sha256) == (source.size, source.sha256):
                return place
        return None

    async def _complete(self, mark: str, source: Source, uploaded: Uploaded) -> Place:
        """Make the node."""
        own = await self._session.identity()
        kept = b64encode(ecb_encrypt(own.master_key, uploaded.key.packed()))
        label = Label(name=source.name, mark=mark, sha256=source.sha256, made_at_s=int(self._session.api.now_s()))
        attributes = sealed(label.attributes(), uploaded.key.key)
        try:
            made = await self._folder.keep({"h": uploaded.token, "t": FILE, "a": attributes, "k": kept}, mark)
        except Refusal as error:
            if error.number == errors.NOT_FOUND:
                raise StoreError("MEGA lost the folder, or the bytes that were sent.", retryable=True) from error
            raise
        place = Place(made.handle, uploaded.key, kept)
        if made.size != source.size:
            raise await self._damaged(place)
        return place

    async def _verify(self, place: Place, source: Source) -> None:
        """Fetch a chunk, whichever it is, and compare it with the source's: MEGA can't check what it can't read."""
        canonical = list(chunks(source.size))
        if not canonical:
            return
        start, stop = secrets.choice(canonical)
        try:
            there = await _content(await MegaReading(self._session, self._way.wire, place, start, stop).begin())
        except Missing as error:
            raise StoreError("MEGA doesn't have what it just took.", retryable=True, code="store_damaged") from error
        except StoreError as error:
            if error.stable_code == "store_damaged":
                raise await self._damaged(place) from error
            raise
        if there != await _content(await source.open(start, stop)):
            raise await self._damaged(place)

    async def _damaged(self, place: Place) -> StoreError:
        await self._folder.erase(place.location)
        return StoreError("What arrived at MEGA isn't what was sent.", retryable=True, code="store_damaged")


async def _content(reading: Reading) -> bytes:
    """Read a chunk: a MiB at most."""
    try:
        return b"".join([piece async for piece in reading])
    finally:
        await reading.aclose()
