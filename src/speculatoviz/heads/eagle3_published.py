"""Published heads of the types EAGLE-3 and P-EAGLE, as folders of safetensors, written as a GGUF file for llama.cpp.

Three layouts, which differ in names and in where the configuration is:

- the EAGLE repository: `midlayer.*`, a flat config.json, which does not state the layers that are read;
- SpecForge: the same, with the layers in `eagle_config`, counted by their outputs (layer 1's output is the input of
  layer 2);
- vLLM's speculators: `layers.0.*`, the layer's configuration in `transformer_layer_config`, the layers counted by their
  inputs, the target's name in `speculators_config`.

A P-EAGLE head has the same tensors and `mask_hidden`; its configuration states the mask token, as `ptd_token_id`,
`pard_token` or `mask_token_id`, and may state the tokens of a draft, as `para_depths`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    stored_type,
    write_gguf,
    written_once,
)
from speculatoviz.heads.eagle3_file import (
    ARCHITECTURE,
    DEPTH,
    MASK_STATE,
    USUAL_DEPTH,
    Masks,
    check_masks,
    check_three_layers,
    shapes,
    typical_layers,
)
from speculatoviz.heads.gguf_head import OTHER_HEAD, HeadTarget, check_mask, check_width
from speculatoviz.models.files.config import Config

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
_MASK_TOKENS = ("mask_token_id", "ptd_token_id", "pard_token")
_NARROW = 1024


def bits(width: int) -> int:
    """Of the numbers of a head's matrices. width: of its target's states.

    A head of width 576 lost 0.10 of an acceptance length of 1.76 in 4 bits, and nothing in 8, which take 0.11 of the
    target's pass for a token instead of 0.10. For a target of width 1,536 8 bits take half as long again as 4.
    """
    return 8 if width <= _NARROW else 4


def converted(folder: Path, target: HeadTarget, cache_dir: Path | str, quantisation: str | None = None) -> Path:
    """The head of a folder as a GGUF file for this target, written once and kept among the cached models.

    quantisation: of the matrices, by default of as many `bits` as suit the target. Raises HeadError if the folder holds
    no head, or one that does not fit the target.
    """
    return written_once(_KIND, folder, target, cache_dir, quantisation or _quantisation(target.hidden_size))


def export(folder: Path, target: HeadTarget, path: Path) -> None:
    """Write the head of a folder as the GGUF file that llama.cpp's programs read. Raises HeadError and OSError."""
    write_gguf(_KIND, folder, target, path, _quantisation(target.hidden_size))


def _quantisation(width: int) -> str:
    return f"Q{bits(width)}_0"


def _write(writer: gguf.GGUFWriter, head: Published, quantisation: str) -> None:
    name, config, target = head.name, head.config, head.target
    layer = {**config, **(config.get("transformer_layer_config") or {})}
    _require_known(name, layer)
    tensors, mapping = _renamed(name, head.weights)
    hidden, own = attention_numbers(layer)
    check_width(name, int(layer.get("target_hidden_size") or hidden), target)
    layers = _layers(name, config, target)
    rows = int(layer.get("vocab_size") or target.n_vocab)
    count = len(tensors["output.weight"]) if "output.weight" in tensors else rows
    ids = draft_ids(name, rows, mapping, count, target)
    features = len(layers) * target.hidden_size
    check_published(name, tensors, shapes(hidden, own.heads, own.kv_heads, own.width, own.inner, features))
    describe_layers(writer, head, layer, 1, hidden, own)
    writer.add_array(f"{ARCHITECTURE}.target_layers", list(layers))
    writer.add_uint32(f"{ARCHITECTURE}.target_hidden_size", target.hidden_size)
    writer.add_bool(f"{ARCHITECTURE}.norm_before_residual", bool(layer.get("norm_before_residual")))
    if (masks := _masks(name, config, mapping, target)) is not None:
        writer.add_mask_token_id(masks.token)
        writer.add_array(MASK_STATE, masks.state.tolist())
        writer.add_uint32(DEPTH, masks.depth)
    for key, heads_of in (("blk.0.attn_q.weight", own.heads), ("blk.0.attn_k.weight", own.kv_heads)):
        tensors[key] = _interleaved(tensors[key], heads_of)
    if (factors := rope_factors(layer, own.width)) is not None:
        tensors["rope_freqs.weight"] = factors
    add_tensors(writer, tensors, ids, quantisation)


_KIND = Kind(ARCHITECTURE, "EAGLE-3 head", _write)


def _require_known(name: str, layer: Config) -> None:
    """Raises HeadError for a layer that llama.cpp's graph does not compute."""
    refuse(
        name,
        {
            "more than one layer": layer.get("num_hidden_layers", 1) != 1,
            "biases": bool(layer.get("attention_bias") or layer.get("mlp_bias") or layer.get("bias")),
            f"the activation {layer.get('hidden_act')}": layer.get("hidden_act", "silu") != "silu",
            "a norm before its fusion": bool(layer.get("norm_before_fc")),
            "no inner layers as inputs": (layer.get("eagle_config") or {}).get("use_aux_hidden_state") is False,
            f"positions of the type {rope_of(layer)[0]}": rope_of(layer)[0] not in {"default", "linear", "llama3"},
        },
    )


def _renamed(name: str, weights: Mapping[str, Any]) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The tensors by their names in GGUF, and `d2t`, `t2d` and `mask_hidden` where they are there."""
    tensors, mapping = dict[str, Floats](), dict[str, Any]()
    for key, tensor in weights.items():
        plain = key.removeprefix("model.").replace("midlayer.", "layers.0.")
        if plain in {"d2t", "t2d", "mask_hidden"}:
            mapping[plain] = tensor
        elif plain in _NAMES:
            tensors[_NAMES[plain]] = np.asarray(tensor, np.float32)
        elif not plain.startswith(_UNUSED):
            raise HeadError(f"{name} has a tensor {key!r}, which an EAGLE-3 head does not have.", OTHER_HEAD)
    return tensors, mapping


def _masks(name: str, config: Config, given: Mapping[str, Any], target: HeadTarget) -> Masks | None:
    """Of a P-EAGLE head; None for an EAGLE-3 head."""
    token = next((config[key] for key in _MASK_TOKENS if config.get(key) is not None), None)
    if "mask_hidden" not in given:
        if config.get("speculators_model_type") == "peagle" or token is not None:
            raise HeadError(f"{name} has a mask token and no mask_hidden.", OTHER_HEAD)
        return None
    state = np.asarray(given["mask_hidden"], np.float32).reshape(-1)
    token = check_mask(name, None if token is None else int(token), target)
    return check_masks(name, token, state, int(config.get("para_depths") or USUAL_DEPTH), target)


def _layers(name: str, config: Config, target: HeadTarget) -> tuple[int, ...]:
    stated = config.get("eagle_aux_hidden_state_layer_ids")
    nested = (config.get("eagle_config") or {}).get("eagle_aux_hidden_state_layer_ids")
    if stated is None and nested is not None:
        stated = [layer + 1 for layer in nested]
    layers = tuple(map(int, stated or typical_layers(target.layers)))
    check_three_layers(name, layers, target)
    return layers


def _interleaved(tensor: Floats, heads: int) -> Floats:
    """Rows of queries or keys [heads * width, n] in the order of llama.cpp, whose rotation pairs neighbouring numbers.

    PyTorch's pairs number i of a head with number i + width / 2.
    """
    rows, columns = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def rounded(weights: Mapping[str, Floats], width: int) -> dict[str, Floats]:
    """The weights of a head as a drafter reads them: each matrix float32, rounded as `converted` stores it.

    width: of the target's states.
    """
    result, quantisation = dict[str, Floats](), _quantisation(width)
    for name, tensor in weights.items():
        plain = name.replace("midlayer.", "layers.0.")
        kind = stored_type(_NAMES.get(plain, plain), tensor, quantisation)
        result[name] = tensor if kind is None else gguf.dequantize(gguf.quantize(tensor, kind), kind)
    return result
