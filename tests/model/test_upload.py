"""Every rule on offsets, sizes and segments."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from carryall.model.errors import Conflict, Incomplete, OffsetMismatch, TooLarge, UploadClosed
from carryall.model.target import Target
from carryall.model.upload import Declared, Mode, Segment, State, Upload

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def upload(*lengths: int, **changes: Any) -> Upload:
    """Give an open upload whose first segments have these lengths."""
    return replace(
        Upload(
            id="up",
            owner="alice",
            declared=Declared(name="a.bin", door="v1"),
            target=Target.of("local"),
            limit_bytes=None,
            reserved_bytes=7,
            is_resumable=True,
            created_at=NOW,
            touched_at=NOW,
            expires_at=NOW,
            segments={index: Segment(index, length) for index, length in enumerate(lengths)},
        ),
        **changes,
    )


@pytest.mark.parametrize("state", [State.SEALED, State.ABORTED, State.EXPIRED])
@pytest.mark.parametrize("mode", Mode)
def test_a_closed_upload_takes_nothing(state: State, mode: Mode) -> None:
    """Only an open upload takes bytes; the error says why."""
    with pytest.raises(UploadClosed, match=state.value) as raised:
        upload(state=state).admit(0, 0, mode)

    assert {"state": state.value} == raised.value.facts


@pytest.mark.parametrize("offset", [0, 4, 6, -1, 1 << 70])
def test_an_append_begins_where_the_segment_ends(offset: int) -> None:
    """Any other offset is refused, and the right one is told."""
    with pytest.raises(OffsetMismatch) as raised:
        upload(5).admit(0, offset, Mode.APPEND)

    assert {"offset": 5, "given": offset} == raised.value.facts
    assert upload(5).admit(0, 5, Mode.APPEND) is None


def test_a_new_segment_begins_at_zero() -> None:
    """A segment that nothing was written to has no bytes."""
    assert upload(5).admit(9, 0, Mode.APPEND) is None
    with pytest.raises(OffsetMismatch):
        upload(5).admit(9, 5, Mode.APPEND)


def test_a_replacement_begins_at_zero() -> None:
    """A segment is replaced from its first byte, whatever it holds."""
    assert upload(5).admit(0, 0, Mode.REPLACE) is None
    with pytest.raises(Conflict) as raised:
        upload(5).admit(0, 5, Mode.REPLACE)
    assert "offset_mismatch" == raised.value.stable_code


@pytest.mark.parametrize(
    ("size", "limit", "appending", "replacing"),
    [(None, None, None, None), (20, None, 8, 13), (None, 20, 8, 13), (20, 15, 3, 8), (15, 20, 3, 8), (12, None, 0, 5)],
)
def test_the_room_is_what_is_left(
    size: int | None, limit: int | None, appending: int | None, replacing: int | None
) -> None:
    """A write may bring what the size and the limit leave; what it replaces doesn't count."""
    held = upload(5, 7, size=size, limit_bytes=limit)

    assert appending == held.admit(0, 5, Mode.APPEND)
    assert appending == held.admit(1, 7, Mode.APPEND)
    assert appending == held.admit(2, 0, Mode.APPEND)
    assert replacing == held.admit(0, 0, Mode.REPLACE)


def test_growing_changes_one_segment() -> None:
    """The next state has the new segment and the new times; the one before is as it was."""
    before = upload(5, 7)

    after = before.grown(Segment(1, 9, 2), now=NOW, expires_at=LATER)

    assert {0: Segment(0, 5), 1: Segment(1, 9, 2)} == after.segments
    assert (14, 9, 0) == (after.held_bytes, after.length_of(1), after.length_of(5))
    assert (NOW, LATER) == (after.touched_at, after.expires_at)
    assert upload(5, 7) == before


def test_a_size_is_said_once() -> None:
    """The same size may be said again; another one is a conflict."""
    sized = upload().sized(10)

    assert 10 == sized.size
    assert sized == sized.sized(10)
    with pytest.raises(Conflict, match="10 bytes, not 11") as raised:
        sized.sized(11)
    assert "size_changed" == raised.value.stable_code


def test_a_size_keeps_to_the_limit() -> None:
    """The limit is allowed, one byte more is not."""
    assert 10 == upload(limit_bytes=10).sized(10).size
    with pytest.raises(TooLarge) as raised:
        upload(limit_bytes=10).sized(11)
    assert {"limit": 10} == raised.value.facts


def test_an_upload_is_whole_when_its_size_is_held() -> None:
    """Fewer bytes are incomplete, and the answer says where to go on."""
    upload(5, 7, size=12).check_whole()
    upload(5, 7).check_whole()
    with pytest.raises(Incomplete) as raised:
        upload(5, 7, size=13).check_whole()
    assert {"offset": 12, "size": 13} == raised.value.facts


def test_missing_chunks_are_named() -> None:
    """Threat 16: a gap is told with its indexes, and nothing is lost."""
    gappy = upload(segments={0: Segment(0, 5), 2: Segment(2, 5)})
    with pytest.raises(Incomplete, match="1, 3") as raised:
        gappy.check_whole(4)
    assert {"missing": [1, 3]} == raised.value.facts
    assert "chunks_missing" == raised.value.stable_code


def test_many_missing_chunks_are_told_in_short() -> None:
    """A million missing chunks don't make an answer of megabytes."""
    with pytest.raises(Incomplete) as raised:
        upload().check_whole(1_000_000)
    assert len(raised.value.message) < 300
    assert 1000 == len(raised.value.facts["missing"])


def test_extra_chunks_are_a_conflict() -> None:
    """Threat 16: more chunks than announced never make a cut file."""
    with pytest.raises(Conflict) as raised:
        upload(5, 5, 5).check_whole(2)
    assert {"extra": [2]} == raised.value.facts
    assert "chunks_extra" == raised.value.stable_code
    upload(5, 5, 5).check_whole(3)


@pytest.mark.parametrize("state", [State.ABORTED, State.EXPIRED])
def test_a_closed_upload_reserves_nothing(state: State) -> None:
    """Sealed, aborted or expired: its reservation is gone, and a sealed one knows its file."""
    closed, sealed = upload().closed(state), upload().sealed("f")

    assert (state, 0, None) == (closed.state, closed.reserved_bytes, closed.file_id)
    assert (State.SEALED, 0, "f") == (sealed.state, sealed.reserved_bytes, sealed.file_id)


INDEXES = st.integers(0, 3)
BODIES = st.binary(max_size=12)
SIZES = st.integers(0, 40)


class UploadAgainstBytes(RuleBasedStateMachine):
    """Any order of writes gives what the same writes give on a dictionary of bytes."""

    @initialize(size=st.none() | SIZES, limit=st.none() | SIZES)
    def begin(self, size: int | None, limit: int | None) -> None:
        """Open an upload."""
        self.bounds = [bound for bound in (size, limit) if bound is not None]
        self.upload = upload(size=size, limit_bytes=limit)
        self.held: dict[int, bytes] = {}

    @rule(index=INDEXES, offset=st.integers(0, 14), body=BODIES)
    def append(self, index: int, offset: int, body: bytes) -> None:
        """Append, mostly at a wrong offset."""
        held = self.held.get(index, b"")
        if offset != len(held):
            with pytest.raises(OffsetMismatch) as raised:
                self.upload.admit(index, offset, Mode.APPEND)
            assert len(held) == raised.value.facts["offset"]
        else:
            self.write(index, held, body, Mode.APPEND)

    @rule(index=INDEXES, body=BODIES)
    def go_on(self, index: int, body: bytes) -> None:
        """Append at the right offset."""
        self.write(index, self.held.get(index, b""), body, Mode.APPEND)

    @rule(index=INDEXES, body=BODIES)
    def replace(self, index: int, body: bytes) -> None:
        """Replace a segment."""
        self.write(index, b"", body, Mode.REPLACE)

    def write(self, index: int, kept: bytes, body: bytes, mode: Mode) -> None:
        room = self.upload.admit(index, len(kept), mode)
        others = sum(len(content) for other, content in self.held.items() if other != index)
        assert (min(self.bounds) - others - len(kept) if self.bounds else None) == room
        if room is None or len(body) <= room:
            self.held[index] = kept + body
            self.upload = self.upload.grown(Segment(index, len(kept + body)), now=NOW, expires_at=LATER)

    @rule(count=st.none() | st.integers(0, 4))
    def complete(self, count: int | None) -> None:
        """It is whole exactly when the dictionary is."""
        right = count is None or set(range(count)) == set(self.held)
        size = self.upload.size
        if right and size in (None, sum(map(len, self.held.values()))):
            self.upload.check_whole(count)
        else:
            with pytest.raises(Conflict):
                self.upload.check_whole(count)

    @invariant()
    def holds_the_same(self) -> None:
        """Lengths agree, and no bound was ever passed."""
        if hasattr(self, "upload"):
            assert {i: len(content) for i, content in self.held.items()} == {
                i: self.upload.length_of(i) for i in self.upload.segments
            }
            assert all(self.upload.held_bytes <= bound for bound in self.bounds)


TestUploadAgainstBytes = UploadAgainstBytes.TestCase
