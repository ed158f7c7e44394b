"""Skipping layers: whole or not at all, kept, made again when the source changes, and a model that runs."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.files.skip import around_middle, count_layers, skip_layers

LAYERS = 6


def write_tiny(path: Path, blocks: int = LAYERS) -> Path:
    """A file with the parts of a model: numbered layers of two tensors, values that tell which, a vocabulary."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(blocks)
    writer.add_array("llama.attention.head_count_kv", list(range(10, 10 + blocks)))
    writer.add_array("general.languages", ["en"] * LAYERS)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ü"])
    writer.add_float32("llama.rope.freq_base", 100000.0)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    writer.add_tensor("token_embd.weight", np.ones((3, 32), np.float32))
    for block in range(blocks):
        writer.add_tensor(f"blk.{block}.attn_q.weight", np.full((4, 32), block, np.float32))
        quantised = np.full((4, 18), block, np.uint8)  # one block of Q4_0 a row: 32 weights in 18 bytes
        writer.add_tensor(f"blk.{block}.ffn_up.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.gguf")


def left_over(folder: Path) -> set[str]:
    return {path.name for path in (folder / "models").iterdir() if not path.name.endswith(".lock")}


def test_all_but_the_skipped_layers_stays(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    path = skip_layers(source, [0, 2, 5], tmp_path)

    whole, made = gguf.GGUFReader(source), gguf.GGUFReader(path)
    of_whole = {tensor.name: tensor for tensor in whole.tensors}
    assert [tensor.name for tensor in made.tensors] == [
        "token_embd.weight",
        *(f"blk.{new}.{part}.weight" for new in range(3) for part in ("attn_q", "ffn_up")),
    ]
    for tensor in made.tensors:
        old = tensor.name
        for new, number in ((2, 5), (1, 2)):
            old = old.replace(f"blk.{new}.", f"blk.{number}.") if f"blk.{new}." in tensor.name else old
        assert tensor.tensor_type == of_whole[old].tensor_type
        assert tensor.shape.tolist() == of_whole[old].shape.tolist()
        assert np.array_equal(tensor.data, of_whole[old].data), tensor.name

    changed = {"llama.block_count": 3, "llama.attention.head_count_kv": [10, 12, 15]}
    for key, field in whole.fields.items():
        if not key.startswith("GGUF."):
            assert made.fields[key].types == field.types, key
            assert made.fields[key].contents() == changed.get(key, field.contents()), key
    assert set(made.fields) == set(whole.fields)
    assert source.read_bytes() == before
    assert left_over(tmp_path) == {path.name, f"{path.name}.json"}


def test_a_share_keeps_first_and_last_and_names_the_choice(source: Path, tmp_path: Path) -> None:
    path = skip_layers(source, 0.5, tmp_path)
    assert path.name == "tiny.layers3of6.gguf"
    assert count_layers(path) == 3
    assert skip_layers(source, around_middle(LAYERS, 3), tmp_path) == path
    other = skip_layers(source, [0, 2, 5], tmp_path)
    assert other != path
    assert other.name.startswith("tiny.layers3of6-")
    assert skip_layers(source, 1.0, tmp_path) == source


@pytest.mark.parametrize("total", [1, 2, 7, 30])
def test_what_is_skipped_is_one_run_in_the_middle(total: int) -> None:
    for kept in range(1, total + 1):
        layers = around_middle(total, kept)
        assert len(layers) == kept
        skipped = sorted(set(range(total)) - set(layers))
        assert skipped == list(range(skipped[0], skipped[-1] + 1)) if skipped else kept == total
        assert abs(sum(skipped) / max(1, len(skipped)) - (total - 1) / 2) <= 0.5 or not skipped


def test_a_result_is_kept_until_the_source_changes_or_it_is_damaged(source: Path, tmp_path: Path) -> None:
    path = skip_layers(source, 0.5, tmp_path)
    first = path.stat()
    assert skip_layers(source, 0.5, tmp_path).stat() == first

    os.utime(source, ns=(0, source.stat().st_mtime_ns + 10**9))
    second = skip_layers(source, 0.5, tmp_path).stat()
    assert second.st_ino != first.st_ino or second.st_mtime_ns != first.st_mtime_ns

    os.truncate(path, 100)
    assert skip_layers(source, 0.5, tmp_path).stat().st_size == first.st_size


def test_what_a_killed_run_left_is_cleared(source: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.layers3of6.gguf.99999.part").write_bytes(b"half")
    path = skip_layers(source, 0.5, tmp_path)
    assert left_over(tmp_path) == {path.name, f"{path.name}.json"}


@pytest.mark.parametrize("keep", [0, 1.5, -0.1, [], [1, 1], [2, 1], [0, LAYERS], [-1, 2]])
def test_a_choice_that_is_none_is_refused(source: Path, tmp_path: Path, keep: float | list[int]) -> None:
    with pytest.raises(ModelError, match=r"layers to keep"):
        skip_layers(source, keep, tmp_path)


def test_what_has_no_layers_or_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no numbered layers"):
        skip_layers(write_tiny(tmp_path / "flat.gguf", blocks=0), 0.5, tmp_path)
    (tmp_path / "text.gguf").write_bytes(b"<html>")
    with pytest.raises(ModelError, match="GGUF"):
        skip_layers(tmp_path / "text.gguf", 0.5, tmp_path)


def test_a_truncated_source_is_refused_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    os.truncate(source, source.stat().st_size - 100)
    with pytest.raises(ModelError, match="is not whole"):
        skip_layers(source, 0.5, tmp_path)
    assert not (tmp_path / "models").exists()


def test_a_folder_that_cannot_be_written_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"a file, not a folder")
    with pytest.raises(ModelError, match="could not be written"):
        skip_layers(source, 0.5, tmp_path)


@pytest.mark.smol
def test_llama_cpp_runs_what_is_left_of_a_model(smol_path: Path, cache_dir: Path) -> None:
    from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
    from speculatoviz.models.window import Window

    path = skip_layers(smol_path, 28 / 30, cache_dir)  # made once: the next run of this test finds it
    model = LlamaCppModel(path, 64, 2)
    try:
        assert path.stat().st_size < smol_path.stat().st_size
        assert model.description.parameters == 134_515_008 - 2 * 3_540_096  # of a layer
        ids = model.tokenizer.encode("One, two, three, four, one, two, three, four, one, two,", special=False)
        best = int(Window(model, 32).feed(ids, "last")[0].argmax())
        assert [best] == model.tokenizer.encode(" three", special=False)
    finally:
        model.close()
