"""Lists that come in pages: objects, and multipart uploads that are open."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from carryall.ports.store import Stored
from carryall.stores.s3.faults import damaged, parsed
from carryall.stores.s3.wire import Wire


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A multipart upload that nobody completed or gave up."""

    key: str
    id: str
    age_s: float


async def objects(wire: Wire) -> AsyncIterator[Stored]:
    """Walk over everything below the prefix."""
    query = {"list-type": "2", "encoding-type": "url"}
    async for page, prefix, headers in _pages(wire, query, {"NextContinuationToken": "continuation-token"}):
        for found in page.iterfind("{*}Contents"):
            key = _key(page, found, prefix)
            if key:  # some tools make an object of the folder itself
                yield Stored(
                    location=key,
                    size=int(found.findtext("{*}Size") or 0),
                    age_s=age_s(found.findtext("{*}LastModified") or "", headers),
                    tag=(found.findtext("{*}ETag") or "").strip('"') or None,
                )


async def open_uploads(wire: Wire) -> AsyncIterator[OpenUpload]:
    """Walk over the multipart uploads below the prefix."""
    query = {"uploads": "", "encoding-type": "url"}
    more = {"NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"}
    async for page, prefix, headers in _pages(wire, query, more):
        for found in page.iterfind("{*}Upload"):
            began = found.findtext("{*}Initiated") or ""
            yield OpenUpload(_key(page, found, prefix), found.findtext("{*}UploadId") or "", age_s(began, headers))


async def _pages(
    wire: Wire, query: Mapping[str, str], more: Mapping[str, str]
) -> AsyncIterator[tuple[Element, str, Mapping[str, str]]]:
    """Give each page with the prefix and its headers; `more` says which element becomes which parameter of the next."""
    _, bucket = await wire.signer()
    asked = {**query, "prefix": bucket.prefix}
    while True:
        answer = await wire.call("GET", query=asked)
        page = parsed(wire.name, answer.body)
        yield page, bucket.prefix, answer.headers
        if (page.findtext("{*}IsTruncated") or "").lower() != "true":
            return
        markers = dict(_markers(page, more))
        if not markers or markers.items() <= asked.items():
            raise damaged(wire.name, "its list doesn't end.")
        asked |= markers


def _markers(page: Element, more: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for element, parameter in more.items():
        if value := page.findtext(f"{{*}}{element}"):
            yield parameter, _plain(page, value) if parameter == "key-marker" else value


def _key(page: Element, found: Element, prefix: str) -> str:
    return _plain(page, found.findtext("{*}Key") or "").removeprefix(prefix)


def _plain(page: Element, text: str) -> str:
    """Decode a key where the provider says that it encoded it: XML can't hold every character."""
    return unquote_plus(text) if page.findtext("{*}EncodingType") == "url" else text


def age_s(since: str, headers: Mapping[str, str]) -> float:
    """Tell an age by the provider's own clock: a time of its, up to the answer's Date."""
    try:
        began = parsedate_to_datetime(since) if "," in since else datetime.fromisoformat(since)
        now = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return 0.0
    return max(0.0, (_aware(now) - _aware(began)).total_seconds())


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
