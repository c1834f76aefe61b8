"""Deliveries: files have targets, copies tell how far they are, jobs know who runs them."""

import sqlalchemy as sa
from alembic import op

from carryall.catalog.tables import Words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. What was stored before lies where its key says; the store of an upload is its target."""
    with op.batch_alter_table("uploads") as uploads:
        uploads.alter_column(
            "store", new_column_name="target", existing_type=sa.String(64), type_=Words(), existing_nullable=False
        )
    op.add_column("files", sa.Column("target", Words(), server_default="local", nullable=False))
    op.add_column("files", sa.Column("gives_up", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("files", sa.Column("wants_link", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("files_by_content", "files", ["owner", "sha256", "created_at"], unique=False)
    _copies()
    op.create_index("events_by_subject", "events", ["subject", "id"], unique=False)
    op.add_column("jobs", sa.Column("node", Words(32), nullable=True))


def _copies() -> None:
    with op.batch_alter_table("copies") as copies:
        copies.alter_column("key", existing_type=sa.String(200), type_=Words(), existing_nullable=False)
    for column in (
        sa.Column("location", Words(), server_default=sa.text("''"), nullable=False),
        sa.Column("tag", Words(), nullable=True),
        sa.Column("sent_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error_code", Words(64), nullable=True),
        sa.Column("next_try_at", sa.BigInteger(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("is_cache", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("copies", column)
    op.create_index("copies_by_location", "copies", ["store", "location"], unique=False)
    op.create_index("copies_by_state", "copies", ["store", "state", "file_id"], unique=False)
    op.create_index("copies_by_check", "copies", ["store", "checked_at"], unique=False)
    op.create_index("copies_by_cache", "copies", ["store", "is_cache"], unique=False)
    op.execute(sa.text("UPDATE copies SET location = key"))
