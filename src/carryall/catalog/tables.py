"""The tables, the same on SQLite and PostgreSQL. `migrations/` brings a database here; a test compares the two."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Time(TypeDecorator[datetime]):
    """An aware UTC datetime as whole microseconds since 1970: exact, and ordered the same way everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Give the microseconds; a naive datetime is an error."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Give the datetime."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Span(TypeDecorator[timedelta]):
    """A duration as whole seconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """Give the seconds."""
        return None if value is None else value // timedelta(seconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> timedelta | None:
        """Give the duration."""
        return None if value is None else timedelta(seconds=value)


metadata = MetaData()

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("declared", JSON, nullable=False),
    Column("store", String(64), nullable=False),
    Column("limit_bytes", BigInteger),
    Column("reserved_bytes", BigInteger, nullable=False),
    Column("is_resumable", Boolean, nullable=False),
    Column("size", BigInteger),
    Column("state", String(16), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("touched_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("file_id", String(32)),
    Index("uploads_by_state", "state", "expires_at"),
    Index("uploads_by_owner", "owner", "state", "created_at"),
    Index("uploads_by_touch", "touched_at"),
)

segments = Table(
    "segments",
    metadata,
    Column("upload_id", ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("idx", Integer, primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("extent", Integer, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("short_id", String(64), nullable=False, unique=True),
    Column("owner", String(200), nullable=False),
    Column("door", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("declared_type", String(200)),
    Column("path", Text),
    Column("public_name", String(80), unique=True),
    Column("external_id", String(64)),
    Column("upload_id", String(32), unique=True),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("retention", Span),
    Column("last_read_at", Time),
    Column("downloads", BigInteger, nullable=False, server_default="0"),
    Column("downloaded_bytes", BigInteger, nullable=False, server_default="0"),
    Column("metadata", JSON, nullable=False),
    UniqueConstraint("owner", "path", name="files_one_per_path"),
    UniqueConstraint("owner", "external_id", name="files_one_per_external_id"),
    Index("files_by_owner", "owner", "created_at", "id"),
    Index("files_by_door", "door", "created_at", "id"),
    Index("files_by_expiry", "expires_at"),
)

copies = Table(
    "copies",
    metadata,
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("store", String(64), primary_key=True),
    Column("key", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("link", Text),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("stored_at", Time),
    Index("copies_by_key", "store", "key"),
)

links = Table(
    "links",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("max_downloads", Integer),
    Column("taken", Integer, nullable=False, server_default="0"),
    Column("password_hash", Text),
    Index("links_by_file", "file_id", "created_at"),
)

grants = Table(
    "grants",
    metadata,
    Column("link_id", ForeignKey("links.id", ondelete="CASCADE"), primary_key=True),
    Column("client", String(200), primary_key=True),
    Column("taken_at", Time, nullable=False),
    Index("grants_by_time", "taken_at"),
)

users = Table(
    "users",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("plan", String(64)),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE")),
    Column("label", String(200), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("file_id", String(32)),
    Column("is_primary", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("revoked_at", Time),
    Column("last_used_at", Time),
    Index("tokens_by_user", "user", "created_at"),
)

plans = Table(
    "plans",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("limits", JSON, nullable=False),
)

usages = Table(
    "usage",
    metadata,
    Column("owner", String(200), primary_key=True),
    *(
        Column(name, BigInteger, nullable=False, server_default="0")
        for name in (
            "stored_bytes",
            "reserved_bytes",
            "files",
            "open_uploads",
            "uploads",
            "uploaded_bytes",
            "downloads",
            "downloaded_bytes",
        )
    ),
    Column("last_upload_at", Time),
    Column("last_download_at", Time),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("run_at", Time, nullable=False),
    Column("leased_until", Time),
    Column("created_at", Time, nullable=False),
    Column("finished_at", Time),
    Column("error", Text),
    Index("jobs_by_state", "state", "run_at"),
    Index("jobs_by_kind", "kind", "created_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("type", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("data", JSON, nullable=False),
    Column("created_at", Time, nullable=False),
    Index("events_by_owner", "owner", "id"),
    Index("events_by_time", "created_at"),
    sqlite_autoincrement=True,
)
