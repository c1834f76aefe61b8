"""Files on their way out: conditions, ranges, safe types, honest names, counted once."""

import asyncio
import secrets as random_secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from carryall.http.call import Call
from carryall.http.digests import repr_digest_header, wants_digest
from carryall.http.headers import content_disposition, http_date, if_range_holds, precondition
from carryall.http.ranges import MultipartRanges, Range, Unsatisfiable, multipart_ranges, parse_ranges
from carryall.model.errors import CarryallError
from carryall.model.file import File, Link
from carryall.model.media_type import is_active

log = structlog.get_logger(__name__)

Disposition = Literal["inline", "attachment"]

_SANDBOX = "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a file is given out.

    Attributes:
        via: the link's kind, which separates downloads that are counted: "short", "link:ID", "api", …
        disposition: what is asked for; content that a browser could run is an attachment whatever is asked.
        cache: the Cache-Control value.
        link: the limited link to take a download from.
    """

    via: str
    disposition: Disposition = "attachment"
    cache: str = "private, no-cache"
    link: Link | None = None


async def deliver(call: Call, file: File, how: Delivery) -> Response:
    """Answer a GET or HEAD for a file's bytes (RFC 9110 §13, §14; RFC 9530)."""
    headers = _headers(call, file, how)
    condition = precondition(call.headers, file.etag, last_modified=file.created_at, method=call.method)
    if condition is not None:
        return _without_body(condition, headers)
    wanted = _wanted(call, file)
    if isinstance(wanted, Unsatisfiable):
        return _without_body(416, {**headers, "Content-Range": wanted.content_range})
    if how.link is not None and call.method == "GET":
        await call.context.serve.take(how.link, call.client)
    if wanted is None:
        whole = [Range(0, file.size)] if file.size else []
        return FileAnswer(call, file, how, whole, status=200, headers=headers)
    if len(wanted) == 1:
        headers["Content-Range"] = wanted[0].content_range(file.size)
        return FileAnswer(call, file, how, wanted, status=206, headers=headers)
    frame = multipart_ranges(wanted, file.size, media_type=file.media_type, boundary=random_secrets.token_hex(16))
    headers["Content-Type"] = frame.content_type
    return FileAnswer(call, file, how, wanted, status=206, headers=headers, frame=frame)


def _headers(call: Call, file: File, how: Delivery) -> dict[str, str]:
    disposition: Disposition = "attachment" if is_active(file.media_type) else how.disposition
    headers = {
        "Content-Type": file.media_type,
        "Content-Disposition": content_disposition(disposition, file.name),
        "ETag": file.etag,
        "Last-Modified": http_date(file.created_at),
        "Accept-Ranges": "bytes",
        "Cache-Control": how.cache,
        "Content-Security-Policy": _SANDBOX,
        "X-Content-Type-Options": "nosniff",
    }
    if wants_digest(call.headers):
        headers["Repr-Digest"] = repr_digest_header(file.sha256)
    return headers


def _wanted(call: Call, file: File) -> list[Range] | Unsatisfiable | None:
    # RFC 9110 §14.2: Range is defined for GET alone.
    if call.method != "GET" or not if_range_holds(call.headers, file.etag):
        return None
    return parse_ranges(call.headers.get("range"), file.size)


def _without_body(status: int, headers: dict[str, str]) -> Response:
    kept = {name: value for name, value in headers.items() if name not in ("Content-Type", "Content-Disposition")}
    return Response(status_code=status, headers=kept)


async def until_gone(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class FileAnswer(Response):
    """Streams a file's ranges. Never compressed: Content-Length and ranges speak of the file's own bytes."""

    def __init__(
        self,
        call: Call,
        file: File,
        how: Delivery,
        ranges: Sequence[Range],
        *,
        status: int,
        headers: dict[str, str],
        frame: MultipartRanges | None = None,
    ) -> None:
        length = frame.content_length if frame else sum(one.length for one in ranges)
        super().__init__(status_code=status)
        self.raw_headers = [
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
            (b"content-length", str(length).encode("ascii")),
        ]
        self._call = call
        self._file = file
        self._how = how
        self._ranges = ranges
        self._frame = frame
        self._length = length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then the bytes as the store gives them."""
        if self._call.method == "HEAD":
            await self._start(send)
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.ensure_future(until_gone(receive))
        try:
            await self._stream(send, gone)
        finally:
            gone.cancel()

    async def _stream(self, send: Send, gone: "asyncio.Future[None]") -> None:
        pieces = self._pieces()
        async with aclosing(pieces):
            # The first piece comes before the head: a store that can't give the file is still an honest 503.
            piece = await anext(pieces, b"")
            await self._start(send)
            async for following in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if gone.done():
                    return  # servers drop what is sent to nobody, so only this ends the reading
                piece = following
            if not gone.done():
                await self._count()
            await send({"type": "http.response.body", "body": piece})

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for index, one in enumerate(self._ranges):
            if self._frame is not None:
                yield self._frame.heads[index]
            reading = await self._call.context.serve.read(self._file, one.start, one.stop)
            try:
                async for chunk in reading:
                    yield chunk
            finally:
                await reading.aclose()
        if self._frame is not None:
            yield self._frame.tail

    async def _count(self) -> None:
        """Count before the last piece leaves, so that whoever has the whole file also sees it counted."""
        serve = self._call.context.serve
        serve.served(self._length)
        has_first_byte = any(one.start == 0 for one in self._ranges) or self._file.size == 0
        if has_first_byte:
            try:
                await serve.count_download(self._file, self._call.client, via=self._how.via, size=self._length)
            except CarryallError as error:  # a full disk takes no row, and gives every byte
                log.warning("download.uncounted", file=self._file.id, reason=error.stable_code)
