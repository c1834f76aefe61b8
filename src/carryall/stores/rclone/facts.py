"""What rclone tells of a remote and of its files, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from carryall.ports.store import Room, Stored

_HASHES = ("sha256", "sha1", "md5")  # the ones to choose first; any other still tells that bytes changed
_SINCE = datetime(1980, 1, 1, tzinfo=UTC)  # remotes without times tell the year 1, or 1970


@dataclass(frozen=True, slots=True)
class Facts:
    """What a remote can do.

    Attributes:
        is_bucket: folders are only beginnings of names, and a file appears when its last byte has.
        moves: files can be renamed, or copied, there.
        streams: takes a file whose size it isn't told. The others let rclone spool it.
        has_links: gives public links.
        has_room: may tell its room.
        hash: the checksum that it keeps, by rclone's name; None where there is none, or it would be computed anew.
    """

    is_bucket: bool
    moves: bool
    streams: bool
    has_links: bool
    has_room: bool
    hash: str | None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Facts":
        """Read the answer of `operations/fsinfo`."""
        features = told["Features"]
        hashes = [] if features.get("SlowHash") else list(told.get("Hashes") or ())
        return cls(
            is_bucket=bool(features.get("BucketBased")),
            moves=bool(features.get("Move") or features.get("Copy")),
            streams=bool(features.get("PutStream")),
            has_links=bool(features.get("PublicLink")),
            has_room=bool(features.get("About")),
            hash=next((name for name in (*_HASHES, *hashes) if name in hashes), None),
        )

    @property
    def asked(self) -> dict[str, Any]:
        """Give the options that have files listed as `stored` reads them."""
        return {"noMimeType": True} | ({} if self.hash is None else {"showHash": True, "hashTypes": [self.hash]})

    def stored(self, item: Mapping[str, Any], now: datetime) -> Stored:
        """Read one file of a list. Where the remote keeps times, its age counts from the last write to its source."""
        digest = (item.get("Hashes") or {}).get(self.hash)
        return Stored(
            location=item["Path"],
            size=int(item["Size"]),
            age_s=age_s(item.get("ModTime", ""), now),
            tag=f"{self.hash}:{digest}" if digest else None,
        )


def age_s(written_at: str, now: datetime) -> float:
    """Tell how long ago a time of rclone's was; nothing where the remote has no times."""
    then = datetime.fromisoformat(written_at) if written_at else now
    return max(0.0, (now - then).total_seconds()) if then > _SINCE else 0.0


def room(told: Mapping[str, Any]) -> Room:
    """Read the answer of `operations/about`."""
    return Room(total=told.get("total"), used=told.get("used"), free=told.get("free"))
