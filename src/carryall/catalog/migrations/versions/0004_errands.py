"""Requests that may be repeated (docs/adr/0021)."""

import sqlalchemy as sa
from alembic import op

from carryall.catalog.tables import Words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "errands",
        sa.Column("owner", Words(300), nullable=False),
        sa.Column("key", Words(255), nullable=False),
        sa.Column("id", Words(32), nullable=False),
        sa.Column("fingerprint", Words(64), nullable=False),
        sa.Column("uploads", sa.JSON(), nullable=False),
        sa.Column("answer", Words(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("errands_by_expiry", "errands", ["expires_at"], unique=False)
