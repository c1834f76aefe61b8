"""The catalog's memory of uploads and files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from carryall.model.file import Copy, CopyState, File
from carryall.model.target import Target
from carryall.model.upload import Segment, Upload


class Uploads(Protocol):
    """Uploads and their segments."""

    def add(self, upload: Upload) -> None:
        """Write a new upload."""
        ...

    def get(self, upload_id: str) -> Upload | None:
        """Give an upload with its segments."""
        ...

    def at(self, upload_id: str, index: int) -> Upload | None:
        """Give an upload with one of its segments; the others' bytes are only summed up, however many there are."""
        ...

    def add_reserved(self, upload_id: str, change: int) -> None:
        """Write that an upload holds so much more (or less) of its owner's reservation."""
        ...

    def save(self, upload: Upload) -> None:
        """Write everything about an upload that can change, but not its segments."""
        ...

    def put_segment(self, upload_id: str, segment: Segment) -> None:
        """Write one segment, new or again."""
        ...

    def stale(self, now: datetime, limit: int) -> Sequence[str]:
        """Give open uploads whose time is up."""
        ...

    def raise_fence(self, upload_id: str, *, above: int) -> None:
        """Count that somebody takes an upload over, unless somebody did since its fence was `above`."""
        ...

    def one_shot_open(self) -> Sequence[tuple[str, str | None]]:
        """Give open uploads that can't be resumed, with the process (node) that opened each and is to end it."""
        ...

    def reserved_ahead(self) -> Sequence[Upload]:
        """Give open uploads of unknown size that reserve more than they hold; after a restart nobody needs the rest."""
        ...

    def forget_closed(self, before: datetime, limit: int) -> int:
        """Remove closed uploads' rows that nothing touched since; give how many went."""
        ...

    def open_of(self, owner: str, limit: int) -> Sequence[Upload]:
        """Give an owner's open uploads, newest first."""
        ...

    def put_off(self, upload_ids: Sequence[str], expires_at: datetime) -> None:
        """Move the end of those that are open, and that would end before."""
        ...

    def open_segments(self) -> Sequence[tuple[str, Segment]]:
        """Give every segment with bytes of every open upload that can be resumed, with the upload's id."""
        ...


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Sort = Literal["created", "-created", "name", "-name", "size", "-size"]


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Which files, in which order.

    Attributes:
        owner: None for everybody's.
        door: only those that came through this surface or protocol.
        name_contains: letters in the name, whatever their case.
        media_type: one type ("image/png"), or a family of them ("image/").
        idle_since: not downloaded (or, never downloaded, not stored) since then.
        alive_at: leaves out files whose time was up at that moment.
        after: the sort value and id of the last file of the page before (keyset paging).
        limit: how many at most.
    """

    owner: str | None = None
    door: str | None = None
    name_contains: str | None = None
    media_type: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    external_id: str | None = None
    has_external_id: bool = False
    file_id: str | None = None
    path_prefix: str | None = None
    idle_since: datetime | None = None
    alive_at: datetime | None = None
    sort: Sort = "-created"
    after: tuple[str | int, str] | None = None
    offset: int = 0
    limit: int = 100

    def following(self, last: File) -> "FileQuery":
        """Give the query for the page after the one that ends with this file."""
        keys: dict[str, str | int] = {
            "created": (last.created_at - _EPOCH) // timedelta(microseconds=1),
            "name": last.name,
            "size": last.size,
        }
        return replace(self, after=(keys[self.sort.lstrip("-")], last.id))


@dataclass(frozen=True, slots=True)
class CopyQuery:
    """Which deliveries; those of caches aren't among them.

    Attributes:
        states: in one of these.
        store: to this one.
        owner: None for everybody's.
        after: the file's time in microseconds since 1970, its id and the store of the last one of the page before.
        limit: how many at most.
    """

    states: tuple[CopyState, ...]
    store: str | None = None
    owner: str | None = None
    file_id: str | None = None
    external_id: str | None = None
    after: tuple[int, str, str] | None = None
    limit: int = 100

    def following(self, last: tuple[File, Copy]) -> "CopyQuery":
        """Give the query for the page after the one that ends with this delivery."""
        file, copy = last
        return replace(self, after=((file.created_at - _EPOCH) // timedelta(microseconds=1), file.id, copy.store))


class Files(Protocol):
    """Files and their copies."""

    def add(self, file: File) -> None:
        """Write a new file with its copies."""
        ...

    def get(self, file_id: str) -> File | None:
        """Give a file by its id."""
        ...

    def by_short_id(self, short_id: str) -> File | None:
        """Give a file by its short id."""
        ...

    def by_path(self, owner: str, path: str) -> File | None:
        """Give an owner's file by its unique name."""
        ...

    def by_public_name(self, name: str) -> File | None:
        """Give the file that the gallery serves under this name."""
        ...

    def by_external_id(self, owner: str, external_id: str) -> File | None:
        """Give an owner's file by the id that another service gave it."""
        ...

    def by_upload(self, upload_id: str) -> File | None:
        """Give the file that an upload became."""
        ...

    def find(self, query: FileQuery) -> Sequence[File]:
        """Give the files that fit, in order."""
        ...

    def count(self, query: FileQuery) -> int:
        """Count the files that fit, whatever the page."""
        ...

    def deliveries(self, query: CopyQuery) -> Sequence[tuple[File, Copy]]:
        """Give the copies that fit, each with its file; those of the newest files first, a file's by store."""
        ...

    def rename(self, file_id: str, name: str) -> None:
        """Set the name."""
        ...

    def set_expiry(self, file_id: str, expires_at: datetime | None, retention: timedelta | None) -> None:
        """Set when the file goes, and whether downloads put that off."""
        ...

    def count_download(self, file_id: str, size: int, now: datetime) -> None:
        """Count one download of so many bytes; put off the expiry where there is a retention. Never loses one."""
        ...

    def put_copy(self, file_id: str, copy: Copy) -> None:
        """Write one copy, new or again."""
        ...

    def note_sent(self, file_id: str, store: str, sent_bytes: int) -> bool:
        """Write how far a delivery is; give False when there is none any more."""
        ...

    def remove_copy(self, file_id: str, store: str) -> None:
        """Remove one copy's row."""
        ...

    def aim(self, file_id: str, target: Target) -> None:
        """Set where a file is to be."""
        ...

    def with_content(self, owner: str, sha256: str, *, since: datetime) -> Sequence[File]:
        """Give an owner's files of this content that came since then, newest first."""
        ...

    def remove(self, file_id: str) -> None:
        """Remove a file, its copies and its links."""
        ...

    def expired(self, now: datetime, limit: int) -> Sequence[File]:
        """Give files whose time is up."""
        ...

    def holds_key(self, store: str, key: str) -> bool:
        """Tell whether any file has a copy under this key, or at this location."""
        ...
