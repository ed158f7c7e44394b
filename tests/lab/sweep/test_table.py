"""The Parquet table holds what was measured, in the types that readers expect."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.sweep import table
from support.sweeps import AUTO, SUFFIX, plain, run


def test_the_table_has_a_row_for_each_run(tmp_path: Path) -> None:
    classes = ("number", None) * 4
    auto = run(AUTO, 0.5, temperature=0.7, tested_entropy=(None, 3.0) * 4, tested_token_class=classes)
    runs = [plain(), run(SUFFIX, 1.5, departure=3), auto]
    table.write(runs[:1], tmp_path / "runs.parquet")
    table.write(runs, tmp_path / "runs.parquet")
    read = pq.read_table(tmp_path / "runs.parquet")

    rows = read.to_pylist()
    assert [row["cell"] for row in rows] == ["plain", "suffix, k 4", "auto"]
    assert [row["speedup"] for row in rows] == pytest.approx([None, 1.5, 0.5])
    assert [row["k"] for row in rows] == [0, 4, None]
    assert [row["departure"] for row in rows] == [None, 3, None]
    assert rows[2]["tested_entropy"] == [None, 3.0] * 4
    assert rows[2]["tested_token_class"] == list(classes)
    assert rows[1]["gaps_ms"] == pytest.approx(runs[1].gaps_ms)
    assert str(read.schema.field("tested_accepted").type).startswith("list<")
    assert [file.name for file in tmp_path.iterdir()] == ["runs.parquet"]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "find_spec", lambda _name: None)
    with pytest.raises(BadRequestError, match="pyarrow, which is not installed") as refused:
        table.write([], tmp_path / "runs.parquet")
    assert "speculatoviz[lab]" in refused.value.hint
