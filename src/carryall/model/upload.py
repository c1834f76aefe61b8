"""Bytes on their way in: the upload, its segments, and every rule on offsets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from carryall.model.errors import Conflict, Incomplete, Interrupted, OffsetMismatch, TooLarge, UploadClosed
from carryall.model.target import Target

_EXTENTS_PER_FENCE = 1 << 20  # a segment is replaced less often than that between two successions


class State(StrEnum):
    """Where an upload is in its life."""

    OPEN = "open"
    SEALED = "sealed"
    ABORTED = "aborted"
    EXPIRED = "expired"


class Mode(StrEnum):
    """How a write treats the segment it goes to.

    APPEND begins where the segment ends and keeps what arrived when the body breaks off.
    REPLACE begins at 0 and is all or nothing.
    """

    APPEND = "append"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of bytes of an upload.

    Attributes:
        index: its place among the segments; they are joined in this order.
        length: durable bytes. Only what was synced is counted.
        extent: which staged file holds them. A write that must not touch acknowledged bytes goes to the next extent.
        frozen: earlier extents that hold its first bytes, in order, each with how many: left by holders that seemed
            dead and may still write behind those bytes, so that nobody else does.
    """

    index: int
    length: int
    extent: int = 0
    frozen: tuple[tuple[int, int], ...] = ()

    @property
    def start(self) -> int:
        """The offset in the segment at which its present extent begins, in bytes."""
        return sum(length for _, length in self.frozen)

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """Every extent that holds bytes of it, in order, with how many."""
        last = (self.extent, self.length - self.start)
        return (*self.frozen, last) if last[1] else self.frozen

    def succeeded(self, extent: int) -> "Segment":
        """Give this segment with its bytes frozen where they are; what follows goes to another extent."""
        return replace(self, extent=extent, frozen=self.pieces)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a client says about the file that it is about to send. Nothing here is trusted.

    Attributes:
        name: the client's file name, kept as data; stored paths are generated.
        size: in bytes, when the client said it.
        at_most: an upper bound in bytes where only that is known (a form's Content-Length).
        path: the owner's unique name for it, under /v1/by-name/ only.
        external_id: the id that another service gave it (`main_service_file_id`).
        public_name: the generated name under which the gallery will serve it.
        must_be_new: refuse when `path` is taken (If-None-Match: *), instead of replacing.
        must_replace: the id of the file that has to have `path` still (If-Match).
        is_replacement: `path` was somebody's as the upload began, so the answer says "replaced" and not "created".
        only_extensions: name and content must agree with one of these file name endings.
        door: the surface or protocol that it comes through.
        digests: announced digests of the whole file, hexadecimal, by algorithm name of RFC 9530.
        raw_metadata: what a tus client sent as Upload-Metadata, to be told back as it came.
        is_part: a tus partial upload: its bytes are for a final one, and never a file of their own.
        parts: the uploads that a tus final upload is made of, in order.
        raw_parts: what the client sent to name them, to be told back as it came.
        errand: the attempt at a request that may be repeated (`model.errand`), which opens it.
        target: where the file is to go, as the client wrote it (`model.target.Target.parse`).
        repeat_s: seconds for which the same file by the same owner for the same target is one and not two; 0: never.
        wants_link: the file is to have its provider's public link (`File.wants_link`).
        gives_up: the file goes again as soon as a delivery fails for good (`File.gives_up`).
    """

    name: str
    door: str
    media_type: str | None = None
    size: int | None = None
    at_most: int | None = None
    path: str | None = None
    external_id: str | None = None
    public_name: str | None = None
    must_be_new: bool = False
    must_replace: str | None = None
    is_replacement: bool = False
    only_extensions: tuple[str, ...] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    raw_metadata: str | None = None
    is_part: bool = False
    parts: tuple[str, ...] = ()
    raw_parts: str | None = None
    errand: str | None = None
    target: str | None = None
    repeat_s: float = 0
    gives_up: bool = False
    wants_link: bool = False
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes on their way in: mutable through its pure methods, each of which gives the next state.

    Any protocol may continue an upload that another began.

    Attributes:
        owner: the principal's id.
        declared: what the client said.
        target: the stores that the file is promised to.
        limit_bytes: the plan's limit on one file, if there is one.
        reserved_bytes: taken from the owner's room at open, settled at complete.
        is_resumable: False for a one-shot upload, which is aborted when its request breaks.
        expires_at: when an upload that nobody continues is given up.
        file_id: the file that it became, once sealed.
        node: the process that opened it, where several share a catalog.
        fence: how often somebody took it over from a holder that seemed dead. A commit under an older number is void.
        elsewhere_bytes: durable bytes in segments that weren't looked at (`ports.catalog_files.Uploads.at`).
    """

    id: str
    owner: str
    declared: Declared
    target: Target
    limit_bytes: int | None
    reserved_bytes: int
    is_resumable: bool
    created_at: datetime
    touched_at: datetime
    expires_at: datetime
    size: int | None = None
    state: State = State.OPEN
    segments: Mapping[int, Segment] = field(default_factory=dict)
    file_id: str | None = None
    node: str | None = None
    fence: int = 0
    elsewhere_bytes: int = 0

    @property
    def is_whole(self) -> bool:
        """True when the size is known and every byte of it is held."""
        return self.size is not None and self.held_bytes == self.size

    @property
    def key(self) -> str:
        """Under which its bytes are stored: its id, and after a succession one that no zombie puts its own under."""
        return f"{self.id}.{self.fence}" if self.fence else self.id

    @staticmethod
    def id_of(key: str) -> str:
        """Give the id of the upload whose bytes are stored under a key."""
        return key.partition(".")[0]

    @property
    def held_bytes(self) -> int:
        """Durable bytes over all segments."""
        return sum(segment.length for segment in self.segments.values()) + self.elsewhere_bytes

    def length_of(self, index: int) -> int:
        """Durable bytes of one segment; 0 where nothing was written."""
        segment = self.segments.get(index)
        return segment.length if segment else 0

    def require_open(self) -> None:
        """Raise UploadClosed when no more bytes are taken."""
        if self.state is not State.OPEN:
            raise UploadClosed(f"This upload is {self.state.value} and takes no more bytes.", state=self.state.value)

    def require_holder(self, loaded: "Upload") -> None:
        """Raise Interrupted when somebody took over since this holder loaded the upload: its bytes don't count."""
        if self.fence != loaded.fence:
            raise Interrupted(
                "This request stood still, and a newer one continues the upload. Ask where it stands, and go on there.",
                retry_after_s=1,
            )

    def writable(self, index: int) -> Segment:
        """Give a segment as its next writer finds it: never at the end of an extent that a zombie may write to."""
        first = self.fence * _EXTENTS_PER_FENCE
        held = self.segments.get(index, Segment(index, 0, first))
        return held if held.extent >= first else held.succeeded(first)

    def next_extent(self, index: int) -> int:
        """Give the extent that a replacement of this segment goes to, so that what it replaces isn't touched."""
        held = self.segments.get(index)
        return max(held.extent + 1 if held else 0, self.fence * _EXTENTS_PER_FENCE)

    def admit(self, index: int, offset: int, mode: Mode) -> int | None:
        """Decide on a write before its first byte; give how many bytes it may bring (None: no limit).

        Raises UploadClosed, OffsetMismatch or Conflict. Every protocol's rule on offsets is here.
        """
        self.require_open()
        if mode is Mode.APPEND:
            held = self.length_of(index)
            if offset != held:
                raise OffsetMismatch(
                    f"This write begins at byte {offset}, but {held} bytes are held. Continue at {held}.",
                    offset=held,
                    given=offset,
                )
            others = self.held_bytes - held
        else:
            if offset != 0:
                raise Conflict("A segment is replaced from its first byte.", code="offset_mismatch")
            others = self.held_bytes - self.length_of(index)
        bounds = [bound for bound in (self.size, self.limit_bytes) if bound is not None]
        if not bounds:
            return None
        return min(bounds) - others - (offset if mode is Mode.APPEND else 0)

    def grown(self, segment: Segment, *, now: datetime, expires_at: datetime) -> "Upload":
        """Give this upload with one segment as it is now on the disk. Its end never comes nearer (threat 30).

        Raises TooLarge when segments that were admitted side by side add up to more than may be here.
        """
        segments = {**self.segments, segment.index: segment}
        grown = replace(self, segments=segments, touched_at=now, expires_at=max(self.expires_at, expires_at))
        most = min(bound for bound in (self.size, self.limit_bytes, grown.held_bytes) if bound is not None)
        if grown.held_bytes > most:
            raise TooLarge(f"This upload may have {most} bytes; {grown.held_bytes} were sent.", limit=most)
        return grown

    def sized(self, size: int) -> "Upload":
        """Give this upload with its size fixed. Raises Conflict for a second, other size; TooLarge past the limit."""
        if self.size is not None and self.size != size:
            raise Conflict(f"This upload was announced with {self.size} bytes, not {size}.", code="size_changed")
        if self.limit_bytes is not None and size > self.limit_bytes:
            raise TooLarge(
                f"The file has {size} bytes; at most {self.limit_bytes} are allowed.", limit=self.limit_bytes
            )
        return replace(self, size=size)

    def check_whole(self, segment_count: int | None = None) -> None:
        """Raise Incomplete unless every byte that was announced is held.

        Args:
            segment_count: how many segments the client says there are; more than that held is a Conflict,
                never a cut file.
        """
        if segment_count is not None:
            self._check_segments(segment_count)
        if self.size is not None and self.held_bytes != self.size:
            raise Incomplete(
                f"{self.held_bytes} of {self.size} bytes are held.", offset=self.held_bytes, size=self.size
            )

    def _check_segments(self, count: int) -> None:
        missing = [index for index in range(count) if index not in self.segments]
        if missing:
            shown = ", ".join(str(index) for index in missing[:20]) + (", …" if len(missing) > 20 else "")
            raise Incomplete(
                f"Chunks are missing: {shown}. Nothing was lost; send them and complete again.",
                code="chunks_missing",
                missing=missing[:1000],
            )
        extra = sorted(index for index in self.segments if index >= count)
        if extra:
            raise Conflict(
                f"{count} chunks were announced, but more were sent (index {extra[0]} and on). Nothing was cut.",
                code="chunks_extra",
                extra=extra[:1000],
            )

    def sealed(self, file_id: str) -> "Upload":
        """Give this upload as complete."""
        return replace(self, state=State.SEALED, file_id=file_id, reserved_bytes=0)

    def closed(self, state: State) -> "Upload":
        """Give this upload as aborted or expired; its reservation is gone."""
        return replace(self, state=state, reserved_bytes=0)
