"""The target's own rows are those of its file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.heads.rows import GgufRows

V, D = 6, 64
Q8 = gguf.GGMLQuantizationType.Q8_0


def matrix(seed: int, columns: int = D) -> Floats:
    return np.random.default_rng(seed).standard_normal((V, columns)).astype(np.float32)


def written(path: Path, *tensors: tuple[str, Floats, gguf.GGMLQuantizationType | None]) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list([f"t{i}" for i in range(V)])
    for name, data, kind in tensors:
        writer.add_tensor(name, data if kind is None else gguf.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_rows_are_those_of_the_file_dequantised(tmp_path: Path) -> None:
    embedding, output = matrix(1), matrix(2)
    path = written(
        tmp_path / "m.gguf",
        ("other.weight", matrix(3), None),
        ("token_embd.weight", embedding, Q8),
        ("output.weight", output, None),
    )
    rows = GgufRows(path, V)

    assert rows.hidden_size == D
    np.testing.assert_array_equal(rows.output([4, 0]), output[[4, 0]])
    np.testing.assert_array_equal(
        rows.embed(np.array([5, 5, 1], np.int32)), gguf.dequantize(gguf.quantize(embedding, Q8), Q8)[[5, 5, 1]]
    )
    assert rows.embed([2]).dtype == np.float32


def test_a_file_without_an_output_matrix_uses_its_embedding(tmp_path: Path) -> None:
    embedding = matrix(1)
    rows = GgufRows(written(tmp_path / "m.gguf", ("token_embd.weight", embedding, None)), V)
    np.testing.assert_array_equal(rows.output([3, 1]), embedding[[3, 1]])


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no model")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(ModelError, match="GGUF file"):
            GgufRows(path, V)
    with pytest.raises(HeadError, match="no token_embd"):
        GgufRows(written(tmp_path / "a.gguf", ("x.weight", matrix(1), None)), V)
    tied = written(tmp_path / "b.gguf", ("token_embd.weight", matrix(1), None))
    with pytest.raises(HeadError, match="does not have 7 rows"):
        GgufRows(tied, V + 1)
    uneven = written(
        tmp_path / "c.gguf", ("token_embd.weight", matrix(1, 32), None), ("output.weight", matrix(2), None)
    )
    with pytest.raises(HeadError, match=r"embeddings of 32 numbers and hidden states of 64"):
        GgufRows(uneven, V)
