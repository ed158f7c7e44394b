"""What the GGUF files of published heads share: their fields, their draft vocabulary, and checks against a target.

The fields of a head are named after its architecture, as in `eagle3.target_layers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from speculatoviz.core.types import Ints
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.models.files.gguf import GgufFile, read

Ids = npt.NDArray[np.int64]
Shapes = Mapping[str, tuple[int, ...]]  # of tensors by their names in GGUF: [rows, columns], as in PyTorch

OTHER_TARGET = "Choose a head that was trained for this target."
OTHER_HEAD = "Choose another head."
_PADDING = 512  # ids: vocabularies of one family are padded to different numbers of rows


@dataclass(frozen=True, slots=True, eq=False)
class FittingHead:
    """A head that fits its target.

    path: the GGUF file. layers: the inner layers of the target that it reads. vocabulary int32[K], ascending: the ids
    that it can draft. shares: it uses the target's embedding or output matrix, because it has none of its own.
    """

    path: Path
    layers: tuple[int, ...]
    vocabulary: Ints
    shares: bool


@dataclass(frozen=True, slots=True)
class HeadTarget:
    """What a head has to fit. layers, hidden_size, n_vocab: of the target. name: for messages."""

    name: str
    layers: int
    hidden_size: int
    n_vocab: int


def open_head(path: Path) -> GgufFile:
    """The header of a head's file. Raises HeadError if it cannot be read."""
    try:
        return read(path, large_arrays=True)
    except ModelError as error:
        raise HeadError(error.message, error.hint) from error


def open_kind(path: Path, architecture: str, title: str) -> GgufFile:
    """The header of a file of one kind of heads. title: in messages. Raises HeadError for any other file."""
    file = open_head(path)
    if file.architecture != architecture:
        raise HeadError(f"{path.name} is no {title}, but {file.architecture}.", "Choose a head for llama.cpp.")
    return file


def integer(file: GgufFile, key: str) -> int:
    """A positive field. Raises HeadError without one."""
    value = file.integer(f"{file.architecture}.{key}")
    if value is None or not 0 < value < 1 << 24:
        raise HeadError(f"{file.path.name} has no number {file.architecture}.{key}.", OTHER_HEAD)
    return value


def target_layers(file: GgufFile) -> tuple[int, ...]:
    """The inner layers of the target that the head reads, by their inputs. Raises HeadError if it does not state them.

    They are not checked against a target: see `check_layers`.
    """
    field = file.fields.get(f"{file.architecture}.target_layers")
    if field is None or not isinstance(field.value, list) or not all(type(value) is int for value in field.value):
        key = f"{file.architecture}.target_layers"
        raise HeadError(f"{file.path.name} does not state the layers it reads ({key}).", OTHER_HEAD)
    return tuple(int(value) for value in field.value)


def check_layers(name: str, layers: tuple[int, ...], target: HeadTarget) -> None:
    """Raises HeadError unless the target has all these inner layers."""
    if not layers or not all(0 < layer < target.layers for layer in layers):
        raise HeadError(
            f"{name} reads the layers {', '.join(map(str, layers)) or 'of an empty list'}, and {target.name} has "
            f"{target.layers}.",
            OTHER_TARGET,
        )


def check_width(name: str, hidden_size: int, target: HeadTarget) -> None:
    """Raises HeadError unless the head was made for states of the target's length."""
    if hidden_size != target.hidden_size:
        raise HeadError(
            f"{name} was trained for a target whose states have {hidden_size} numbers; those of {target.name} have "
            f"{target.hidden_size}.",
            OTHER_TARGET,
        )


def check_mask(name: str, mask: int | None, target: HeadTarget) -> int:
    """The id at the places that are predicted. Raises HeadError if it is not stated, or the target has no such id."""
    if mask is None:
        raise HeadError(f"{name} does not state its mask token.", OTHER_HEAD)
    if not 0 <= mask < target.n_vocab:
        raise HeadError(
            f"The mask token of {name} is {mask}, and the vocabulary of {target.name} has {target.n_vocab} ids.",
            OTHER_TARGET,
        )
    return mask


def mask_token(file: GgufFile, target: HeadTarget) -> int:
    """The mask token that a file states. Raises HeadError without one, or if the target does not have it."""
    return check_mask(file.path.name, file.integer("tokenizer.ggml.mask_token_id"), target)


def check_vocabulary(name: str, rows: int, ids: Ids, target: HeadTarget) -> None:
    """Raises HeadError unless `ids` are different ids of the target. rows: ids of the vocabulary it was trained for."""
    if abs(rows - target.n_vocab) > _PADDING:
        raise HeadError(
            f"{name} was trained for a vocabulary of {rows} ids; that of {target.name} has {target.n_vocab}.",
            OTHER_TARGET,
        )
    if not len(ids) or ids.min() < 0 or ids.max() >= target.n_vocab or len(np.unique(ids)) != len(ids):
        raise HeadError(f"The draft vocabulary of {name} is no list of different ids of {target.name}.", OTHER_TARGET)


def draft_vocabulary(file: GgufFile, target: HeadTarget) -> Ints:
    """The ids that the head can draft, int32[K], ascending. Raises HeadError if they do not fit the target."""
    tokens, stated = file.fields.get("tokenizer.ggml.tokens"), file.integer(f"{file.architecture}.vocab_size")
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
    # Scores by the target's own matrix have one column for each of its ids: the library ends the process for others.
    if rows < target.n_vocab or (rows > target.n_vocab and "output.weight" not in file.tensors):
        raise HeadError(
            f"{file.path.name} knows {rows} ids, and {target.name} has {target.n_vocab}.",
            "Convert the head again with the tokenizer of this target.",
        )
    return np.sort(ids).astype(np.int32)


def check_tensors(file: GgufFile, expected: Shapes) -> None:
    """Raises HeadError unless all these tensors are there: llama.cpp ends the process for some that do not fit."""
    for name, shape in expected.items():
        tensor = file.tensors.get(name)
        check_shape(file.path.name, name, None if tensor is None else tensor.shape[::-1], shape)


def check_shape(head: str, name: str, found: tuple[int, ...] | None, shape: tuple[int, ...]) -> None:
    """Raises HeadError unless a tensor has a shape. found: None if it is missing."""
    if found != shape:
        has = "missing" if found is None else f"of shape {list(found)}"
        raise HeadError(f"{name} of {head} is {has}, not of shape {list(shape)}.", OTHER_HEAD)


def checked_vocabulary(file: GgufFile, expected: Shapes, hidden: int, target: HeadTarget) -> Ints:
    """`draft_vocabulary`, of a file with these tensors; an output matrix has to fit it. hidden: D of the head.

    Raises HeadError if a tensor is missing or has another shape, or the vocabulary does not fit the target.
    """
    vocabulary = draft_vocabulary(file, target)
    if "output.weight" in file.tensors or "d2t" in file.tensors:
        expected = {**expected, "output.weight": (len(vocabulary), hidden)}
    check_tensors(file, expected)
    check_embeddings(file, hidden, target)
    return vocabulary


def check_embeddings(file: GgufFile, hidden: int, target: HeadTarget) -> None:
    """Raises HeadError for embeddings of its own that do not cover the target's ids. hidden: D of the head."""
    embedding = file.tensors.get("token_embd.weight")
    if embedding is not None and (embedding.shape[0] != hidden or embedding.shape[1] < target.n_vocab):
        raise HeadError(
            f"The embeddings of {file.path.name} do not cover the {target.n_vocab} ids of {target.name}.", OTHER_TARGET
        )


def shares_matrices(file: GgufFile) -> bool:
    """Whether the head uses the target's embedding or output matrix, because it has none of its own."""
    return not {"token_embd.weight", "output.weight"} <= file.tensors.keys()


@dataclass(frozen=True, slots=True)
class Attention:
    """Numbers of the attention: heads, those of keys and values, and the width of each. inner: of the feed-forward."""

    heads: int
    kv_heads: int
    width: int
    inner: int


def attention(file: GgufFile, hidden: int, layers: int, most: int) -> Attention:
    """The numbers of `layers` layers. Raises HeadError for what llama.cpp does not compute. most: of layers."""
    heads, inner = integer(file, "attention.head_count"), integer(file, "feed_forward_length")
    kv_heads = file.integer(f"{file.architecture}.attention.head_count_kv") or heads
    width = file.integer(f"{file.architecture}.attention.key_length") or hidden // heads
    values = file.integer(f"{file.architecture}.attention.value_length") or width
    rotated = file.integer(f"{file.architecture}.rope.dimension_count") or width
    if layers > most or values != width or rotated > width or width % 2 or heads % kv_heads:
        raise HeadError(
            f"{file.path.name} describes {layers} layers with {heads} heads of {width} and {values} numbers, "
            f"{kv_heads} of them for keys, which llama.cpp does not compute for a head.",
            OTHER_HEAD,
        )
    return Attention(heads, kv_heads, width, inner)
