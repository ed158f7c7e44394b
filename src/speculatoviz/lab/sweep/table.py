"""The runs of a sweep as one Parquet table: a row for each run, with lists for its rounds and its tested tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.sweep.records import SweepRun

INSTALL = "Run `pip install 'speculatoviz[lab]'`."

# Column, Arrow type, value. Times are milliseconds, rates tokens per second, entropies nats.
_COLUMNS: tuple[tuple[str, str, Callable[[SweepRun], Any]], ...] = (
    ("category", "string", lambda run: run.category),
    ("prompt", "int32", lambda run: run.prompt),
    ("temperature", "float64", lambda run: run.temperature),
    ("cell", "string", lambda run: run.cell.label),
    ("drafter", "string", lambda run: run.cell.drafter),
    ("weights", "string", lambda run: run.cell.weights),
    ("policy", "string", lambda run: run.cell.policy),
    ("k", "int32", lambda run: run.cell.k),
    ("nodes", "int32", lambda run: run.cell.nodes),
    ("plain", "bool", lambda run: run.cell.plain),
    ("prompt_tokens", "int32", lambda run: run.prompt_tokens),
    ("tokens", "int32", lambda run: run.tokens),
    ("rounds", "int32", lambda run: len(run.emitted)),
    ("finish_reason", "string", lambda run: run.finish_reason),
    ("exactness", "string", lambda run: run.exactness),
    ("tps", "float64", lambda run: run.tps),
    ("plain_tps", "float64", lambda run: run.plain_tps),
    ("speedup", "float64", lambda run: run.speedup),
    ("ttft_ms", "float64", lambda run: run.ttft_ms),
    ("draft_prefill_ms", "float64", lambda run: run.draft_prefill_ms),
    ("draft_ms", "float64", lambda run: run.draft_ms),
    ("verify_ms", "float64", lambda run: run.verify_ms),
    ("network_ms", "float64", lambda run: run.network_ms),
    ("other_ms", "float64", lambda run: run.other_ms),
    ("foreign_share", "float64", lambda run: run.foreign_share),
    ("departure", "int32", lambda run: run.departure),
    ("emitted", "list<int32>", lambda run: run.emitted),
    ("drafted", "list<int32>", lambda run: run.drafted),
    ("accepted", "list<int32>", lambda run: run.accepted),
    ("round_ms", "list<float64>", lambda run: run.round_ms),
    ("gaps_ms", "list<float64>", lambda run: run.gaps_ms),
    ("tested_position", "list<int32>", lambda run: run.tested_position),
    ("tested_accepted", "list<bool>", lambda run: run.tested_accepted),
    ("tested_context_tokens", "list<int32>", lambda run: run.tested_context_tokens),
    ("tested_entropy", "list<float64>", lambda run: run.tested_entropy),
    ("tested_token_class", "list<string>", lambda run: run.tested_token_class),
    ("warning", "string", lambda run: run.warning),
    ("error", "string", lambda run: run.error),
    ("trace", "string", lambda run: run.trace),
)


def require_pyarrow() -> None:
    """Raises BadRequestError if no table can be written."""
    if find_spec("pyarrow") is None:
        raise BadRequestError("Parquet tables are written with pyarrow, which is not installed.", INSTALL)


def write(runs: Sequence[SweepRun], file: Path) -> None:
    """Write the table, in place of an earlier one. Raises BadRequestError if that is not possible."""
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    def kind(name: str) -> Any:
        inner = name.removeprefix("list<").removesuffix(">")
        simple = {"string": pa.string(), "int32": pa.int32(), "float64": pa.float64(), "bool": pa.bool_()}[inner]
        return simple if inner == name else pa.list_(simple)

    arrays = {name: pa.array([value(run) for run in runs], kind(type_)) for name, type_, value in _COLUMNS}
    part = file.with_suffix(".part")
    try:
        pq.write_table(pa.table(arrays), part)
        part.replace(file)
    except OSError as error:
        raise BadRequestError(
            f"{file} cannot be written ({error.strerror or error}).", "Make room there; the runs themselves are kept."
        ) from error
