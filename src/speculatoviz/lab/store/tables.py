"""The tables of a store, as its newest version has them. `versions/` creates them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import MEDIUMTEXT

LONGEST_ID = 64
LONGEST_NAME = 200
LONGEST_CHUNK_BYTES = (1 << 24) - 1  # what MySQL's MEDIUMBLOB and MEDIUMTEXT hold

METADATA = MetaData()
_LONG_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")  # whose TEXT holds 64 KiB

# created_ms: since 1970. header: of the trace, as JSON. summary: a RunSummary, as JSON. trace_bytes: of all chunks.
RUNS = Table(
    "speculatoviz_runs",
    METADATA,
    Column("id", String(LONGEST_ID), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("name", String(LONGEST_NAME), nullable=True),
    Column("target", String(500), nullable=False),
    Column("drafter", String(64), nullable=False),
    Column("prompt", _LONG_TEXT, nullable=False),
    Column("header", _LONG_TEXT, nullable=False),
    Column("summary", _LONG_TEXT, nullable=False),
    Column("trace_bytes", BigInteger, nullable=False),
    Index("speculatoviz_runs_by_time", "created_ms", "id"),
)

# data: lines of a trace, compressed with zlib. The lines of all chunks of a run, in their order, are its trace.
CHUNKS = Table(
    "speculatoviz_chunks",
    METADATA,
    Column("run", String(LONGEST_ID), ForeignKey("speculatoviz_runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary(LONGEST_CHUNK_BYTES), nullable=False),
)
