"""The tables of runs and of the chunks of their traces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0001"
down_revision: str | None = None
_LONG_BYTES = (1 << 24) - 1  # without a size, MySQL would take 64 KiB, as for TEXT
_LONG_TEXT = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "speculatoviz_runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(200), nullable=True),
        sa.Column("target", sa.String(500), nullable=False),
        sa.Column("drafter", sa.String(64), nullable=False),
        sa.Column("prompt", _LONG_TEXT, nullable=False),
        sa.Column("header", _LONG_TEXT, nullable=False),
        sa.Column("summary", _LONG_TEXT, nullable=False),
        sa.Column("trace_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("speculatoviz_runs_by_time", "speculatoviz_runs", ["created_ms", "id"])
    op.create_table(
        "speculatoviz_chunks",
        sa.Column("run", sa.String(64), sa.ForeignKey("speculatoviz_runs.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(_LONG_BYTES), nullable=False),
    )
