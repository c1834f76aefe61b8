"""Rows of uploads and their segments."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, bindparam, delete, func, insert, select, update

from carryall.catalog.tables import segments, uploads
from carryall.model.target import Target
from carryall.model.upload import Declared, Segment, State, Upload

_ADD = insert(uploads)
_GET = select(uploads).where(uploads.c.id == bindparam("id"))
_SEGMENTS = select(segments).where(segments.c.upload_id == bindparam("id")).order_by(segments.c.idx)
_AT = select(segments).where(segments.c.upload_id == bindparam("id"), segments.c.idx == bindparam("idx"))
_ELSEWHERE = select(func.coalesce(func.sum(segments.c.length), 0)).where(
    segments.c.upload_id == bindparam("id"), segments.c.idx != bindparam("idx")
)
_ADD_RESERVED = (
    update(uploads)
    .where(uploads.c.id == bindparam("b_id"))
    .values(reserved_bytes=uploads.c.reserved_bytes + bindparam("b_change"))
)
_CHANGING = ("declared", "size", "state", "reserved_bytes", "touched_at", "expires_at", "file_id")
_SAVE = update(uploads).where(uploads.c.id == bindparam("b_id")).values({n: bindparam(f"b_{n}") for n in _CHANGING})
_PUT_SEGMENT = (
    update(segments)
    .where(segments.c.upload_id == bindparam("b_id"), segments.c.idx == bindparam("b_idx"))
    .values(length=bindparam("b_length"), extent=bindparam("b_extent"), frozen=bindparam("b_frozen"))
)
_ADD_SEGMENT = insert(segments)
_RAISE_FENCE = (
    update(uploads)
    .where(uploads.c.id == bindparam("b_id"), uploads.c.fence == bindparam("b_above"))
    .values(fence=uploads.c.fence + 1)
)
_STALE = (
    select(uploads.c.id)
    .where(uploads.c.state == State.OPEN, uploads.c.expires_at <= bindparam("now"))
    .order_by(uploads.c.expires_at)
    .limit(bindparam("most"))
)
_ONE_SHOT = select(uploads.c.id, uploads.c.node).where(uploads.c.state == State.OPEN, uploads.c.is_resumable.is_(False))
_HELD = select(func.coalesce(func.sum(segments.c.length), 0)).where(segments.c.upload_id == uploads.c.id)
_AHEAD = select(uploads).where(
    uploads.c.state == State.OPEN, uploads.c.size.is_(None), uploads.c.reserved_bytes > _HELD.scalar_subquery()
)
_CLOSED = (
    select(uploads.c.id)
    .where(uploads.c.state != State.OPEN, uploads.c.touched_at < bindparam("before"))
    .limit(bindparam("most"))
)
_OPEN_OF = (
    select(uploads)
    .where(uploads.c.owner == bindparam("owner"), uploads.c.state == State.OPEN)
    .order_by(uploads.c.created_at.desc(), uploads.c.id)
    .limit(bindparam("most"))
)

_OPEN_SEGMENTS = (
    select(segments)
    .join(uploads, uploads.c.id == segments.c.upload_id)
    .where(uploads.c.state == State.OPEN, uploads.c.is_resumable, segments.c.length > 0)
)


class UploadRows:
    """Implements `ports.catalog_files.Uploads`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, upload: Upload) -> None:
        """Write a new upload."""
        self._connection.execute(
            _ADD,
            {
                "id": upload.id,
                "owner": upload.owner,
                "target": str(upload.target),
                "limit_bytes": upload.limit_bytes,
                "is_resumable": upload.is_resumable,
                "created_at": upload.created_at,
                "node": upload.node,
                **_changing(upload),
            },
        )

    def get(self, upload_id: str) -> Upload | None:
        """Give an upload with its segments."""
        row = self._connection.execute(_GET, {"id": upload_id}).mappings().first()
        return self._whole(row) if row else None

    def at(self, upload_id: str, index: int) -> Upload | None:
        """Give an upload with one of its segments."""
        row = self._connection.execute(_GET, {"id": upload_id}).mappings().first()
        if row is None:
            return None
        place = {"id": upload_id, "idx": index}
        elsewhere = self._connection.execute(_ELSEWHERE, place).scalar_one()
        return replace(_upload(row, self._connection.execute(_AT, place).all()), elsewhere_bytes=int(elsewhere))

    def add_reserved(self, upload_id: str, change: int) -> None:
        """Count a reservation."""
        self._connection.execute(_ADD_RESERVED, {"b_id": upload_id, "b_change": change})

    def save(self, upload: Upload) -> None:
        """Write what can change."""
        values = {f"b_{name}": value for name, value in _changing(upload).items()}
        self._connection.execute(_SAVE, {"b_id": upload.id, **values})

    def put_segment(self, upload_id: str, segment: Segment) -> None:
        """Write one segment, new or again."""
        values = {"length": segment.length, "extent": segment.extent, "frozen": segment.frozen}
        place = {"b_id": upload_id, "b_idx": segment.index}
        bound = {f"b_{name}": value for name, value in values.items()}
        if self._connection.execute(_PUT_SEGMENT, place | bound).rowcount == 0:
            self._connection.execute(_ADD_SEGMENT, {"upload_id": upload_id, "idx": segment.index, **values})

    def stale(self, now: datetime, limit: int) -> Sequence[str]:
        """Give open uploads whose time is up."""
        return self._connection.execute(_STALE, {"now": now, "most": limit}).scalars().all()

    def raise_fence(self, upload_id: str, *, above: int) -> None:
        """Count one succession more."""
        self._connection.execute(_RAISE_FENCE, {"b_id": upload_id, "b_above": above})

    def one_shot_open(self) -> Sequence[tuple[str, str | None]]:
        """Give open uploads that can't be resumed, and who opened them."""
        return [(row.id, row.node) for row in self._connection.execute(_ONE_SHOT)]

    def reserved_ahead(self) -> Sequence[Upload]:
        """Give open uploads of unknown size that reserve more than they hold."""
        return [self._whole(row) for row in self._connection.execute(_AHEAD).mappings().all()]

    def forget_closed(self, before: datetime, limit: int) -> int:
        """Remove old closed uploads."""
        ids = self._connection.execute(_CLOSED, {"before": before, "most": limit}).scalars().all()
        self._connection.execute(delete(segments).where(segments.c.upload_id.in_(ids)))
        self._connection.execute(delete(uploads).where(uploads.c.id.in_(ids)))
        return len(ids)

    def open_of(self, owner: str, limit: int) -> Sequence[Upload]:
        """Give an owner's open uploads."""
        rows = self._connection.execute(_OPEN_OF, {"owner": owner, "most": limit}).mappings().all()
        return [self._whole(row) for row in rows]

    def put_off(self, upload_ids: Sequence[str], expires_at: datetime) -> None:
        """Move the end of open uploads."""
        early = (uploads.c.id.in_(upload_ids), uploads.c.state == State.OPEN, uploads.c.expires_at < expires_at)
        self._connection.execute(update(uploads).where(*early).values(expires_at=expires_at))

    def open_segments(self) -> Sequence[tuple[str, Segment]]:
        """Give every segment with bytes of every open upload that can be resumed."""
        rows = self._connection.execute(_OPEN_SEGMENTS).all()
        return [(row.upload_id, _segment(row)) for row in rows]

    def _whole(self, row: RowMapping) -> Upload:
        return _upload(row, self._connection.execute(_SEGMENTS, {"id": row["id"]}).all())


def _upload(row: RowMapping, found: Sequence[Row[Any]]) -> Upload:
    values: dict[str, Any] = dict(row)
    return Upload(
        **{
            **values,
            "declared": _declared(values["declared"]),
            "target": Target.parse(values["target"]),
            "state": State(values["state"]),
            "segments": {row.idx: _segment(row) for row in found},
        }
    )


def _segment(row: Row[Any]) -> Segment:
    frozen = tuple((extent, length) for extent, length in row.frozen)
    return Segment(index=row.idx, length=row.length, extent=row.extent, frozen=frozen)


def _declared(values: Mapping[str, Any]) -> Declared:
    known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Declared(**known)  # JSON has lists where we have tuples


def _changing(upload: Upload) -> Mapping[str, Any]:
    return {
        "declared": asdict(upload.declared),
        "size": upload.size,
        "state": upload.state.value,
        "reserved_bytes": upload.reserved_bytes,
        "touched_at": upload.touched_at,
        "expires_at": upload.expires_at,
        "file_id": upload.file_id,
    }
