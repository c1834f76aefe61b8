"""Bytes that arrived whole: the file, its copies, and the links by which it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class CopyState(StrEnum):
    """How far the delivery of a file to one store is."""

    QUEUED = "queued"
    DELIVERING = "delivering"
    STORED = "stored"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file's bytes in one store.

    Attributes:
        store: the store's name in the settings.
        key: where the store keeps them; generated, never a client's name.
        link: the provider's public link, where it has one.
        error: why the last try failed, for people.
    """

    store: str
    key: str
    state: CopyState
    link: str | None = None
    attempts: int = 0
    error: str | None = None
    stored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class File:
    """Bytes that arrived whole: immutable, hashed, owned, served, deleted.

    Attributes:
        short_id: the id in short links (/s/…).
        door: the surface or protocol that it came through.
        size: in bytes.
        sha256: lower-case hexadecimal.
        media_type: what it is served as: the sniffed type where the content tells, else what was declared.
        declared_type: what the client claimed.
        path: the owner's unique name under /v1/by-name/; None elsewhere.
        public_name: the name under which the gallery serves it; None elsewhere.
        external_id: the id that another service gave it.
        expires_at: when it goes; slides with downloads where `retention` is set.
        retention: how long it stays after its last download.
        downloads: counted by the rule in docs/design/downloads.md.
    """

    id: str
    short_id: str
    owner: str
    door: str
    name: str
    size: int
    sha256: str
    media_type: str
    created_at: datetime
    declared_type: str | None = None
    path: str | None = None
    public_name: str | None = None
    external_id: str | None = None
    upload_id: str | None = None
    expires_at: datetime | None = None
    retention: timedelta | None = None
    last_read_at: datetime | None = None
    downloads: int = 0
    downloaded_bytes: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()

    @property
    def etag(self) -> str:
        """The strong entity tag, with quotes: a file's bytes never change, so its id is enough (RFC 9110 §8.8.3)."""
        return f'"{self.id}"'

    def is_over(self, now: datetime) -> bool:
        """Tell whether its time is up: it is gone for everybody, although its bytes may still be there."""
        return self.expires_at is not None and self.expires_at <= now

    def stored_copy(self, store: str) -> Copy | None:
        """Give this file's readable copy in one store, if there is one."""
        return next((c for c in self.copies if c.store == store and c.state is CopyState.STORED), None)


@dataclass(frozen=True, slots=True)
class Link:
    """Permission to read one file, for whoever holds it.

    Attributes:
        id: 128 random bits, URL-safe: the link is the secret.
        expires_at: None for a link that stays.
        max_downloads: None for no limit.
        taken: downloads that were granted so far.
        password_hash: None where no password is asked.
    """

    id: str
    file_id: str
    owner: str
    created_at: datetime
    expires_at: datetime | None = None
    max_downloads: int | None = None
    taken: int = 0
    password_hash: str | None = None
