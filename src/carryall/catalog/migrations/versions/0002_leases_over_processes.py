"""Leases over processes: who holds what, the fence of an upload, and extents that were left behind."""

import sqlalchemy as sa
from alembic import op

from carryall.catalog.tables import Words

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and columns."""
    op.create_table(
        "leases",
        sa.Column("upload_id", Words(32), nullable=False),
        sa.Column("segment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node", Words(32), nullable=False),
        sa.Column("is_asked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "segment"),
    )
    op.create_index("leases_by_node", "leases", ["node"], unique=False)
    op.create_table(
        "nodes",
        sa.Column("id", Words(32), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("uploads") as uploads:
        uploads.add_column(sa.Column("node", Words(32), nullable=True))
        uploads.add_column(sa.Column("fence", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("segments") as segments:
        segments.alter_column("extent", existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False)
        segments.add_column(sa.Column("frozen", sa.JSON(), server_default="[]", nullable=False))
