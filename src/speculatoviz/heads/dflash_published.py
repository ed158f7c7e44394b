"""Published heads of the type DFlash, as folders of safetensors, written as a GGUF file for llama.cpp.

Two layouts, with the same names of tensors:

- z-lab: a flat config.json with `dflash_config`; the target's layers are counted by their outputs (layer 1's output is
  the input of layer 2); a layer of sliding attention is causal unless `is_causal` states something else;
- vLLM's speculators: the layers' configuration in `transformer_layer_config`, the target's layers counted by their
  inputs, its name in `speculators_config`; layers of sliding attention are causal unless `sliding_window_non_causal`.

Layers of full attention are not causal: the places of a block see each other. Heads have no embeddings, and no output
matrix unless they draft a part of the vocabulary only; then `d2t` and `t2d` state which.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError
from speculatoviz.heads.conversion import (
    Kind,
    Published,
    add_tensors,
    attention_numbers,
    check_published,
    describe_layers,
    draft_ids,
    refuse,
    rope_factors,
    rope_of,
    written_once,
)
from speculatoviz.heads.dflash_file import ARCHITECTURE, MOST_LAYERS, USUAL_BLOCK, check_block, shapes
from speculatoviz.heads.gguf_head import OTHER_HEAD, HeadTarget, check_layers, check_mask, check_width
from speculatoviz.models.files.config import Config

_WHOLE = {
    "fc.weight": "fc.weight",
    "hidden_norm.weight": "enc.output_norm.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "embed_tokens.weight": "token_embd.weight",
}
_OF_A_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
_UNUSED = ("verifier_", "rotary_emb.")  # copies of the target's, which only training reads
_SLIDING = "sliding_attention"


class _Attended(NamedTuple):
    """sliding[i]: whether layer i sees the last `window` tokens only. causal: whether no place sees later ones."""

    sliding: tuple[bool, ...]
    window: int
    causal: bool


def is_dflash(config: Config) -> bool:
    """Whether a configuration is that of a DFlash head, or of a later kind."""
    names = config.get("architectures")
    named = isinstance(names, list) and any("dflash" in str(name).lower() for name in names)
    return named or "dflash_config" in config or config.get("speculators_model_type") == ARCHITECTURE


def converted(folder: Path, target: HeadTarget, cache_dir: Path | str, quantisation: str = "Q4_0") -> Path:
    """The head of a folder as a GGUF file for this target, written once and kept among the cached models.

    quantisation: of the matrices. Raises HeadError if the folder holds no head, or one that does not fit the target.
    """
    return written_once(Kind(ARCHITECTURE, "DFlash head", _write), folder, target, cache_dir, quantisation)


def _write(writer: gguf.GGUFWriter, head: Published, quantisation: str) -> None:
    name, config, target = head.name, head.config, head.target
    layer = {**config, **(config.get("transformer_layer_config") or {})}
    _require_known(name, config, layer)
    tensors, mapping = _renamed(name, head.weights)
    hidden, own = attention_numbers(layer)
    check_width(name, int(layer.get("target_hidden_size") or hidden), target)
    if hidden != target.hidden_size:
        raise HeadError(
            f"{name} has states of {hidden} numbers, and llama.cpp computes DFlash heads only with those of their "
            f"target: {target.hidden_size}.",
            OTHER_HEAD,
        )
    count, layers = int(layer["num_hidden_layers"]), _layers(name, config, target)
    if count > MOST_LAYERS:
        raise HeadError(f"{name} has {count} layers, and llama.cpp computes at most {MOST_LAYERS}.", OTHER_HEAD)
    rows = int(layer.get("vocab_size") or target.n_vocab)
    drafted = len(tensors["output.weight"]) if "output.weight" in tensors else rows
    ids = draft_ids(name, rows, mapping, drafted, target)
    check_published(name, tensors, shapes(hidden, own, count, len(layers) * hidden))
    attended, block = _attended(name, config, layer, count), int(_own(config, "block_size") or USUAL_BLOCK)
    check_block(name, block, attended.window or None)
    mask = _own(config, "mask_token_id")
    describe_layers(writer, head, layer, count, hidden, own)
    writer.add_mask_token_id(check_mask(name, None if mask is None else int(mask), target))
    writer.add_array(f"{ARCHITECTURE}.target_layers", list(layers))
    writer.add_uint32(f"{ARCHITECTURE}.block_size", block)
    writer.add_bool(f"{ARCHITECTURE}.sample_from_anchor", bool(config.get("sample_from_anchor")))
    writer.add_bool(f"{ARCHITECTURE}.attention.causal", attended.causal)
    if attended.window:
        writer.add_sliding_window(attended.window)
        writer.add_array(f"{ARCHITECTURE}.attention.sliding_window_pattern", list(attended.sliding))
    if (factors := rope_factors(layer, own.width)) is not None:
        tensors["rope_freqs.weight"] = factors
    add_tensors(writer, tensors, ids, quantisation)


def _own(config: Config, key: str) -> Any:
    """A value of `dflash_config`, else of the whole configuration; None without one."""
    nested = config.get("dflash_config") or {}
    return nested.get(key, config.get(key))


def _require_known(name: str, config: Config, layer: Config) -> None:
    """Raises HeadError for what llama.cpp's graph does not compute, or not without a trained part of another kind."""
    kind = rope_of(layer)[0]
    scale, factor = _own(config, "input_embedding_scale"), _own(config, "output_multiplier")
    refuse(
        name,
        {
            "convolutions and a selector (DFlash-2)": _own(config, "selector_rank") is not None,
            "a Markov matrix (DSpark)": _own(config, "markov_rank") is not None,
            f"a projector {config.get('projector_type')}": config.get("projector_type", "dflash") != "dflash",
            "biases": bool(layer.get("attention_bias") or layer.get("mlp_bias")),
            f"the activation {layer.get('hidden_act')}": layer.get("hidden_act", "silu") != "silu",
            "scaled embeddings": scale is not None and float(scale) != 1.0,
            "scaled scores": factor is not None and float(factor) != 1.0,
            "capped scores": bool(_own(config, "final_logit_softcapping")),
            f"positions of the type {kind}": kind not in {"default", "linear", "llama3"},
        },
    )


def _renamed(name: str, weights: Mapping[str, Any]) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The tensors by their names in GGUF, and `d2t` and `t2d` where they are there."""
    tensors, mapping = dict[str, Floats](), dict[str, Any]()
    for key, tensor in weights.items():
        plain = key.removeprefix("model.")
        found = _LAYER.fullmatch(plain)
        if plain in {"d2t", "t2d"}:
            mapping[plain] = tensor
        elif plain in _WHOLE:
            tensors[_WHOLE[plain]] = np.asarray(tensor, np.float32)
        elif found is not None and found[2] in _OF_A_LAYER:
            tensors[f"blk.{found[1]}.{_OF_A_LAYER[found[2]]}"] = np.asarray(tensor, np.float32)
        elif not plain.startswith(_UNUSED):
            raise HeadError(f"{name} has a tensor {key!r}, which a DFlash head does not have.", OTHER_HEAD)
    return tensors, mapping


def _layers(name: str, config: Config, target: HeadTarget) -> tuple[int, ...]:
    stated = config.get("aux_hidden_state_layer_ids")
    if stated is None and (outputs := _own(config, "target_layer_ids")) is not None:
        stated = [int(layer) + 1 for layer in outputs]
    if stated is None:
        raise HeadError(f"{name} does not state the layers of the target that it reads.", OTHER_HEAD)
    layers = tuple(map(int, stated))
    check_layers(name, layers, target)
    return layers


def _attended(name: str, config: Config, layer: Config, count: int) -> _Attended:
    """What the places of a block see. Raises HeadError if some layers are causal and others are not."""
    window = int(layer.get("sliding_window") or 0)
    types = list(layer.get("layer_types") or [])[:count]
    sliding = tuple(bool(window) and kind == _SLIDING for kind in types) or (False,) * count
    if len(sliding) != count:
        raise HeadError(f"{name} has {count} layers, and states the attention of {len(sliding)}.", OTHER_HEAD)
    stated = config.get("is_causal")
    if "speculators_model_type" in config:
        stated = False if config.get("sliding_window_non_causal") else None
    causal = {kind if stated is None else bool(stated) for kind in sliding}
    if len(causal) > 1:
        raise HeadError(
            f"{name} has causal layers and layers that see later places, and llama.cpp computes one kind only.",
            OTHER_HEAD,
        )
    return _Attended(sliding, window if any(sliding) else 0, causal == {True})
