"""Published heads, folders of safetensors, written as GGUF files for llama.cpp: what their kinds share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
from filelock import FileLock

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError, ModelError, reason_of
from speculatoviz.heads.gguf_head import OTHER_HEAD, Attention, HeadTarget, Ids, Shapes, check_shape, check_vocabulary
from speculatoviz.heads.weights import read_weights
from speculatoviz.models.files.config import Config, read_config
from speculatoviz.models.files.download import models_folder

_AT_8_BITS = frozenset({"fc.weight", "token_embd.weight"})
_VERSION = 2  # of the files that are written here


class Published(NamedTuple):
    """A folder as it is published, and the target that a head is written for."""

    name: str
    config: Config
    weights: Mapping[str, Any]
    target: HeadTarget


class Kind(NamedTuple):
    """A kind of heads. title: in messages. write: writes a head to a writer's file, or raises HeadError."""

    architecture: str
    title: str
    write: Callable[[gguf.GGUFWriter, Published, str], None]


def head_config(folder: Path) -> Config:
    """config.json of a head. Raises HeadError if it cannot be read."""
    try:
        return read_config(folder)
    except ModelError as error:
        raise HeadError(error.message, error.hint) from error


def written_once(kind: Kind, folder: Path, target: HeadTarget, cache_dir: Path | str, quantisation: str) -> Path:
    """The head of a folder as a GGUF file for this target, written once and kept among the cached models.

    quantisation: of the matrices. Raises HeadError if the folder holds no such head, or one that does not fit.
    """
    config = head_config(folder)
    files = sorted(file for file in folder.iterdir() if file.suffix in {".safetensors", ".json"})
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((_VERSION, stats, target, quantisation)).encode()).hexdigest()[:12]
    path = models_folder(cache_dir) / f"{folder.name}.{kind.architecture}-{key}.gguf"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.is_file():
                part = path.with_name(f"{path.name}.{os.getpid()}.part")
                try:
                    _write(kind, Published(folder.name, config, read_weights(folder), target), part, quantisation)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise HeadError(
            f"{path} could not be written: {reason_of(error)}.", "Set SPECULATOVIZ_CACHE_DIR to another folder."
        ) from error
    return path


def write_gguf(kind: Kind, folder: Path, target: HeadTarget, path: Path, quantisation: str) -> None:
    """Write the head of a folder as a GGUF file for this target. Raises as `written_once`, and OSError."""
    _write(kind, Published(folder.name, head_config(folder), read_weights(folder), target), path, quantisation)


def _write(kind: Kind, head: Published, path: Path, quantisation: str) -> None:
    try:
        writer = gguf.GGUFWriter(path, kind.architecture)
        kind.write(writer, head, quantisation)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # of what the files hold
        raise HeadError(f"{head.name} describes no {kind.title}: {reason_of(error)}.", OTHER_HEAD) from error


def refuse(name: str, wrong: Mapping[str, bool]) -> None:
    """Raises HeadError with every key of `wrong` that is true: what llama.cpp's graph does not compute."""
    if found := [what for what, there in wrong.items() if there]:
        raise HeadError(f"{name} has {' and '.join(found)}, which llama.cpp does not compute for a head.", OTHER_HEAD)


def attention_numbers(layer: Config) -> tuple[int, Attention]:
    """D, and the numbers of the attention."""
    hidden, heads = int(layer["hidden_size"]), int(layer["num_attention_heads"])
    kv_heads = int(layer.get("num_key_value_heads") or heads)
    width = int(layer.get("head_dim") or hidden // heads)
    return hidden, Attention(heads, kv_heads, width, int(layer["intermediate_size"]))


def draft_ids(name: str, rows: int, mapping: Mapping[str, Any], count: int, target: HeadTarget) -> Ids | None:
    """The target's id of each draft id, int64[K]; None if the head drafts every id.

    rows: ids of the vocabulary that the head was trained for. count: K. mapping: `d2t` int[K], for each draft id the
    target's id minus the draft id, and `t2d` bool[V], which marks the drafted ids; each where it is there.
    """
    if "d2t" in mapping:
        ids = np.asarray(mapping["d2t"]).astype(np.int64) + np.arange(len(mapping["d2t"]))
    elif "t2d" in mapping:
        ids = np.flatnonzero(np.asarray(mapping["t2d"])).astype(np.int64)
    elif count == rows:
        check_vocabulary(name, rows, np.arange(target.n_vocab, dtype=np.int64), target)
        return None if count == target.n_vocab else np.arange(count, dtype=np.int64)
    else:
        raise HeadError(f"{name} drafts {count} ids and does not state which (no d2t).", OTHER_HEAD)
    check_vocabulary(name, rows, ids, target)
    marked = mapping.get("t2d")
    if len(ids) != count or (marked is not None and not np.array_equal(np.sort(ids), np.flatnonzero(marked))):
        raise HeadError(f"The lists of draft ids of {name} contradict each other.", OTHER_HEAD)
    return ids


def check_published(name: str, tensors: Mapping[str, Floats], expected: Shapes) -> None:
    """Raises HeadError unless all these tensors are there, with these shapes."""
    for key, shape in expected.items():
        check_shape(name, key, tensors[key].shape if key in tensors else None, shape)


def describe_layers(
    writer: gguf.GGUFWriter, head: Published, layer: Config, count: int, hidden: int, own: Attention
) -> None:
    """The fields that every head has. layer: the configuration of its `count` layers."""
    writer.add_name(head.name)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(head.target.n_vocab)
    writer.add_block_count(count)
    writer.add_context_length(int(layer.get("max_position_embeddings") or 4096))
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(own.inner)
    writer.add_head_count(own.heads)
    writer.add_head_count_kv(own.kv_heads)
    writer.add_key_length(own.width)
    writer.add_value_length(own.width)
    writer.add_rope_dimension_count(own.width)
    writer.add_layer_norm_rms_eps(float(layer.get("rms_norm_eps") or 1e-6))
    kind, rope = rope_of(layer)
    writer.add_rope_freq_base(_rope_base(layer, rope))
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def rope_of(layer: Config) -> tuple[str, Config]:
    """The kind of the scaling of positions, and its numbers."""
    rope = layer.get("rope_parameters") or layer.get("rope_scaling") or {}
    return str(rope.get("rope_type") or rope.get("type") or "default"), rope


def _rope_base(layer: Config, rope: Config) -> float:
    return float(rope.get("rope_theta") or layer.get("rope_theta") or 10_000.0)


def rope_factors(layer: Config, width: int) -> Floats | None:
    """What llama.cpp divides the frequencies by, float32[width / 2], for the scaling of Llama 3; None without it."""
    kind, rope = rope_of(layer)
    if kind != "llama3":
        return None
    lengths = 2 * np.pi * _rope_base(layer, rope) ** (np.arange(0, width, 2, dtype=np.float64) / width)
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    context = float(rope["original_max_position_embeddings"])
    smooth = np.clip((context / lengths - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)


def add_tensors(writer: gguf.GGUFWriter, tensors: Mapping[str, Floats], ids: Ids | None, quantisation: str) -> None:
    """All tensors, matrices quantised, and the target's ids of the draft ids.

    The fusion and the embeddings have 8 bits: the fusion is computed once for each token of the target, and its inputs
    have outliers; of the embeddings a pass reads one row for each token.
    """
    for key, tensor in tensors.items():
        _add(writer, key, tensor, quantisation)
    if ids is not None:
        writer.add_tensor("d2t", ids.astype(np.int64))


def _add(writer: gguf.GGUFWriter, key: str, tensor: Floats, quantisation: str) -> None:
    tensor = np.ascontiguousarray(tensor)
    if not np.isfinite(tensor).all():
        raise HeadError(f"{key} holds numbers that are not finite.", OTHER_HEAD)
    kind = stored_type(key, tensor, quantisation)
    if kind is None:
        writer.add_tensor(key, tensor)
    else:
        writer.add_tensor(key, gguf.quantize(tensor, kind), raw_dtype=kind)


def stored_type(key: str, tensor: Floats, quantisation: str) -> gguf.GGMLQuantizationType | None:
    """What a tensor is stored as; None for float32."""
    if tensor.ndim == 1 or quantisation == "F32" or tensor.shape[1] % 32:
        return None
    return gguf.GGMLQuantizationType["Q8_0" if key in _AT_8_BITS else quantisation]


def target_name(folder: Path) -> str | None:
    """The name of the target that a head of vLLM's speculators was trained for; None if it is not stated."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["speculators_config"]["verifier"]["name_or_path"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
