"""Rates over processes: who asked when."""

import sqlalchemy as sa
from alembic import op

from carryall.catalog.tables import Words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "hits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", Words(300), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("hits_by_key", "hits", ["key", "at"], unique=False)
    op.create_index("hits_by_time", "hits", ["at"], unique=False)
