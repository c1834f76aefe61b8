"""The splitter changes how a message is framed, and nothing of what it says."""

import struct

import hypothesis
import hypothesis.strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from carryall.http.frames import PIECE_BYTES, Splitter

SIZES = st.one_of(
    st.integers(0, 300), st.sampled_from([PIECE_BYTES + n for n in (-1, 0, 1, 2, 125, 126, 127, PIECE_BYTES, 70_001)])
)
PATTERN = bytes(n % 251 for n in range(PIECE_BYTES * 3))
KINDS = st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING])


def parsed(pieces: list[bytes]) -> list[Frame]:
    """Read frames as a server does that takes none of more than a piece."""
    reader = Protocol(Side.SERVER, max_size=(None, PIECE_BYTES))
    reader.state = reader.state.OPEN
    for piece in pieces:
        reader.receive_data(piece)
    assert reader.parser_exc is None, reader.parser_exc
    return [event for event in reader.events_received() if isinstance(event, Frame)]


def messages(frames: list[Frame]) -> list[tuple[Opcode, bytes]]:
    """Put fragments together; control frames may stand between them."""
    told: list[tuple[Opcode, bytes]] = []
    opened: tuple[Opcode, bytes] | None = None
    for frame in frames:
        if frame.opcode is Opcode.PING:
            told.append((frame.opcode, bytes(frame.data)))
            continue
        opcode, before = (frame.opcode, b"") if opened is None else opened
        opened = (opcode, before + bytes(frame.data))
        if frame.fin:
            told.append(opened)
            opened = None
    assert opened is None
    return told


@hypothesis.given(sent=st.lists(st.tuples(KINDS, SIZES), max_size=5), cut=st.integers(1, 100_000))
def test_every_message_stays_what_it_was(sent: list[tuple[Opcode, int]], cut: int) -> None:
    """Whatever the sizes and however the network cuts them, the same messages arrive, in frames of a piece at most."""
    made = [
        (kind, bytes(n % 251 for n in range(min(size, 125) if kind is Opcode.PING else size))) for kind, size in sent
    ]
    wire = b"".join(Frame(kind, data).serialize(mask=True) for kind, data in made)
    cut = max(cut, len(wire) // 500)  # it makes a difference for heads, and those are seldom
    splitter = Splitter()
    frames = parsed([piece for at in range(0, len(wire), cut) for piece in splitter.feed(wire[at : at + cut])])

    assert made == messages(frames)
    assert all(len(frame.data) <= PIECE_BYTES for frame in frames)


def test_fragments_of_any_size_stay_one_message() -> None:
    """A message that its client has fragmented is cut further, with a ping between."""
    data = bytes(200_000)
    wire = (
        Frame(Opcode.BINARY, data, fin=False).serialize(mask=True)
        + Frame(Opcode.PING, b"?").serialize(mask=True)
        + Frame(Opcode.CONT, b"end").serialize(mask=True)
    )
    splitter = Splitter()

    assert [(Opcode.PING, b"?"), (Opcode.BINARY, data + b"end")] == messages(parsed(list(splitter.feed(wire))))
    assert splitter.message_size is None


def test_a_size_is_told_before_the_bytes() -> None:
    """The head of a message's only frame says its size, before a byte of it has come."""
    wire = Frame(Opcode.BINARY, bytes(100_000)).serialize(mask=True)
    splitter = Splitter()
    list(splitter.feed(wire[:14]))

    assert 100_000 == splitter.message_size


def test_what_is_wrong_stays_wrong() -> None:
    """Frames that aren't masked or have no known kind reach the parser, which refuses them, without being held."""
    for head in (b"\x82\x7f", b"\x83\xff"):
        wire = head + struct.pack("!Q", 1 << 40) + bytes(500_000)
        splitter = Splitter()
        reader = Protocol(Side.SERVER, max_size=(None, PIECE_BYTES))
        reader.state = reader.state.OPEN
        for piece in splitter.feed(wire):
            reader.receive_data(piece)
            if reader.parser_exc is not None:
                break

        assert reader.parser_exc is not None
