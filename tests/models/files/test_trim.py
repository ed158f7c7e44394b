"""A file with some of its tokens: what is kept, and a model whose logits of kept tokens are those of the whole file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from speculatoviz.errors import ModelError
from speculatoviz.models.base import Feed, LanguageModel
from speculatoviz.models.files.download import silent
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import Runtime
from speculatoviz.models.files.trim import KEPT_IDS, kept_ids, trim
from speculatoviz.models.gguf_trial import _check_embeddings
from speculatoviz.models.load import Loading, load_model
from speculatoviz.models.prefix_files import StorableModel
from speculatoviz.models.row_times import ROWS, row_times
from support.runtimes import of_gguf, open_gguf
from support.wide_vocabulary import CONTROL, END, N_VOCAB, NORMAL, write_wide

COUNT = 320  # of the tokens to keep
ROUNDING = 1e-4  # kernels sum a row in another order where the matrix has other rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_wide(tmp_path / "words.gguf", quantised=True)


def test_bytes_control_tokens_and_the_first_others_are_kept(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    path = trim(source, COUNT, tmp_path)

    assert path.name == f"words.vocabulary{COUNT}.gguf"
    kept = kept_ids(path)
    assert kept.tolist() == [*range(COUNT - 1), END]
    whole, made = read(source, large_arrays=True), read(path, large_arrays=True)
    texts = whole.fields["tokenizer.ggml.tokens"].value
    assert isinstance(texts, list)
    assert made.fields["tokenizer.ggml.tokens"].value == [texts[token] for token in kept]
    assert made.fields["tokenizer.ggml.token_type"].value == [int(NORMAL)] * (COUNT - 1) + [int(CONTROL)]
    assert made.fields["tokenizer.ggml.merges"].count == COUNT - 1 - 256, "those of words that are kept"
    assert made.integer("tokenizer.ggml.eos_token_id") == COUNT - 1
    assert made.integer("llama.vocab_size") == COUNT
    changed = {f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges", "eos_token_id")}
    for key in whole.fields.keys() - changed - {"llama.vocab_size"}:
        assert made.fields[key] == whole.fields[key], key
    assert made.fields.keys() - whole.fields.keys() == {KEPT_IDS}
    assert source.read_bytes() == before


def test_rows_are_those_of_the_kept_tokens(source: Path, tmp_path: Path) -> None:
    path = trim(source, COUNT, tmp_path)
    whole = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    made = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert made.keys() == whole.keys()
    for name, tensor in made.items():
        cut = name in {"token_embd.weight", "output.weight"}
        assert np.array_equal(tensor.data, whole[name].data[kept_ids(path)] if cut else whole[name].data), name
        assert tensor.tensor_type == whole[name].tensor_type


def test_the_number_of_rows_is_a_multiple_that_kernels_take(source: Path, tmp_path: Path) -> None:
    assert len(kept_ids(trim(source, COUNT + 1, tmp_path))) == COUNT + 64
    assert len(kept_ids(trim(source, 1, tmp_path))) == COUNT, "the bytes and the end token need as many"


def test_a_file_with_no_more_tokens_is_returned_as_it_is(source: Path, tmp_path: Path) -> None:
    assert trim(source, N_VOCAB, tmp_path) == source
    assert not (tmp_path / "models").exists()


def test_what_cannot_be_trimmed_is_refused(tmp_path: Path) -> None:
    bias = {"output.bias": np.zeros(N_VOCAB, np.float32)}
    with pytest.raises(ModelError, match=r"its tensor output\.bias has a row for each token"):
        trim(write_wide(tmp_path / "bias.gguf", tensors=bias), COUNT, tmp_path)
    sections = {"{arch}.rope.dimension_sections": [4, 4, 4, 4]}
    with pytest.raises(ModelError, match="its positions have several parts"):
        trim(write_wide(tmp_path / "parts.gguf", fields=sections), COUNT, tmp_path)
    with pytest.raises(ModelError, match="no embedding with a row for each"):
        trim(write_wide(tmp_path / "no.gguf", tensors={"token_embd.weight": None}), COUNT, tmp_path)
    with pytest.raises(ModelError, match="no list of the tokens"):
        kept_ids(write_wide(tmp_path / "whole.gguf"))


def rows_of(model: LanguageModel, *passes: list[int]) -> np.ndarray:
    """The logits after every token of these passes, one after the other."""
    context = model.open(64)
    try:
        return np.concatenate([model.forward([Feed(context, ids)])[0].logits.copy() for ids in passes])
    finally:
        context.close()


PASSES = ([800], [97], [98, 99, 300], [500, 101, 897], [102], [700], [260, 261])  # 320 to 895 are fed as embeddings


@of_gguf
def test_logits_of_kept_tokens_are_those_of_the_whole_file(runtime: str, source: Path, tmp_path: Path) -> None:
    """Whichever tokens come before; through the loader, with the tokenizer of the whole file."""
    how = Loading(128, tmp_path / "cache", threads=1)
    whole = load_model(f"{runtime}:{source}", how, None, silent)
    trimmed = load_model(f"{runtime}:{source}", how, None, silent, COUNT)
    try:
        expected, got = rows_of(whole, *PASSES), rows_of(trimmed, *PASSES)
        kept = [*range(COUNT - 1), END]
        np.testing.assert_allclose(got[:, kept], expected[:, kept], atol=ROUNDING)
        assert np.isneginf(np.delete(got, kept, axis=1)).all()

        assert trimmed.tokenizer.n_vocab == whole.tokenizer.n_vocab
        assert trimmed.tokenizer.fingerprint == whole.tokenizer.fingerprint
        assert trimmed.tokenizer.eos_ids == whole.tokenizer.eos_ids
        assert trimmed.tokenizer.encode("zab", special=False) == whole.tokenizer.encode("zab", special=False)
        assert trimmed.description.name.endswith(f"{COUNT} tokens")
        assert isinstance(trimmed, StorableModel)
        assert isinstance(whole, StorableModel)
        assert trimmed.snapshot_key() != whole.snapshot_key()
    finally:
        whole.close()
        trimmed.close()


@of_gguf
def test_the_quantised_file_is_trimmed(runtime: str, source: Path, tmp_path: Path) -> None:
    how = Loading(128, tmp_path / "cache", threads=1)
    whole = load_model(f"{runtime}:{source}", how, "Q4_0", silent)
    trimmed = load_model(f"{runtime}:{source}", how, "Q4_0", silent, COUNT)
    try:
        expected, got = rows_of(whole, *PASSES), rows_of(trimmed, *PASSES)
        np.testing.assert_allclose(got[:, : COUNT - 1], expected[:, : COUNT - 1], atol=ROUNDING)
    finally:
        whole.close()
        trimmed.close()


@of_gguf
def test_a_runtime_that_reads_embeddings_in_another_way_is_found(
    runtime: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with architectures that scale the embeddings of ids alone."""
    model = open_gguf(runtime, trim(source, COUNT, tmp_path), 64, source=source)
    assert model.trimmed is not None
    context = model.open(32)
    try:
        _check_embeddings(model, model.trimmed, context)
        honest = model.trimmed.embeddings
        monkeypatch.setattr(model.trimmed, "embeddings", lambda tokens: honest(tokens) * 0.02)
        with pytest.raises(ModelError, match="in another way than its tokens"):
            _check_embeddings(model, model.trimmed, context)
    finally:
        context.close()
        model.close()


@of_gguf
def test_passes_of_a_trimmed_file_are_timed(runtime: Runtime, source: Path, tmp_path: Path) -> None:
    trimmed = read(trim(source, COUNT, tmp_path))
    assert set(row_times(trimmed, runtime, 1, tmp_path, source).pass_ms) == set(ROWS)


def test_only_gguf_files_are_trimmed(tmp_path: Path) -> None:
    for name in ("toy:0", "hf:some/model"):
        with pytest.raises(ModelError, match=r"cannot be trimmed|not installed"):
            load_model(name, Loading(64, tmp_path), None, silent, COUNT)
