"""Byte ranges: what a Range header asks for, and how several parts are answered at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from carryall.http.headers import clean_media_type

# RFC 9110 §14.2 lets a server ignore what costs it more than it can be worth (CVE-2025-62727; threat 22).
_MAX_HEADER = 8 << 10  # characters
_MAX_RANGES = 100
_MAX_OVERLAPS = 2  # RFC 9110 §17.15
_UNIT = re.compile(r"bytes=", re.IGNORECASE)
_SPEC = re.compile(r"(\d{1,19})-(\d{0,19})|-(\d{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """A half-open run of bytes, never empty: `start` is the first, `stop` the one behind the last."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """Write the Content-Range of this part of `size` bytes; the header counts inclusively (RFC 9110 §14.4)."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No asked byte exists: 416."""

    size: int

    @property
    def content_range(self) -> str:
        """The Content-Range that a 416 carries (RFC 9110 §15.5.17)."""
        return f"bytes */{self.size}"


@dataclass(frozen=True, slots=True)
class MultipartRanges:
    """The frame of a multipart/byteranges answer: `heads[i]`, the bytes of range i, and so on; `tail` ends it.

    Attributes:
        content_length: of the whole answer, in bytes.
        content_type: of the whole answer.
    """

    heads: tuple[bytes, ...]
    tail: bytes
    content_length: int
    content_type: str


def parse_ranges(header: str | None, size: int) -> list[Range] | Unsatisfiable | None:
    """Read a Range header for a representation of `size` bytes.

    Ranges that overlap or touch become one; the others keep the order in which they were asked for.

    None means the whole: no header, another unit, a malformed one, an empty file, or one that asks for too much: more
    than 100 ranges, more than two overlaps, or more bytes than there are. Long headers aren't looked at.

    Source: RFC 9110 §14.1.2, §14.2.
    """
    if not header or len(header) > _MAX_HEADER or not _UNIT.match(header) or size == 0:
        return None
    _, _, listed = header.partition("=")
    specs = [spec for part in listed.split(",") if (spec := part.strip(" \t"))]
    if not 0 < len(specs) <= _MAX_RANGES:
        return None
    found: list[Range] = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            return None
        asked = _asked(match, size)
        if asked.length > 0:
            found.append(asked)
    if not found:
        return Unsatisfiable(size)
    if sum(asked.length for asked in found) > size:
        return None
    return _coalesced(found)


def multipart_ranges(ranges: Sequence[Range], size: int, *, media_type: str, boundary: str) -> MultipartRanges:
    """Frame several ranges of a representation of `size` bytes (RFC 9110 §14.6).

    Args:
        media_type: of the representation; what isn't clean is answered as application/octet-stream.
        boundary: random, and made of token characters.
    """
    shown = clean_media_type(media_type) or "application/octet-stream"
    opening = f"\r\n--{boundary}\r\nContent-Type: {shown}\r\nContent-Range: "
    heads = tuple(f"{opening}{each.content_range(size)}\r\n\r\n".encode("ascii") for each in ranges)
    tail = f"\r\n--{boundary}--\r\n".encode("ascii")
    return MultipartRanges(
        heads=heads,
        tail=tail,
        content_length=sum(map(len, heads)) + sum(each.length for each in ranges) + len(tail),
        content_type=f"multipart/byteranges; boundary={boundary}",
    )


def _asked(match: re.Match[str], size: int) -> Range:
    """Give the part of a spec that exists; its length isn't positive where none does."""
    first, last, suffix = match.groups()
    if suffix is not None:
        return Range(max(0, size - int(suffix)), size)
    return Range(int(first), min(size, int(last) + 1) if last else size)


def _coalesced(found: list[Range]) -> list[Range] | None:
    """Merge what overlaps or touches, in the order of first mention; None for too many overlaps."""
    overlaps = 0
    merged: list[tuple[int, Range]] = []
    for order, each in sorted(enumerate(found), key=lambda pair: pair[1]):
        if merged and each.start <= merged[-1][1].stop:
            first, before = merged[-1]
            overlaps += each.start < before.stop
            merged[-1] = (min(first, order), Range(before.start, max(before.stop, each.stop)))
        else:
            merged.append((order, each))
    if overlaps > _MAX_OVERLAPS:
        return None
    return [each for _, each in sorted(merged)]
