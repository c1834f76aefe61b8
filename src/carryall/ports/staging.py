"""Where bytes land before they are a file."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from carryall.model.upload import Segment


class Landing(Protocol):
    """One write to one extent. Not shared between tasks."""

    async def put(self, chunk: bytes) -> None:
        """Take a non-empty chunk. It may be written later, but before `sync` returns; order is kept.

        Raises NoRoom when the disk is full, Unavailable when it fails; the landing is then dead.
        """
        ...

    @property
    def taken(self) -> int:
        """Bytes put so far in this landing, written or not."""
        ...

    async def sync(self) -> int:
        """Write and sync everything that was put; give the segment's length in bytes, which survives power loss.

        A sync that failed is final: the landing is dead and its bytes since the last good sync don't count.
        """
        ...

    async def digests(self) -> dict[str, str]:
        """Give the hexadecimal digests of what this landing brought, by the algorithm names asked for at `land`."""
        ...

    async def close(self) -> None:
        """Let go of the extent; waits for a write that is under way. Never raises; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Staged:
    """A complete upload's bytes in staging, ready to be put into a store.

    Attributes:
        size: in bytes.
        path: where they lie, for stores on the same file system.
        head: the first bytes (at most 8,192), for the checks.
    """

    size: int
    path: Path
    head: bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """A staged file as it is found on the disk: whose it is, and its age in seconds since its last write.

    What was joined of several segments is no segment: its number is -1.
    """

    upload_id: str
    segment: int
    extent: int
    size: int
    age_s: float


class Staging(Protocol):
    """Keeps the bytes of uploads on durable storage. Names are generated; a client's name never reaches the disk.

    Rows decide what counts: an extent's bytes past its row's length are no part of the upload.
    """

    async def land(self, upload_id: str, segment: Segment, *, algorithms: Iterable[str] = ()) -> Landing:
        """Begin a write to `segment.extent` behind `segment.length`; anything beyond is cut off first.

        The extents of `segment.frozen` aren't touched: what they hold behind their pieces is nobody's.

        Raises Unavailable when fewer bytes are there than the row says (the disk lost them).
        """
        ...

    async def move(self, upload_id: str, segment: Segment, to_upload_id: str, to_segment: Segment) -> None:
        """Make an extent of one upload an extent of another, durably and without copying. Replaces what was there."""
        ...

    async def link(self, upload_id: str, segment: Segment, to_upload_id: str, to_segment: Segment) -> None:
        """Make a finished extent of one upload an extent of another, too, durably and without copying.

        Both are one from now on: neither may be written any more. Idempotent.
        """
        ...

    async def discard(self, upload_id: str, segments: Iterable[Segment]) -> None:
        """Remove these extents. One that isn't there is no error."""
        ...

    async def discard_all(self, upload_id: str) -> None:
        """Remove everything staged for an upload. Nothing there is no error."""
        ...

    async def join(self, upload_id: str, segments: Sequence[Segment], *, algorithms: Iterable[str]) -> dict[str, str]:
        """Make one extent of all the segments in order, durably; give the digests of the whole, hexadecimal.

        Idempotent: what an earlier, interrupted join left is made anew. A single segment isn't copied, only digested.
        """
        ...

    async def staged(self, upload_id: str, segments: Sequence[Segment]) -> Staged:
        """Give the joined bytes. With several segments, `join` must have been called."""
        ...

    def extents(self) -> AsyncIterator[Extent]:
        """Walk over everything that is staged, in no order."""
        ...

    async def ready(self) -> int:
        """Give the free room in bytes. Raises Unavailable when nothing can be written."""
        ...
