"""A request's body as it arrives: paced, counted, and told apart from a body that broke off."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from carryall.http.headers import joined
from carryall.model.errors import BodyStalled, BodyTruncated, Malformed, TooLarge, TypeRefused
from carryall.ports.body import CHUNK_MAX_BYTES, Body

# RFC 9110 §8.6. `int` would also take "1_0", "+1" and digits of other scripts; 15 digits are a petabyte.
_CONTENT_LENGTH = re.compile(r"0|[1-9]\d{0,14}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a client has to send (threat 20).

    Attributes:
        idle: the longest silence.
        min_bytes_per_s: the lowest rate, judged over each `window`.
        window: time spent waiting for the client. The time that we take for the bytes ourselves isn't held against it.
    """

    idle: timedelta = timedelta(seconds=60)
    min_bytes_per_s: int = 1024
    window: timedelta = timedelta(seconds=60)


class RequestBody:
    """The body of an ASGI request; fulfils `carryall.ports.body.Body`.

    It is its own iterator: whoever iterates next goes on where the one before left it.

    Attributes:
        declared_size: bytes, from Content-Length; None where the length isn't known in advance.
        expects_continue: the client waits for `100 Continue` before it sends (RFC 9110 §10.1.1).
        received: bytes taken from the server so far.
        started: True once `receive` was called. ASGI servers send `100 Continue` then, and not before.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        declared_size: int | None,
        pace: Pace | None = None,
        expects_continue: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Prepare to read, in a running event loop. `clock` gives monotonic seconds; by default the loop's own."""
        self.declared_size = declared_size
        self.expects_continue = expects_continue
        self.received = 0
        self.started = False
        self._receive = receive
        self._pace = pace or Pace()
        self._clock = clock or asyncio.get_running_loop().time
        self._chunks: Iterator[bytes] = iter(())
        self._is_over = False
        self._waited_s = 0.0
        self._window_bytes = 0

    @property
    def is_complete(self) -> bool:
        """True once the last byte was taken from the server, and no byte was missing."""
        return self._is_over and self.declared_size in {None, self.received}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while (chunk := next(self._chunks, None)) is None:
            if not self._is_over:
                self._chunks = _cut(await self._take())
            elif self.is_complete:
                raise StopAsyncIteration
            else:
                raise BodyTruncated(f"The body ended after {self.received} of {self.declared_size} bytes.")
        return chunk

    async def _take(self) -> bytes:
        """Take one message's bytes, of any number, from the server."""
        self.started = True
        begun = self._clock()
        message = await self._message()
        if message["type"] == "http.disconnect":
            raise BodyTruncated(f"The client went away after {self.received} bytes.")
        data: bytes = message.get("body", b"")
        self.received += len(data)
        self._is_over = not message.get("more_body", False)
        if self.declared_size is not None and self.received > self.declared_size:
            raise Malformed(f"More than the {self.declared_size} announced bytes came.", code="body_too_long")
        self._judge(len(data), waited_s=self._clock() - begun)
        return data

    async def _message(self) -> Message:
        idle_s = self._pace.idle.total_seconds()
        try:
            async with asyncio.timeout(idle_s):
                return await self._receive()
        except TimeoutError as exc:
            raise BodyStalled(f"Nothing came for {idle_s:g} seconds.", received=self.received) from exc

    def _judge(self, size: int, *, waited_s: float) -> None:
        """Raise BodyStalled when a whole window of waiting has brought too little."""
        self._waited_s += waited_s
        self._window_bytes += size
        if self._waited_s < self._pace.window.total_seconds():
            return
        if not self._is_over and self._window_bytes < self._pace.min_bytes_per_s * self._waited_s:
            raise BodyStalled(
                f"{self._window_bytes} bytes came in {self._waited_s:.0f} seconds; "
                f"at least {self._pace.min_bytes_per_s} per second have to.",
                received=self.received,
            )
        self._waited_s, self._window_bytes = 0.0, 0


def body_of(headers: Headers, receive: Receive, pace: Pace | None = None) -> RequestBody:
    """Build a request's body from its headers, without reading any of it.

    Raises:
        Malformed: `content_length_invalid`, also for two lengths, or a length beside a transfer coding (RFC 9112 §6.3).
        TypeRefused: `content_coding_refused`. Bytes are kept as they are sent and never inflated (threat 19).
    """
    codings = (joined(headers, "content-encoding") or "").lower().split(",")
    if any(coding.strip() not in {"", "identity"} for coding in codings):
        raise TypeRefused(
            "Compressed bodies are not taken. Send the file as it is, without Content-Encoding.",
            code="content_coding_refused",
        )
    expectations = headers.get("expect", "").lower()
    return RequestBody(
        receive,
        declared_size=_declared_size(headers),
        pace=pace,
        expects_continue=expectations.strip() == "100-continue",
    )


async def read_all(body: Body, limit: int) -> bytes:
    """Read a small body whole. Raises TooLarge past `limit` bytes, before the first byte where the size was said."""
    too_large = TooLarge(f"This body may have at most {limit} bytes.", limit=limit)
    if body.declared_size is not None and body.declared_size > limit:
        raise too_large
    taken = bytearray()
    async for chunk in body:
        taken += chunk
        if len(taken) > limit:
            raise too_large
    return bytes(taken)


async def drain(body: RequestBody, *, limit_bytes: int, seconds: float) -> None:
    """Throw away a bounded rest of a body, so that a refused client reads the answer and not a reset connection.

    A client that waits for `100 Continue` sent nothing, and is asked for nothing. Whatever the client does, nothing
    is raised; a cancellation passes through.
    """
    if body.expects_continue and not body.started:
        return
    enough = body.received + limit_bytes
    try:
        async with asyncio.timeout(seconds):
            async for _ in body:
                if body.received >= enough:
                    return
    except (TimeoutError, BodyTruncated, BodyStalled, Malformed):
        return


def _declared_size(headers: Headers) -> int | None:
    given = headers.getlist("content-length")
    if not given:
        return None
    if len(given) > 1 or not _CONTENT_LENGTH.fullmatch(given[0]) or "transfer-encoding" in headers:
        raise Malformed(
            "Content-Length has to be one decimal number, and to stand without Transfer-Encoding.",
            code="content_length_invalid",
        )
    return int(given[0])


def _cut(data: bytes) -> Iterator[bytes]:
    """Give the data in chunks of a size that a Body may have; what is small enough passes without a copy."""
    for start in range(0, len(data), CHUNK_MAX_BYTES):
        yield data[start : start + CHUNK_MAX_BYTES]
