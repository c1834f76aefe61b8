"""Forms as they arrive: multipart/form-data part by part, nothing spooled, nothing held but one network chunk."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Self

from multipart import (
    _COMPLETE,
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)

from carryall.http.headers import clean_media_type, parse_disposition, parse_parameters
from carryall.model.errors import BodyTruncated, Malformed, TooLarge
from carryall.ports.body import CHUNK_MAX_BYTES, Body

# RFC 2046 §5.1.1 gives 1 to 70 of fewer characters; "*****" is what a widely copied Android example sends.
_BOUNDARY = re.compile(r"[!#$%&'()*+,\-./0-9:=?A-Z^_`a-z{|}~ ]{0,69}[!#$%&'()*+,\-./0-9:=?A-Z^_`a-z{|}~]", re.ASCII)
_MAX_PREAMBLE_BYTES = 64  # only CRLFs: some clients begin with one. Any other preamble is text that nobody reads.
_MAX_EPILOGUE_BYTES = 1024  # only blanks: most clients end with CRLF. A part after the end is for some other reader.
_MAX_PART_HEADERS = 16  # RFC 7578 knows three
_STEP_BYTES = CHUNK_MAX_BYTES // 2  # what is parsed at once, so that a piece with its left-over stays below the limit
_PLAIN_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How much form there may be.

    Attributes:
        max_fields: parts without a file name.
        max_field_bytes: the value of one field.
        max_files: parts with a file name. With the fields it stays below 1,000 parts (threat 17).
        max_header_bytes: all header lines of one part.
        max_total_bytes: the whole form, headers and boundaries included; None for no limit.
    """

    max_fields: int = 100
    max_field_bytes: int = 64 << 10
    max_files: int = 800
    max_header_bytes: int = 8 << 10
    max_total_bytes: int | None = None


_DEFAULT_LIMITS = FormLimits()


@dataclass(frozen=True, slots=True)
class Field:
    """A part without a file name: UTF-8 text."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part with a file name.

    Attributes:
        name: of the form's field.
        filename: as the client sent it: separators, control characters and all. "" where no file was chosen.
        media_type: as the client says, cleaned; None where it says none.
        body: the bytes, of unknown size; read them before the next part is asked for.
    """

    name: str
    filename: str
    media_type: str | None
    body: Body


def parts(body: Body, content_type: str, limits: FormLimits = _DEFAULT_LIMITS) -> AsyncIterator[Field | FilePart]:
    """Read a form's parts in the order in which they were sent.

    The Content-Type is judged now, before anything is read. What is left of a file's body when the next part is
    asked for is skipped, and counted all the same. A form isn't whole before the iteration has ended: until then
    whatever was made of its parts has to be undoable.

    Strict, as far as browsers, curl and the usual libraries are: no line folding, no bare line feeds, no text around
    the parts, names in UTF-8 (others are refused, so a name is never altered). `filename*` wins over `filename`.
    `carryall.http.headers.parse_disposition` says how quotes and backslashes in names are understood.

    Raises:
        Malformed: `not_multipart` (statuses may differ: 415 where a surface says so, else 400),
            `form_boundary_missing`, `form_malformed`, and `form_truncated` for a form without its closing boundary.
        TooLarge: `form_too_many_parts`, `form_field_too_large`, `form_header_too_large`, `form_too_large`.
        BodyTruncated, BodyStalled: as the body has it.

    Source: RFC 7578, RFC 2046 §5.1.1, HTML "multipart/form-data encoding algorithm"; threats 1, 17 and 26.
    """
    return _Form(body, _boundary(content_type), limits)


class _Parser(PushMultipartParser):  # type: ignore[misc]  # published without types
    """The library's parser, and what it knows about its end.

    multipart 2.0.1 keeps that to itself: `closed` stays False, and a CRLF after the end is refused or not depending
    on the chunk that brings it.
    """

    @property
    def is_complete(self) -> bool:
        """True once the closing boundary was read."""
        return self._state is _COMPLETE

    @property
    def rest(self) -> bytes:
        """What came behind the closing boundary, in the same chunk."""
        return bytes(self._buffer) if self.is_complete else b""


class _Form:
    """One pass over one form. Its own iterator, so that leaving it at any point leaves nothing open."""

    def __init__(self, body: Body, boundary: bytes, limits: FormLimits) -> None:
        self._chunks = aiter(body)
        self._opening = b"--" + boundary
        self._limits = limits
        # The limit counts lines one by one here, and a part's lines together in `_headers`: that one has to be first.
        self._parser = _Parser(
            boundary,
            strict=True,
            max_header_size=limits.max_header_bytes + 2,
            max_header_count=_MAX_PART_HEADERS,
        )
        self._head: bytes | None = b""  # what came before the first boundary was whole; None afterwards
        self._events: Iterator[MultipartSegment | bytes | None] = iter(())
        self._current: _PartBody | None = None
        self._fields = self._files = self._total_bytes = self._epilogue_bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Field | FilePart:
        while self._current is not None:
            if await self._event() is None:
                self._current = None
        segment = await self._event()
        if segment is None:
            raise StopAsyncIteration
        headers = self._headers(segment)
        name, filename = _names(headers.get("Content-Disposition", ""))
        self._count(is_file=filename is not None)
        if filename is None:
            return Field(name, await self._value(name))
        self._current = _PartBody(self)
        return FilePart(name, filename, clean_media_type(headers.get("Content-Type")), self._current)

    async def piece(self, reader: "_PartBody") -> bytes | None:
        """Give the next bytes of the part that is being read; None at its end."""
        if reader is not self._current:
            raise BodyTruncated("The form went on to its next part before this one was read.")
        piece: bytes | None = await self._event()
        if piece is None:
            self._current = None
        return piece

    async def _event(self) -> MultipartSegment | bytes | None:
        """Give what comes next: a part's head, bytes of it, None for its end; None between parts is the form's end."""
        while True:
            try:
                return next(self._events)
            except StopIteration:
                pass
            except ParserLimitReached as exc:
                raise self._header_too_large() from exc
            except MultipartError as exc:
                raise _malformed(f"{exc.args[0]}.") from exc
            chunk = await anext(self._chunks, None)
            if chunk is not None:
                self._total_bytes += len(chunk)
                self._check_total()
                self._events = self._parsed(chunk)
            elif self._parser.is_complete:
                return None
            else:
                raise Malformed("The form ends before its closing boundary.", code="form_truncated")

    def _parsed(self, chunk: bytes) -> Iterator[MultipartSegment | bytes | None]:
        if self._head is not None:
            chunk = self._opened(self._head + chunk)
        for start in range(0, len(chunk), _STEP_BYTES):
            step = chunk[start : start + _STEP_BYTES]
            if not self._parser.is_complete:
                yield from self._parser.parse(step)
                step = self._parser.rest
            self._epilogue_bytes += len(step)
            if step.strip(b"\r\n\t ") or self._epilogue_bytes > _MAX_EPILOGUE_BYTES:
                raise _malformed("Something follows the closing boundary.")

    def _opened(self, head: bytes) -> bytes:
        """Give what there is from the first boundary on, or keep it until that can be told.

        The parser would look for the boundary in its first chunk only, wherever the network cut that.
        """
        start = 0
        while start <= _MAX_PREAMBLE_BYTES and head.startswith(b"\r\n", start):
            start += 2
        self._head = head
        if start > _MAX_PREAMBLE_BYTES:
            raise _malformed("It begins with too many empty lines.")
        if len(head) - start < len(self._opening) + 2:
            return b""
        if not head.startswith(self._opening, start):
            raise _malformed("It doesn't begin with its boundary.")
        self._head = None
        return head[start:]

    def _headers(self, segment: MultipartSegment) -> dict[str, str]:
        """Check a part's header lines and give them by name, each in Title-Case."""
        lines: list[tuple[str, str]] = segment.headerlist
        if sum(len(name.encode()) + len(value.encode()) + 2 for name, value in lines) > self._limits.max_header_bytes:
            raise self._header_too_large()
        headers = dict(lines)
        if len(headers) < len(lines):
            raise _malformed("A part has the same header twice.")
        if any("\n" in value or "\r" in value for value in headers.values()):
            raise _malformed("A line of a part's header ends without CRLF.")
        if headers.get("Content-Transfer-Encoding", "").strip().lower() not in _PLAIN_ENCODINGS:
            raise _malformed("Parts are taken as they are, without a Content-Transfer-Encoding (RFC 7578 §4.7).")
        return headers

    async def _value(self, name: str) -> str:
        taken = bytearray()
        while (piece := await self._event()) is not None:
            taken += piece
            if len(taken) > self._limits.max_field_bytes:
                limit = self._limits.max_field_bytes
                raise TooLarge(
                    f"The field {name[:100]!r} has more than {limit} bytes.", code="form_field_too_large", limit=limit
                )
        try:
            return taken.decode()
        except UnicodeDecodeError as exc:
            raise _malformed(f"The field {name[:100]!r} isn't UTF-8.") from exc

    def _count(self, *, is_file: bool) -> None:
        self._files += is_file
        self._fields += not is_file
        if self._files > self._limits.max_files or self._fields > self._limits.max_fields:
            raise TooLarge(
                f"A form may have at most {self._limits.max_files} files and {self._limits.max_fields} fields.",
                code="form_too_many_parts",
                max_files=self._limits.max_files,
                max_fields=self._limits.max_fields,
            )

    def _check_total(self) -> None:
        limit = self._limits.max_total_bytes
        if limit is not None and self._total_bytes > limit:
            raise TooLarge(f"The form has more than {limit} bytes.", code="form_too_large", limit=limit)

    def _header_too_large(self) -> TooLarge:
        limit = self._limits.max_header_bytes
        return TooLarge(
            f"A part's header may have at most {limit} bytes in {_MAX_PART_HEADERS} lines.",
            code="form_header_too_large",
            limit=limit,
        )


class _PartBody:
    """The bytes of one file in a form; fulfils `carryall.ports.body.Body`."""

    declared_size: int | None = None

    def __init__(self, form: _Form) -> None:
        self._form = form
        self._is_whole = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = None if self._is_whole else await self._form.piece(self)
        if piece is None:
            self._is_whole = True
            raise StopAsyncIteration
        return piece


def _boundary(content_type: str) -> bytes:
    parsed = parse_parameters(content_type)
    if parsed is None or parsed[0] != "multipart/form-data":
        raise Malformed("Send a form as multipart/form-data.", code="not_multipart")
    boundary = parsed[1].get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise Malformed(
            "The form's Content-Type has no boundary of 1 to 70 plain characters.", code="form_boundary_missing"
        )
    return boundary.encode()


def _names(disposition: str) -> tuple[str, str | None]:
    """Give a part's field name and file name; None for the latter where it is a field."""
    parsed = parse_disposition(disposition)
    if parsed is None or parsed[0] != "form-data" or "name" not in parsed[1]:
        raise _malformed("A part's Content-Disposition can't be read.")
    given = parsed[1]
    filename = given.get("filename")
    # RFC 2231 continuations, or an encoding that doesn't hold: a file all the same, so it must not pass for a field.
    if filename is None and any(name.startswith("filename*") for name in given):
        raise _malformed("A part's file name can't be read.")
    return given["name"], filename


def _malformed(reason: str) -> Malformed:
    return Malformed(f"The form can't be read. {reason}", code="form_malformed")
