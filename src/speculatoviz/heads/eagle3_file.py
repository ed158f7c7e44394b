"""EAGLE-3 heads as llama.cpp reads them: GGUF files of its architecture `eagle3`, checked against a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from speculatoviz.core.types import Ints
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.models.files.gguf import GgufFile, read

Ids = npt.NDArray[np.int64]

ARCHITECTURE = "eagle3"
TYPICAL_LAYERS = 3
_OTHER = "Choose a head that was trained for this target."
_PADDING = 512  # ids: vocabularies of one family are padded to different numbers of rows


@dataclass(frozen=True, slots=True)
class HeadTarget:
    """What a head has to fit. layers, hidden_size, n_vocab: of the target. name: for messages."""

    name: str
    layers: int
    hidden_size: int
    n_vocab: int


@dataclass(frozen=True, slots=True, eq=False)
class Eagle3File:
    """A head that fits its target.

    path: the GGUF file. layers: the inner layers of the target that it reads. vocabulary int32[K], ascending: the ids
    that it can draft. shares: it uses the target's embedding or output matrix, because it has none of its own.
    """

    path: Path
    layers: tuple[int, ...]
    vocabulary: Ints
    shares: bool


def typical_layers(count: int) -> tuple[int, int, int]:
    """The inner layers that heads read by default, of a target with `count` layers (as in the EAGLE repository)."""
    return 2, count // 2, count - 3


def shapes(hidden: int, heads: int, kv_heads: int, width: int, inner: int, features: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that every head has, by their names in GGUF: [rows, columns], as in PyTorch.

    hidden: D. heads, kv_heads: of attention, each of `width`. inner: of the feed-forward. features: 3 D of the target.
    """
    return {
        "fc.weight": (hidden, features),
        "output_norm.weight": (hidden,),
        "blk.0.attn_norm.weight": (hidden,),
        "blk.0.attn_norm_2.weight": (hidden,),
        "blk.0.attn_q.weight": (heads * width, 2 * hidden),
        "blk.0.attn_k.weight": (kv_heads * width, 2 * hidden),
        "blk.0.attn_v.weight": (kv_heads * width, 2 * hidden),
        "blk.0.attn_output.weight": (hidden, heads * width),
        "blk.0.ffn_norm.weight": (hidden,),
        "blk.0.ffn_gate.weight": (inner, hidden),
        "blk.0.ffn_up.weight": (inner, hidden),
        "blk.0.ffn_down.weight": (hidden, inner),
    }


def read_gguf(path: Path, target: HeadTarget) -> Eagle3File:
    """A head in a GGUF file. Raises HeadError if it is none, is incomplete, or does not fit the target."""
    try:
        file = read(path, large_arrays=True)
    except ModelError as error:
        raise HeadError(error.message, error.hint) from error
    if file.architecture != ARCHITECTURE:
        raise HeadError(f"{path.name} is no EAGLE-3 head, but {file.architecture}.", "Choose a head for llama.cpp.")
    layers = _integers(file, f"{ARCHITECTURE}.target_layers")
    hidden = _integer(file, "embedding_length")
    check_layers(path.name, layers, target)
    check_width(path.name, _integer(file, "target_hidden_size"), target)
    vocabulary = _vocabulary(file, target)
    _check_tensors(file, hidden, len(vocabulary), target)
    shares = not {"token_embd.weight", "output.weight"} <= file.tensors.keys()
    if shares and hidden != target.hidden_size:
        raise HeadError(
            f"{path.name} has no embeddings of its own, and its states of {hidden} numbers do not fit those of "
            f"{target.name}, which have {target.hidden_size}.",
            _OTHER,
        )
    return Eagle3File(path, layers, vocabulary, shares)


def check_layers(name: str, layers: tuple[int, ...], target: HeadTarget) -> None:
    """Raises HeadError unless the target has all these inner layers."""
    if len(layers) != TYPICAL_LAYERS:
        raise HeadError(
            f"{name} reads {len(layers)} layers of its target, not {TYPICAL_LAYERS}.", "Choose another head."
        )
    if not all(0 < layer < target.layers for layer in layers):
        raise HeadError(
            f"{name} reads the layers {', '.join(map(str, layers))}, and {target.name} has {target.layers}.", _OTHER
        )


def check_width(name: str, hidden_size: int, target: HeadTarget) -> None:
    """Raises HeadError unless the head was made for states of the target's length."""
    if hidden_size != target.hidden_size:
        raise HeadError(
            f"{name} was trained for a target whose states have {hidden_size} numbers; those of {target.name} have "
            f"{target.hidden_size}.",
            _OTHER,
        )


def check_vocabulary(name: str, rows: int, ids: Ids, target: HeadTarget) -> None:
    """Raises HeadError unless `ids` are different ids of the target. rows: ids of the vocabulary it was trained for."""
    if abs(rows - target.n_vocab) > _PADDING:
        raise HeadError(
            f"{name} was trained for a vocabulary of {rows} ids; that of {target.name} has {target.n_vocab}.", _OTHER
        )
    if not len(ids) or ids.min() < 0 or ids.max() >= target.n_vocab or len(np.unique(ids)) != len(ids):
        raise HeadError(f"The draft vocabulary of {name} is no list of different ids of {target.name}.", _OTHER)


def _vocabulary(file: GgufFile, target: HeadTarget) -> Ints:
    tokens, stated = file.fields.get("tokenizer.ggml.tokens"), file.integer(f"{ARCHITECTURE}.vocab_size")
    rows = tokens.count if tokens is not None else stated or 0
    tensor = file.tensors.get("d2t")
    if tensor is None:
        ids = np.arange(min(rows, target.n_vocab), dtype=np.int64)
    elif tensor.type != GGMLQuantizationType.I64:
        raise HeadError(f"The draft ids (d2t) of {file.path.name} are no 64-bit integers.", "Convert the head again.")
    else:
        with tensor.path.open("rb") as data:
            data.seek(tensor.offset)
            ids = np.frombuffer(data.read(8 * tensor.shape[0]), np.int64)
    check_vocabulary(file.path.name, rows, ids, target)
    if rows < target.n_vocab:
        raise HeadError(
            f"{file.path.name} knows {rows} ids, and {target.name} has {target.n_vocab}.",
            "Convert the head again with the tokenizer of this target.",
        )
    return np.sort(ids).astype(np.int32)


def _check_tensors(file: GgufFile, hidden: int, rows: int, target: HeadTarget) -> None:
    """llama.cpp ends the process for some tensors that do not fit together."""
    heads, inner = _integer(file, "attention.head_count"), _integer(file, "feed_forward_length")
    kv_heads = file.integer(f"{ARCHITECTURE}.attention.head_count_kv") or heads
    width = file.integer(f"{ARCHITECTURE}.attention.key_length") or hidden // heads
    values = file.integer(f"{ARCHITECTURE}.attention.value_length") or width
    rotated = file.integer(f"{ARCHITECTURE}.rope.dimension_count") or width
    layers = _integer(file, "block_count")
    if layers != 1 or values != width or rotated > width or width % 2 or heads % kv_heads:
        raise HeadError(
            f"{file.path.name} describes {layers} layers with {heads} heads of {width} and {values} numbers, "
            f"{kv_heads} of them for keys, which llama.cpp does not compute for a head.",
            "Choose another head.",
        )
    expected = shapes(hidden, heads, kv_heads, width, inner, TYPICAL_LAYERS * target.hidden_size)
    if "output.weight" in file.tensors or "d2t" in file.tensors:
        expected["output.weight"] = (rows, hidden)
    for name, shape in expected.items():
        tensor = file.tensors.get(name)
        found = None if tensor is None else tensor.shape[::-1]
        if found != shape:
            has = "missing" if found is None else f"of shape {list(found)}"
            raise HeadError(f"{name} of {file.path.name} is {has}, not of shape {list(shape)}.", "Choose another head.")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is not None and (embedding.shape[0] != hidden or embedding.shape[1] < target.n_vocab):
        raise HeadError(
            f"The embeddings of {file.path.name} do not cover the {target.n_vocab} ids of {target.name}.", _OTHER
        )


def _integer(file: GgufFile, key: str) -> int:
    value = file.integer(f"{ARCHITECTURE}.{key}")
    if value is None or not 0 < value < 1 << 24:
        raise HeadError(f"{file.path.name} has no number {ARCHITECTURE}.{key}.", "Choose another head.")
    return value


def _integers(file: GgufFile, key: str) -> tuple[int, ...]:
    field = file.fields.get(key)
    if field is None or not isinstance(field.value, list) or not all(type(value) is int for value in field.value):
        raise HeadError(f"{file.path.name} does not state the layers it reads ({key}).", "Choose another head.")
    return tuple(int(value) for value in field.value)
