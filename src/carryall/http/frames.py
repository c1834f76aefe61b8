"""WebSocket frames of any size as fragments that are there already, so that nobody has to hold a whole frame."""

import struct
from collections.abc import Iterator

PIECE_BYTES = 64 << 10
_HEAD_BYTES = 2
_FINAL = 0x80
_OPCODE = 0x0F
_CONTINUATION = 0x0
_DATA_OPCODES = {0x0, 0x1, 0x2}  # continuation, text, binary; the others are control frames
_IS_MASKED = 0x80
_LENGTH_16, _LENGTH_64 = 126, 127


class Splitter:
    """Cuts what a client sends: of a frame of data, whatever has come becomes a fragment of at most PIECE_BYTES.

    A message may be fragmented in any way while no extension is in use (RFC 6455 §5.4), and browsers send a file as one
    frame. Everything else passes as it came, right or wrong: judging it is the parser's part.

    Attributes:
        message_size: bytes of the message that is coming in, when its first frame is its only one; None otherwise.
    """

    def __init__(self) -> None:
        self.message_size: int | None = None
        self._head = bytearray()  # of the frame that begins, as far as it has come
        self._key = b""
        self._opcode = _CONTINUATION
        self._flags = 0
        self._left = 0  # bytes of the frame's payload that are still to come
        self._is_cut = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the data as it may be parsed. What is given is of one frame, and `message_size` of its message.

        A frame of which only the head has come is told by an empty fragment: its size may be enough to refuse it.
        """
        at = 0
        while at < len(data):
            if self._left == 0:
                missing = self._head_missing()
                self._head += data[at : at + missing]
                at += missing
                if self._head_missing() > 0:  # what has come may tell that more is to come
                    continue
                opening = self._begin()
                if opening:
                    yield opening
                    continue
                if at == len(data):
                    yield self._fragment(b"")
                    return
            size = min(self._left, len(data) - at, PIECE_BYTES)
            if self._is_cut:
                yield self._fragment(data[at : at + size])
            else:
                self._left -= size
                yield data[at : at + size]
            at += size

    def _head_missing(self) -> int:
        """Give how many bytes of the frame's head are still to come, as far as that is known."""
        if len(self._head) < _HEAD_BYTES:
            return _HEAD_BYTES - len(self._head)
        length = self._head[1] & ~_IS_MASKED
        wanted = _HEAD_BYTES + {_LENGTH_16: 2, _LENGTH_64: 8}.get(length, 0) + (4 if self._head[1] & _IS_MASKED else 0)
        return wanted - len(self._head)

    def _begin(self) -> bytes:
        """Read the head. Give it back as it came, or nothing where fragments will have heads of their own."""
        head = bytes(self._head)
        self._head.clear()
        self._flags, self._opcode = head[0] & ~_OPCODE, head[0] & _OPCODE
        is_masked, length = bool(head[1] & _IS_MASKED), head[1] & ~_IS_MASKED
        if length >= _LENGTH_16:
            (length,) = struct.unpack_from("!H" if length == _LENGTH_16 else "!Q", head, _HEAD_BYTES)
        if self._opcode in _DATA_OPCODES and self._opcode != _CONTINUATION:
            self.message_size = length if self._flags & _FINAL else None
        self._key, self._left = head[-4:], length
        self._is_cut = is_masked and length > 0 and self._opcode in _DATA_OPCODES
        return b"" if self._is_cut else head

    def _fragment(self, payload: bytes) -> bytes:
        """Frame the next bytes of the payload. They stay masked: their key is the frame's, from where they begin."""
        size = len(payload)
        self._left -= size
        first = (self._flags if self._left == 0 else self._flags & ~_FINAL) | self._opcode
        self._opcode = _CONTINUATION
        if size < _LENGTH_16:
            head = bytes([first, _IS_MASKED | size])
        elif size < PIECE_BYTES:
            head = struct.pack("!BBH", first, _IS_MASKED | _LENGTH_16, size)
        else:
            head = struct.pack("!BBQ", first, _IS_MASKED | _LENGTH_64, size)
        framed = head + self._key + payload
        turn = size % 4
        self._key = self._key[turn:] + self._key[:turn]
        return framed
