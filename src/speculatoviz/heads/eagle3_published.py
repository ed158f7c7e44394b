"""Published heads of the type EAGLE-3, as folders of safetensors, written as a GGUF file for llama.cpp.

Three layouts, which differ in names and in where the configuration is:

- the EAGLE repository: `midlayer.*`, a flat config.json, which does not state the layers that are read;
- SpecForge: the same, with the layers in `eagle_config`, counted by their outputs (layer 1's output is the input of
  layer 2);
- vLLM's speculators: `layers.0.*`, the layer's configuration in `transformer_layer_config`, the layers counted by their
  inputs, the target's name in `speculators_config`.

`d2t` int[K] holds, for each draft id, the target's id minus the draft id; `t2d` bool[V] marks the drafted ids.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from filelock import FileLock

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError, ModelError
from speculatoviz.heads.eagle3_file import (
    ARCHITECTURE,
    HeadTarget,
    Ids,
    check_layers,
    check_vocabulary,
    check_width,
    shapes,
    typical_layers,
)
from speculatoviz.heads.weights import read_weights
from speculatoviz.models.files.config import Config, read_config
from speculatoviz.models.files.download import models_folder

_OTHER = "Choose another head."
_NAMES = {
    "fc.weight": "fc.weight",
    "norm.weight": "output_norm.weight",
    "layers.0.input_layernorm.weight": "blk.0.attn_norm.weight",
    "layers.0.hidden_norm.weight": "blk.0.attn_norm_2.weight",
    "layers.0.self_attn.q_proj.weight": "blk.0.attn_q.weight",
    "layers.0.self_attn.k_proj.weight": "blk.0.attn_k.weight",
    "layers.0.self_attn.v_proj.weight": "blk.0.attn_v.weight",
    "layers.0.self_attn.o_proj.weight": "blk.0.attn_output.weight",
    "layers.0.post_attention_layernorm.weight": "blk.0.ffn_norm.weight",
    "layers.0.mlp.gate_proj.weight": "blk.0.ffn_gate.weight",
    "layers.0.mlp.up_proj.weight": "blk.0.ffn_up.weight",
    "layers.0.mlp.down_proj.weight": "blk.0.ffn_down.weight",
    "lm_head.weight": "output.weight",
    "embed_tokens.weight": "token_embd.weight",
}
_UNUSED = ("verifier_", "layers.0.self_attn.rotary_emb.")  # copies of the target's, which only training reads
# The fusion is computed once for each token of the target, and its inputs have outliers. Of the embeddings a pass reads
# one row for each token.
_AT_8_BITS = frozenset({"fc.weight", "token_embd.weight"})
_VERSION = 1  # of the files that are written here
QUANTISATION = "Q4_0"


def converted(folder: Path, target: HeadTarget, cache_dir: Path | str, quantisation: str = QUANTISATION) -> Path:
    """The head of a folder as a GGUF file for this target, written once and kept among the cached models.

    quantisation: of the matrices. Raises HeadError if the folder holds no head, or one that does not fit the target.
    """
    try:
        config = read_config(folder)
    except ModelError as error:
        raise HeadError(error.message, error.hint) from error
    files = sorted(file for file in folder.iterdir() if file.suffix in {".safetensors", ".json"})
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((_VERSION, stats, target, quantisation)).encode()).hexdigest()[:12]
    path = models_folder(cache_dir) / f"{folder.name}.{ARCHITECTURE}-{key}.gguf"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.is_file():
                part = path.with_name(f"{path.name}.{os.getpid()}.part")
                try:
                    _write(part, folder.name, config, read_weights(folder), target, quantisation)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # of what the files hold
        raise HeadError(f"{folder.name} describes no EAGLE-3 head: {error!r}.", _OTHER) from error
    except OSError as error:
        raise HeadError(
            f"{path} could not be written: {error}.", "Set SPECULATOVIZ_CACHE_DIR to another folder."
        ) from error
    return path


def _write(
    part: Path, name: str, config: Config, weights: Mapping[str, Any], target: HeadTarget, quantisation: str
) -> None:
    layer = {**config, **(config.get("transformer_layer_config") or {})}
    _require_known(name, layer)
    tensors, mapping = _renamed(name, weights)
    numbers = _numbers(layer)
    hidden, heads, kv_heads, width, _ = numbers
    check_width(name, int(layer.get("target_hidden_size") or hidden), target)
    layers = _layers(name, config, target)
    ids = _ids(name, layer, mapping, tensors, target)
    expected = shapes(*numbers, len(layers) * target.hidden_size)
    for key, shape in expected.items():
        found = tensors[key].shape if key in tensors else None
        if found != shape:
            has = "missing" if found is None else f"of shape {list(found)}"
            raise HeadError(f"{key} of {name} is {has}, not of shape {list(shape)}.", _OTHER)
    writer = gguf.GGUFWriter(part, ARCHITECTURE)
    _describe(writer, name, layer, layers, numbers, target)
    for key, heads_of in (("blk.0.attn_q.weight", heads), ("blk.0.attn_k.weight", kv_heads)):
        tensors[key] = _interleaved(tensors[key], heads_of)
    for key, tensor in tensors.items():
        _add(writer, key, tensor, quantisation)
    if (factors := _rope_factors(layer, width)) is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    if ids is not None:
        writer.add_tensor("d2t", ids.astype(np.int64))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _require_known(name: str, layer: Config) -> None:
    """Raises HeadError for a layer that llama.cpp's graph does not compute."""
    wrong = {
        "more than one layer": layer.get("num_hidden_layers", 1) != 1,
        "biases": bool(layer.get("attention_bias") or layer.get("mlp_bias") or layer.get("bias")),
        f"the activation {layer.get('hidden_act')}": layer.get("hidden_act", "silu") != "silu",
        "a norm before its fusion": bool(layer.get("norm_before_fc")),
        "no inner layers as inputs": (layer.get("eagle_config") or {}).get("use_aux_hidden_state") is False,
        f"positions of the type {_rope(layer)[0]}": _rope(layer)[0] not in {"default", "linear", "llama3"},
    }
    if found := [what for what, there in wrong.items() if there]:
        raise HeadError(f"{name} has {' and '.join(found)}, which llama.cpp does not compute for a head.", _OTHER)


def _renamed(name: str, weights: Mapping[str, Any]) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The tensors by their names in GGUF, and `d2t` and `t2d` where they are there."""
    tensors, mapping = dict[str, Floats](), dict[str, Any]()
    for key, tensor in weights.items():
        plain = key.removeprefix("model.").replace("midlayer.", "layers.0.")
        if plain in {"d2t", "t2d"}:
            mapping[plain] = tensor
        elif plain in _NAMES:
            tensors[_NAMES[plain]] = np.asarray(tensor, np.float32)
        elif not plain.startswith(_UNUSED):
            raise HeadError(f"{name} has a tensor {key!r}, which an EAGLE-3 head does not have.", _OTHER)
    return tensors, mapping


def _numbers(layer: Config) -> tuple[int, int, int, int, int]:
    """(D, attention heads, those of keys and values, width of a head, width of the feed-forward)."""
    hidden, heads = int(layer["hidden_size"]), int(layer["num_attention_heads"])
    kv_heads = int(layer.get("num_key_value_heads") or heads)
    return hidden, heads, kv_heads, int(layer.get("head_dim") or hidden // heads), int(layer["intermediate_size"])


def _layers(name: str, config: Config, target: HeadTarget) -> tuple[int, ...]:
    stated = config.get("eagle_aux_hidden_state_layer_ids")
    nested = (config.get("eagle_config") or {}).get("eagle_aux_hidden_state_layer_ids")
    if stated is None and nested is not None:
        stated = [layer + 1 for layer in nested]
    layers = tuple(map(int, stated or typical_layers(target.layers)))
    check_layers(name, layers, target)
    return layers


def _ids(
    name: str,
    layer: Config,
    mapping: Mapping[str, Any],
    tensors: Mapping[str, Floats],
    target: HeadTarget,
) -> Ids | None:
    """The target's id of each draft id, int64[K]; None if the head drafts every id."""
    rows = int(layer.get("vocab_size") or target.n_vocab)
    count = len(tensors["output.weight"]) if "output.weight" in tensors else rows
    if "d2t" in mapping:
        ids = np.asarray(mapping["d2t"]).astype(np.int64) + np.arange(len(mapping["d2t"]))
    elif "t2d" in mapping:
        ids = np.flatnonzero(np.asarray(mapping["t2d"])).astype(np.int64)
    elif count == rows:
        check_vocabulary(name, rows, np.arange(target.n_vocab, dtype=np.int64), target)
        return None if count == target.n_vocab else np.arange(count, dtype=np.int64)
    else:
        raise HeadError(f"{name} drafts {count} ids and does not state which (no d2t).", _OTHER)
    check_vocabulary(name, rows, ids, target)
    marked = mapping.get("t2d")
    if len(ids) != count or (marked is not None and not np.array_equal(np.sort(ids), np.flatnonzero(marked))):
        raise HeadError(f"The lists of draft ids of {name} contradict each other.", _OTHER)
    return ids


def _describe(
    writer: gguf.GGUFWriter,
    name: str,
    layer: Config,
    layers: tuple[int, ...],
    numbers: tuple[int, int, int, int, int],
    target: HeadTarget,
) -> None:
    hidden, heads, kv_heads, width, inner = numbers
    kind, rope = _rope(layer)
    writer.add_name(name)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(target.n_vocab)
    writer.add_block_count(1)
    writer.add_context_length(int(layer.get("max_position_embeddings") or 4096))
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(float(layer.get("rms_norm_eps") or 1e-6))
    writer.add_rope_freq_base(float(rope.get("rope_theta") or layer.get("rope_theta") or 10_000.0))
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    writer.add_array(f"{ARCHITECTURE}.target_layers", list(layers))
    writer.add_uint32(f"{ARCHITECTURE}.target_hidden_size", target.hidden_size)
    writer.add_bool(f"{ARCHITECTURE}.norm_before_residual", bool(layer.get("norm_before_residual")))


def _rope(layer: Config) -> tuple[str, Config]:
    rope = layer.get("rope_parameters") or layer.get("rope_scaling") or {}
    return str(rope.get("rope_type") or rope.get("type") or "default"), rope


def _rope_factors(layer: Config, width: int) -> Floats | None:
    """What llama.cpp divides the frequencies by, float32[width / 2], for the scaling of Llama 3; None without it."""
    kind, rope = _rope(layer)
    if kind != "llama3":
        return None
    base = float(rope.get("rope_theta") or layer.get("rope_theta") or 10_000.0)
    lengths = 2 * np.pi * base ** (np.arange(0, width, 2, dtype=np.float64) / width)
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    context = float(rope["original_max_position_embeddings"])
    smooth = np.clip((context / lengths - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)


def _interleaved(tensor: Floats, heads: int) -> Floats:
    """Rows of queries or keys [heads * width, n] in the order of llama.cpp, whose rotation pairs neighbouring numbers.

    PyTorch's pairs number i of a head with number i + width / 2.
    """
    rows, columns = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _add(writer: gguf.GGUFWriter, key: str, tensor: Floats, quantisation: str) -> None:
    tensor = np.ascontiguousarray(tensor)
    if not np.isfinite(tensor).all():
        raise HeadError(f"{key} holds numbers that are not finite.", _OTHER)
    kind = _type(key, tensor, quantisation)
    if kind is None:
        writer.add_tensor(key, tensor)
    else:
        writer.add_tensor(key, gguf.quantize(tensor, kind), raw_dtype=kind)


def _type(key: str, tensor: Floats, quantisation: str) -> gguf.GGMLQuantizationType | None:
    """What a tensor is stored as; None for float32."""
    if tensor.ndim == 1 or quantisation == "F32" or tensor.shape[1] % 32:
        return None
    return gguf.GGMLQuantizationType["Q8_0" if key in _AT_8_BITS else quantisation]


def rounded(weights: Mapping[str, Floats], quantisation: str = QUANTISATION) -> dict[str, Floats]:
    """The weights of a head as a drafter reads them: each matrix float32, rounded as `converted` stores it."""
    result = dict[str, Floats]()
    for name, tensor in weights.items():
        kind = _type(_NAMES[name.replace("midlayer.", "layers.0.")], tensor, quantisation)
        result[name] = tensor if kind is None else gguf.dequantize(gguf.quantize(tensor, kind), kind)
    return result


def target_name(folder: Path) -> str | None:
    """The name of the target that a head of vLLM's speculators was trained for; None if it is not stated."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config["speculators_config"]["verifier"]["name_or_path"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
