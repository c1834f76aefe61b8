"""The ASGI server's HTTP/1.1 protocol class: uvicorn's on httptools, with what resumable uploads need of it.

Beyond uvicorn's own it offers the application three ASGI extensions:

- `scope["extensions"]["carryall.interim"]`: `async (status, headers) -> bool` sends an interim answer (1xx) before the
  answer. Headers are pairs of bytes. False: nothing was sent, since the answer has begun, the client is gone or slow
  to read, or it speaks HTTP/1.0.
- `scope["extensions"]["carryall.trailers"]`: the list of the trailer fields, pairs of bytes with lower-case names. It
  is empty until the last `http.request` message was given.
- `scope["extensions"]["carryall.ending"]`: an asyncio.Event, set when an answer without an end of its own should end:
  the server stops, or the client has ended its side.

Every byte that came reaches the application before it hears that the client went away, and a client that only ended
its own side still hears the answer. A header has to end in time, and heads, chunk headers and trailers have to end
at all.
"""

import asyncio
import time
from asyncio import TimerHandle, Transport
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

INTERIM = "carryall.interim"
TRAILERS = "carryall.trailers"
ENDING = "carryall.ending"

# uvicorn has one table of status lines, and these two names come from no standard library (tus 1.0.0; the IETF draft).
STATUS_LINE[104] = b"HTTP/1.1 104 Upload Resumption Supported\r\n"
STATUS_LINE[460] = b"HTTP/1.1 460 Checksum Mismatch\r\n"

_TRAILERS_MOST = 16
_TRAILERS_MAX_BYTES = 8 << 10
_FRAMING_MAX_BYTES = 64 << 10  # what may come between two pieces of content: a head, a chunk's header, trailers
_EVICTABLE_S = 2.0


@dataclass(slots=True)
class Waiting:
    """The connections of one process whose request's header hasn't ended, the longest waiting first (threat 20).

    Attributes:
        header_s: a header that doesn't end within this long closes its connection.
        at_most: beyond this many the longest waiting is closed, so that they leave descriptors to the others; one
            that came just now never is.
        since: when each began, in monotonic seconds.
    """

    header_s: float = 30.0
    at_most: int = 512  # half of the descriptors that most systems give a process
    since: dict["HttpProtocol", float] = field(default_factory=dict)

    def add(self, connection: "HttpProtocol") -> None:
        """Add a connection."""
        now = time.monotonic()
        self.since[connection] = now
        oldest, began = next(iter(self.since.items()))
        if len(self.since) > self.at_most and now - began > _EVICTABLE_S:
            del self.since[oldest]
            oldest.transport.close()


_WAITING = Waiting()


def protocol(*, header_s: float) -> "Callable[..., HttpProtocol]":
    """Give what uvicorn takes as its `http`: connections of one process, with this long for each header."""
    return partial(HttpProtocol, waiting=Waiting(header_s))


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, waiting: Waiting = _WAITING, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting = waiting
        self.header_timer: TimerHandle | None = None
        self.framing_bytes = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.trailer_bytes = 0
        self.is_head_over = False
        self.is_input_over = False
        self.ending = asyncio.Event()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first header."""
        super().connection_made(transport)
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._header_ended()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let the request that runs end."""
        self.ending.set()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.framing_bytes += len(data)
        super().data_received(data)
        if self.running is not None and self.framing_bytes <= _FRAMING_MAX_BYTES:
            return
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # a WebSocket's from here on
            return
        if self.framing_bytes > _FRAMING_MAX_BYTES:
            self._refuse_framing()
        elif self.header_timer is None:  # a header has begun, and isn't there yet
            self._await_header()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Go on answering a client that ended only its own side; its body may have been cut (RFC 9112 §9.6)."""
        cycle = self.running
        if cycle is None or self.scheme == "https":  # TLS can't be closed by halves here
            return False
        cycle.keep_alive = False
        self.is_input_over = True
        self.ending.set()
        cycle.message_event.set()
        return True

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.is_head_over = False
        self.trailers, self.trailer_bytes = [], 0
        self.scope["extensions"] = {TRAILERS: self.trailers}  # type: ignore[dict-item]  # theirs are all dicts

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field: a header's, or a trailer's, which must never pass for a header's."""
        if not self.is_head_over:
            super().on_header(name, value)
            return
        self.trailer_bytes += len(name) + len(value)
        if len(self.trailers) >= _TRAILERS_MOST or self.trailer_bytes > _TRAILERS_MAX_BYTES:
            raise ValueError("too many trailers")
        self.trailers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self.is_head_over = True
        self.framing_bytes = 0
        self._header_ended()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep bytes for the application."""
        self.framing_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's input."""
        self.framing_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what can't be parsed; in the middle of an answer that would read as a part of it."""
        cycle = self.running
        if cycle is not None and (cycle.response_started or not cycle.more_body):
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _refuse_framing(self) -> None:
        """Refuse a head, a chunk's header or trailers without end."""
        text = b"Too many bytes of header."
        if self.is_head_over:
            self.send_400_response(text.decode())
            return
        fields = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(STATUS_LINE[431] + fields % len(text) + text)
        self.transport.close()

    @property
    def running(self) -> RequestResponseCycle | None:
        """Give the request whose header came last, while its answer isn't complete."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None or cycle.response_complete else cycle

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, Exchange(self, cycle, app))

    def _await_header(self) -> None:
        self.header_timer = self.loop.call_later(self.waiting.header_s, self.transport.close)
        self.waiting.add(self)

    def _header_ended(self) -> None:
        if self.header_timer is not None:
            self.header_timer.cancel()
            self.header_timer = None
            self.waiting.since.pop(self, None)


class Exchange:
    """One request between uvicorn's cycle and the application."""

    def __init__(self, connection: HttpProtocol, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._connection = connection
        self._cycle = cycle
        self._app = app
        self._is_end_told = False

    async def __call__(self, scope: Any, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Run the application."""
        if scope["http_version"] == "1.1":
            scope["extensions"][INTERIM] = self.interim
        else:
            scope["extensions"] = {}
        scope["extensions"][ENDING] = self._connection.ending
        await self._app(scope, self.receive, send)

    async def receive(self) -> ASGIReceiveEvent:
        """Give what came; only behind the last byte of it, that the client has gone."""
        cycle = self._cycle
        if cycle.waiting_for_100_continue and not cycle.transport.is_closing():
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        while not self._is_over:
            cycle.flow.resume_reading()
            if self._has_news:
                break
            cycle.message_event.clear()
            await cycle.message_event.wait()
        if cycle.response_complete or not self._has_news:
            return {"type": "http.disconnect"}
        self._is_end_told = not cycle.more_body
        body, cycle.body = bytes(cycle.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": cycle.more_body}

    async def interim(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Send an interim answer, where the client can take one now; tell whether it was sent.

        Raises ValueError for what can't stand in a header.
        """
        cycle = self._cycle
        is_taken = not (cycle.disconnected or cycle.response_started or cycle.transport.is_closing())
        if not is_taken or cycle.flow.write_paused:
            return False
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
                raise ValueError("not a header field")
            lines += [name, b": ", value, b"\r\n"]
        cycle.transport.write(b"".join([*lines, b"\r\n"]))
        return True

    @property
    def _has_news(self) -> bool:
        """Tell whether the application hasn't been given everything: bytes, or their end."""
        return bool(self._cycle.body) or not (self._cycle.more_body or self._is_end_told)

    @property
    def _is_over(self) -> bool:
        """Tell whether nothing more can come."""
        cycle = self._cycle
        is_cut = self._connection.is_input_over and cycle.more_body
        return cycle.disconnected or cycle.response_complete or is_cut
