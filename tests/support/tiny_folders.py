"""Tiny models with random weights as folders of safetensors, with SmolLM2's tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from support.runtimes import Weights

SHAPE: dict[str, Any] = {
    "vocab_size": 49_152,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}
_LINEAR: dict[str, Any] = {
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "head_dim": 16,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_conv_kernel_dim": 3,
}
# Architectures with recurrent layers: all of them, or all but the second of three.
RECURRENT: dict[str, dict[str, Any]] = {
    "Mamba": {"state_size": 4, "expand": 2, "conv_kernel": 3, "time_step_rank": 2},
    "Mamba2": {"state_size": 16, "expand": 2, "conv_kernel": 3, "n_groups": 1, "num_heads": 4, "head_dim": 16},
    "Lfm2": {
        "layer_types": ["conv", "full_attention", "conv"],
        "conv_L_cache": 3,
        "block_auto_adjust_ff_dim": False,
        # The names that MLX-LM reads.
        "block_dim": 32,
        "block_ff_dim": 64,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "conv_dim": 32,
        "full_attn_idxs": [1],
    },
    "Qwen3_5": _LINEAR,
    "GraniteMoeHybrid": {
        "layer_types": ["mamba", "attention", "mamba"],
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_d_state": 16,
        "mamba_d_conv": 3,
        "mamba_expand": 2,
        "shared_intermediate_size": 32,
        "num_local_experts": 0,
        "num_experts_per_tok": 0,
    },
}


def save(kind: str, folder: Path, weights: Weights, *, seed: int = 0, **settings: Any) -> Path:
    """A model of that kind with random weights, and SmolLM2's tokenizer."""
    import torch
    import transformers

    torch.manual_seed(seed)
    of_text = getattr(transformers, f"{kind}TextConfig", None)
    layers = {"num_hidden_layers": 3} if kind in RECURRENT else {}
    config = (of_text or getattr(transformers, f"{kind}Config"))(**SHAPE | layers | settings)
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(weights.folder / file, folder / file)
    return folder


def of_transformers(folder: Path) -> Any:
    from speculatoviz.models.runtimes.transformers import TransformersModel

    return TransformersModel(folder, 512, device="cpu", dtype="float32")


def of_mlx(folder: Path) -> Any:
    from speculatoviz.models.runtimes.mlx import MlxModel

    return MlxModel(folder, 512)
