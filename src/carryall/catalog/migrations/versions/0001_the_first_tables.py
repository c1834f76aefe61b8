"""The first tables."""

import sqlalchemy as sa
from alembic import op

from carryall.catalog.tables import Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, those that others point at first."""
    if op.get_bind().dialect.name == "postgresql":
        _folding()
    _events()
    _files()
    _jobs()
    _plans()
    _uploads()
    _usage()
    _users()
    _copies()
    _links()
    _segments()
    _tokens()
    _grants()


def _folding() -> None:
    """Make the collation by which names are searched: one that knows every alphabet's small letters."""
    there = op.get_bind().exec_driver_sql("SELECT collname FROM pg_collation").scalars().all()
    best = next(name for name in ("pg_unicode_fast", "und-x-icu", "pg_c_utf8", "C.utf8", "C") if name in there)
    op.execute(f'CREATE COLLATION carryall_folding FROM "{best}"')


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("type", Words(64), nullable=False),
        sa.Column("subject", Words(64), nullable=False),
        sa.Column("owner", Words(200), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_owner", "events", ["owner", "id"], unique=False)
    op.create_index("events_by_time", "events", ["created_at"], unique=False)


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("id", Words(32), nullable=False),
        sa.Column("short_id", Words(64), nullable=False),
        sa.Column("owner", Words(200), nullable=False),
        sa.Column("door", Words(32), nullable=False),
        sa.Column("name", Words(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", Words(64), nullable=False),
        sa.Column("media_type", Words(200), nullable=False),
        sa.Column("declared_type", Words(200), nullable=True),
        sa.Column("path", Words(), nullable=True),
        sa.Column("public_name", Words(80), nullable=True),
        sa.Column("external_id", Words(64), nullable=True),
        sa.Column("upload_id", Words(32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("retention", sa.BigInteger(), nullable=True),
        sa.Column("last_read_at", sa.BigInteger(), nullable=True),
        sa.Column("downloads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("downloaded_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "external_id", name="files_one_per_external_id"),
        sa.UniqueConstraint("owner", "path", name="files_one_per_path"),
        sa.UniqueConstraint("public_name"),
        sa.UniqueConstraint("short_id"),
        sa.UniqueConstraint("upload_id"),
    )
    op.create_index("files_by_door", "files", ["door", "created_at", "id"], unique=False)
    op.create_index("files_by_expiry", "files", ["expires_at"], unique=False)
    op.create_index("files_by_owner", "files", ["owner", "created_at", "id"], unique=False)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", Words(64), nullable=False),
        sa.Column("kind", Words(32), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", Words(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("error", Words(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("jobs_by_kind", "jobs", ["kind", "created_at"], unique=False)
    op.create_index("jobs_by_state", "jobs", ["state", "run_at"], unique=False)


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("name", Words(64), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", Words(32), nullable=False),
        sa.Column("owner", Words(200), nullable=False),
        sa.Column("declared", sa.JSON(), nullable=False),
        sa.Column("store", Words(64), nullable=False),
        sa.Column("limit_bytes", sa.BigInteger(), nullable=True),
        sa.Column("reserved_bytes", sa.BigInteger(), nullable=False),
        sa.Column("is_resumable", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("state", Words(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("file_id", Words(32), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uploads_by_owner", "uploads", ["owner", "state", "created_at"], unique=False)
    op.create_index("uploads_by_state", "uploads", ["state", "expires_at"], unique=False)
    op.create_index("uploads_by_touch", "uploads", ["touched_at"], unique=False)


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", Words(200), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("files", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("open_uploads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("uploads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("uploaded_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("downloads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("downloaded_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_upload_at", sa.BigInteger(), nullable=True),
        sa.Column("last_download_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("owner"),
    )


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("name", Words(128), nullable=False),
        sa.Column("plan", Words(64), nullable=True),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _copies() -> None:
    op.create_table(
        "copies",
        sa.Column("file_id", Words(32), nullable=False),
        sa.Column("store", Words(64), nullable=False),
        sa.Column("key", Words(200), nullable=False),
        sa.Column("state", Words(16), nullable=False),
        sa.Column("link", Words(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", Words(), nullable=True),
        sa.Column("stored_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "store"),
    )
    op.create_index("copies_by_key", "copies", ["store", "key"], unique=False)


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("id", Words(32), nullable=False),
        sa.Column("file_id", Words(32), nullable=False),
        sa.Column("owner", Words(200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("max_downloads", sa.Integer(), nullable=True),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("password_hash", Words(), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("links_by_file", "links", ["file_id", "created_at"], unique=False)


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("upload_id", Words(32), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("extent", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("upload_id", "idx"),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", Words(32), nullable=False),
        sa.Column("digest", Words(64), nullable=False),
        sa.Column("user", Words(128), nullable=True),
        sa.Column("label", Words(200), nullable=False),
        sa.Column("scopes", Words(64), nullable=False),
        sa.Column("file_id", Words(32), nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("tokens_by_user", "tokens", ["user", "created_at"], unique=False)


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("link_id", Words(32), nullable=False),
        sa.Column("client", Words(200), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["links.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("link_id", "client"),
    )
    op.create_index("grants_by_time", "grants", ["taken_at"], unique=False)
