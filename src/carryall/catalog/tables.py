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
    false,
    text,
)
from sqlalchemy.types import TypeEngine

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


class Words(TypeDecorator[str]):
    """Text with any character in it, compared and sorted by code points on both databases.

    `Words(32)` says how long it gets; nobody checks that, and without a number it may be long. PostgreSQL's text can't
    have U+0000: there it is written as U+0001 U+0002, and U+0001 as U+0001 U+0003, which keeps every order.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self._is_bounded = length is not None

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Give the column's type on this database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Text(collation="C"))
        return super().load_dialect_impl(dialect) if self._is_bounded else dialect.type_descriptor(Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Give what the database can keep."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\1", "\1\3").replace("\0", "\1\2")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Give the text as it was."""
        if value is None or dialect.name != "postgresql" or "\1" not in value:
            return value
        return value.replace("\1\2", "\0").replace("\1\3", "\1")


metadata = MetaData()

uploads = Table(
    "uploads",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("owner", Words(200), nullable=False),
    Column("declared", JSON, nullable=False),
    Column("target", Words(), nullable=False),
    Column("limit_bytes", BigInteger),
    Column("reserved_bytes", BigInteger, nullable=False),
    Column("is_resumable", Boolean, nullable=False),
    Column("size", BigInteger),
    Column("state", Words(16), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("touched_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("file_id", Words(32)),
    Column("node", Words(32)),
    Column("fence", Integer, nullable=False, server_default="0"),
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
    Column("extent", BigInteger, nullable=False),
    Column("frozen", JSON, nullable=False, server_default="[]"),
)

files = Table(
    "files",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("short_id", Words(64), nullable=False, unique=True),
    Column("owner", Words(200), nullable=False),
    Column("door", Words(32), nullable=False),
    Column("name", Words(), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Words(64), nullable=False),
    Column("media_type", Words(200), nullable=False),
    Column("declared_type", Words(200)),
    Column("path", Words()),
    Column("public_name", Words(80), unique=True),
    Column("external_id", Words(64)),
    Column("upload_id", Words(32), unique=True),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("retention", Span),
    Column("last_read_at", Time),
    Column("downloads", BigInteger, nullable=False, server_default="0"),
    Column("downloaded_bytes", BigInteger, nullable=False, server_default="0"),
    Column("metadata", JSON, nullable=False),
    Column("target", Words(), nullable=False, server_default="local"),
    Column("gives_up", Boolean, nullable=False, server_default=false()),
    Column("wants_link", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("owner", "path", name="files_one_per_path"),
    UniqueConstraint("owner", "external_id", name="files_one_per_external_id"),
    Index("files_by_owner", "owner", "created_at", "id"),
    Index("files_by_door", "door", "created_at", "id"),
    Index("files_by_expiry", "expires_at"),
    Index("files_by_content", "owner", "sha256", "created_at"),
)

copies = Table(
    "copies",
    metadata,
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    Column("store", Words(64), primary_key=True),
    Column("key", Words(), nullable=False),
    Column("state", Words(16), nullable=False),
    Column("location", Words(), nullable=False, server_default=text("''")),
    Column("tag", Words()),
    Column("link", Words()),
    Column("sent_bytes", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False),
    Column("error", Words()),
    Column("error_code", Words(64)),
    Column("next_try_at", Time),
    Column("stored_at", Time),
    Column("checked_at", Time),
    Column("is_cache", Boolean, nullable=False, server_default=false()),
    Index("copies_by_key", "store", "key"),
    Index("copies_by_location", "store", "location"),
    Index("copies_by_state", "store", "state", "file_id"),
    Index("copies_by_check", "store", "checked_at"),
    Index("copies_by_cache", "store", "is_cache"),
)

links = Table(
    "links",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("file_id", ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("owner", Words(200), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("max_downloads", Integer),
    Column("taken", Integer, nullable=False, server_default="0"),
    Column("password_hash", Words()),
    Index("links_by_file", "file_id", "created_at"),
)

grants = Table(
    "grants",
    metadata,
    Column("link_id", ForeignKey("links.id", ondelete="CASCADE"), primary_key=True),
    Column("client", Words(200), primary_key=True),
    Column("taken_at", Time, nullable=False),
    Index("grants_by_time", "taken_at"),
)

leases = Table(  # who writes to which upload now; a segment of -1 stands for all of them
    "leases",
    metadata,
    Column("upload_id", Words(32), primary_key=True),
    Column("segment", Integer, primary_key=True, autoincrement=False),
    Column("node", Words(32), nullable=False),
    Column("is_asked", Boolean, nullable=False),
    Index("leases_by_node", "node"),
)

nodes = Table(  # the processes that serve, and how often their hearts have beaten
    "nodes",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("beats", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", Words(128), primary_key=True),
    Column("plan", Words(64)),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("digest", Words(64), nullable=False, unique=True),
    Column("user", ForeignKey("users.name", ondelete="CASCADE")),
    Column("label", Words(200), nullable=False),
    Column("scopes", Words(64), nullable=False),
    Column("file_id", Words(32)),
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
    Column("name", Words(64), primary_key=True),
    Column("limits", JSON, nullable=False),
)

usages = Table(
    "usage",
    metadata,
    Column("owner", Words(200), primary_key=True),
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

hits = Table(  # who asked when, for the rates
    "hits",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("key", Words(300), nullable=False),
    Column("at", Time, nullable=False),
    Index("hits_by_key", "key", "at"),
    Index("hits_by_time", "at"),
)

errands = Table(
    "errands",
    metadata,
    Column("owner", Words(300), primary_key=True),
    Column("key", Words(255), primary_key=True),
    Column("id", Words(32), nullable=False, unique=True),
    Column("fingerprint", Words(64), nullable=False),
    Column("uploads", JSON, nullable=False),
    Column("answer", Words),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False),
    Index("errands_by_expiry", "expires_at"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Words(64), primary_key=True),
    Column("kind", Words(32), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", Words(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("run_at", Time, nullable=False),
    Column("leased_until", Time),
    Column("node", Words(32)),
    Column("created_at", Time, nullable=False),
    Column("finished_at", Time),
    Column("error", Words()),
    Index("jobs_by_state", "state", "run_at"),
    Index("jobs_by_kind", "kind", "created_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("type", Words(64), nullable=False),
    Column("subject", Words(64), nullable=False),
    Column("owner", Words(200), nullable=False),
    Column("data", JSON, nullable=False),
    Column("created_at", Time, nullable=False),
    Index("events_by_owner", "owner", "id"),
    Index("events_by_time", "created_at"),
    Index("events_by_subject", "subject", "id"),
    sqlite_autoincrement=True,
)
