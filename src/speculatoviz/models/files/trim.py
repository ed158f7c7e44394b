"""A GGUF file with only some of its tokens, made once and kept: a draft model whose output matrix is smaller.

In a small model the output matrix over a large vocabulary is up to half of the bytes that a pass reads, and most tokens
of the vocabulary are rare (Zhao et al. 2025, "FR-Spec"). The ids of a byte-level BPE vocabulary are in the order of its
merges, and those of a SentencePiece vocabulary in the order of their scores: the first ones are the frequent ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import gguf
import numpy as np

from speculatoviz.core.types import Ints
from speculatoviz.errors import ModelError, reason_of
from speculatoviz.models.files.derived import derive
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.matrix import EMBEDDING, OUTPUT
from speculatoviz.models.files.rewrite import CANNOT, Kept, Value, rewrite

KEPT_IDS = "speculatoviz.kept_ids"  # field of the result: int32[N], ascending
_MULTIPLE = 64  # the number of rows of a matrix: kernels work on blocks of rows
_TOKENS, _TYPES, _MERGES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"
_NORMAL, _UNUSED = int(gguf.TokenType.NORMAL), int(gguf.TokenType.UNUSED)
_BYTES_BELOW = 0x180  # the characters that stand for the 256 bytes in a byte-level vocabulary

_LEAVE_OUT = "Leave --draft-vocabulary out, or choose another draft model."


def trim(source: Path, count: int, cache_dir: Path | str) -> Path:
    """The path of `source` with about `count` of its tokens, made on first use.

    source: a file, or the first part of a split one; the result is one file. Kept are the tokens that are no text,
    those of single bytes, and the first others, together a multiple of 64. A source with no more tokens is returned as
    it is. Raises ModelError for a file that is not GGUF, or whose tokens are used by other tensors than the embedding
    and the output matrix.
    """
    file = read(source)
    tokens = file.fields.get(_TOKENS)
    if tokens is not None and tokens.count <= count:
        return source
    _require_trimmable(file)
    choices = {"kept_tokens": count}
    return derive(file, f"vocabulary{count}", cache_dir, choices, lambda part: _write(source, part, count))


def kept_ids(path: Path) -> Ints:
    """The ids in the source's vocabulary of the tokens of a trimmed file, int32[N], ascending. Raises ModelError."""
    field = read(path, large_arrays=True).fields.get(KEPT_IDS)
    if field is None or not isinstance(field.value, list):
        raise ModelError(f"{path} has no list of the tokens that it keeps.", "Delete it: it is made again.")
    return np.array(field.value, np.int32)


def _require_trimmable(file: GgufFile) -> None:
    tokens = file.fields.get(_TOKENS)
    n_vocab = 0 if tokens is None else tokens.count
    embedding = file.tensors.get(EMBEDDING)
    if embedding is None or embedding.shape[1:] != (n_vocab,):
        raise ModelError(f"{file.path.name} has no embedding with a row for each of its tokens.", _LEAVE_OUT)
    others = [
        tensor.name
        for tensor in file.tensors.values()
        if tensor.shape[-1] == n_vocab and tensor.name not in (EMBEDDING, OUTPUT)
    ]
    if others or f"{file.architecture}.rope.dimension_sections" in file.fields:
        cause = f"its tensor {others[0]} has a row for each token" if others else "its positions have several parts"
        raise ModelError(f"The vocabulary of {file.path.name} cannot be trimmed: {cause}.", _LEAVE_OUT)


def _chosen(file: GgufFile, count: int) -> Ints:
    """The ids to keep, ascending. file: read with its large arrays."""
    texts = cast("list[str]", file.fields[_TOKENS].value)
    field = file.fields.get(_TYPES)
    types = np.array([_NORMAL] * len(texts) if field is None else field.value)
    must = (types != _NORMAL) & (types != _UNUSED)
    if file.text("tokenizer.ggml.model") == "gpt2":
        must |= np.array([len(text) == 1 and ord(text) < _BYTES_BELOW for text in texts])
    must[[token for token in _special_ids(file) if 0 <= token < len(texts)]] = True
    total = -(-max(count, int(must.sum())) // _MULTIPLE) * _MULTIPLE
    others = np.flatnonzero(~must & (types != _UNUSED))[: total - int(must.sum())]
    return np.sort(np.concatenate([np.flatnonzero(must), others])).astype(np.int32)


def _special_ids(file: GgufFile) -> list[int]:
    """The ids of BOS, EOS and the like."""
    ids = [file.integer(key) for key in file.fields if _is_special(key)]
    return [token for token in ids if token is not None]


def _is_special(key: str) -> bool:
    return key.startswith("tokenizer.ggml.") and key.endswith("_token_id")


def _write(source: Path, part: Path, count: int) -> None:
    file = read(source, large_arrays=True)
    kept = _chosen(file, count)
    texts = cast("list[str]", file.fields[_TOKENS].value)
    kept_texts = {texts[token] for token in kept}
    places = {int(token): place for place, token in enumerate(kept)}

    def changed(key: str, value: Value) -> Value:
        if key == f"{file.architecture}.vocab_size":
            return len(kept)
        if _is_special(key):
            return places.get(cast("int", value))
        if key == _MERGES:
            return [merge for merge in cast("list[str]", value) if _product(merge) in kept_texts]
        if isinstance(value, list) and key.startswith("tokenizer.") and len(value) == len(texts):
            return [value[token] for token in kept]
        return value

    tensors = [
        Kept(tensor.name, tensor, kept if tensor.shape[-1] == len(texts) else None) for tensor in file.tensors.values()
    ]
    try:
        rewrite(file, part, tensors, changed, {KEPT_IDS: kept.tolist()})
    except CANNOT as error:
        raise ModelError(
            f"The vocabulary of {source.name} could not be trimmed: {reason_of(error)}.", _LEAVE_OUT
        ) from error


def _product(merge: str) -> str:
    """The text that a merge makes, as "a b" makes "ab"."""
    left, _, right = merge[1:].partition(" ")
    return merge[:1] + left + right
