"""Keeping a file once, whatever happens in between: look, send, complete, verify, clean up."""

import secrets
from typing import Any

from carryall.model.errors import Missing, StoreError
from carryall.ports.store import Reading, Sent, Source, Stored
from carryall.stores.mega import errors
from carryall.stores.mega.crypto import chunks, sealed
from carryall.stores.mega.download import MegaReading, describe
from carryall.stores.mega.errors import Refusal, part
from carryall.stores.mega.folder import Folder
from carryall.stores.mega.nodes import FILE, Label, Place, RawNode, compact
from carryall.stores.mega.upload import Uploaded, Way, upload


class Putting:
    """What `put` does."""

    def __init__(self, way: Way, folder: Folder) -> None:
        self._way = way
        self._session = way.session
        self._folder = folder

    async def put(self, key: str, source: Source, sent: Sent) -> Stored:
        """Keep a file; one that has the key already is kept if it is the same, and erased at the end if it isn't."""
        before = await self._folder.places(key)
        place = await self._same(before, source)
        if place is None:
            place = await self._complete(key, source, await upload(self._way, source, sent=sent))
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

    async def _complete(self, key: str, source: Source, uploaded: Uploaded) -> Place:
        """Make the node. Where nobody hears what became of that, the next put looks before it sends anything."""
        own = await self._session.identity()
        label = Label(name=source.name, key=key, sha256=source.sha256, made_at_s=int(self._session.api.now_s()))
        place = Place.new("", uploaded.key, own)
        node = {
            "h": uploaded.token,
            "t": FILE,
            "a": sealed(label.attributes(), uploaded.key.key),
            "k": place.stored_key,
        }
        with self._folder.in_doubt():
            target = await self._folder.handle()
            try:
                answer = await self._session.ask({"a": "p", "t": target, "n": [node]}, hook=compact)
            except Refusal as error:
                if error.number == errors.NOT_FOUND:
                    raise StoreError("MEGA lost the folder, or the bytes that were sent.", retryable=True) from error
                raise
            made = _only(part(answer, "f"))
        place = Place(made.handle, uploaded.key, place.stored_key)
        self._folder.added(place.location, key)
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
            there = await MegaReading(self._session, self._way.wire, place, start, stop).begin()
            is_same = await _content(there) == await _content(await source.open(start, stop))
        except Missing as error:
            raise StoreError("MEGA doesn't have what it just took.", retryable=True, code="store_damaged") from error
        if not is_same:
            raise await self._damaged(place)

    async def _damaged(self, place: Place) -> StoreError:
        await self._folder.erase(place.location)
        return StoreError("What arrived at MEGA isn't what was sent.", retryable=True, code="store_damaged")


def _only(nodes: Any) -> RawNode:
    match nodes:
        case [RawNode() as made]:
            return made
    raise StoreError("MEGA made a file, and didn't say which.", retryable=True)


async def _content(reading: Reading) -> bytes:
    """Read a chunk: a MiB at most."""
    try:
        return b"".join([piece async for piece in reading])
    finally:
        await reading.aclose()
