"""The ASGI server's WebSocket protocol class: a message is handed on in pieces, as it arrives.

ASGI knows only whole messages, so servers hold one until its last byte has come; a file is one message. Here a
`websocket.receive` of bytes may be followed by the rest of its message: it then has MORE. It has SIZE where the client
has said how many bytes the whole message has. Other servers set neither, and what reads messages understands both.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode

from carryall.http.frames import PIECE_BYTES, Splitter

MORE = "carryall.more"
SIZE = "carryall.size"
TEXT_MAX_BYTES = 64 << 10
_FRAGMENT_BYTES = 64  # what holding a fragment of a text costs beside its bytes, so that many empty ones are many bytes
_CLOSE_S = 3.0  # who is closed in the middle of a message can't answer that before the message's end


class PiecewiseSocket(WebSocketsSansIOProtocol):
    """One connection. Reading pauses while a piece waits to be taken, so no more than one network read is ever held."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn.max_message_size, self.conn.max_fragment_size = None, PIECE_BYTES
        self.close_timeout = _CLOSE_S
        self._splitter = Splitter()
        self._is_message_open = False
        self._text_left = TEXT_MAX_BYTES
        self._is_idle = False  # the application waits for a message of which nothing has come
        self._is_leaving = False
        self._is_heard = False  # since the last ping

    def data_received(self, data: bytes) -> None:
        """Parse what came, frame by frame."""
        if not self.handshake_initiated:
            super().data_received(data)
            return
        self._is_heard = True
        for piece in self._splitter.feed(data):
            if self.disconnected or self.conn.parser_exc is not None:
                return
            super().data_received(piece)

    def handle_bytes(self, event: Frame) -> None:
        """Begin a message of bytes."""
        self.curr_msg_data_type = "bytes"
        self._pass(event)

    def handle_text(self, event: Frame) -> None:
        """Begin a text. Texts are held until they are whole, and may not be long."""
        self._is_message_open, self._text_left = not event.fin, TEXT_MAX_BYTES
        if not self._is_too_long(event):
            super().handle_text(event)

    def handle_cont(self, event: Frame) -> None:
        """Go on with a message."""
        if self.curr_msg_data_type == "bytes":
            self._pass(event)
            return
        self._is_message_open = not event.fin
        if not self._is_too_long(event):
            super().handle_cont(event)

    def _is_too_long(self, event: Frame) -> bool:
        self._text_left -= len(event.data) + (0 if event.fin else _FRAGMENT_BYTES)
        if self._text_left >= 0:
            return False
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"A text may have at most {TEXT_MAX_BYTES} bytes.")
        self.handle_parser_exception()
        return True

    def _pass(self, event: Frame) -> None:
        self._is_message_open = not event.fin
        says_nothing = event.opcode is Opcode.CONT and not event.data and not event.fin
        if self.close_sent or says_nothing:
            return
        piece: Any = {"type": "websocket.receive", "bytes": bytes(event.data), MORE: not event.fin}
        self.queue.put_nowait(piece | {SIZE: self._splitter.message_size})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_parser_exception(self) -> None:
        """Say what is wrong, and go on reading for a moment, into nothing.

        A connection that is closed with bytes unread is reset, and a reset overtakes what was said.
        """
        closing = self.conn.close_sent
        assert closing is not None  # noqa: S101  # as uvicorn's own: whatever fails the connection sets it
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closing.code, "reason": closing.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def keepalive_timeout(self) -> None:
        """Give up a silent peer. One that sends a message can't answer a ping before its end, and isn't silent.

        How long a message may stall is judged where it is read.
        """
        if self._is_heard or self._is_message_open or self.read_paused:
            self._is_heard = False
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()

    def shutdown(self) -> None:
        """Leave when the server stops: at once between messages, otherwise after the answer."""
        if self._is_idle or not self.handshake_complete or self.close_sent:
            super().shutdown()
        else:
            self._is_leaving = True

    async def receive(self) -> Any:
        """Give the application the next piece."""
        is_between = self.queue.empty() and not self._is_message_open
        if is_between and self._is_leaving and self.handshake_complete and not self.close_sent:
            super().shutdown()
        self._is_idle = is_between
        try:
            return await super().receive()
        finally:
            self._is_idle = False
