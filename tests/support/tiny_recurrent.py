"""Tiny GGUF models with random weights whose layers are recurrent, all or some of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from support.tiny_gguf import HIDDEN, LAYERS, Value, write_tiny

KERNEL = 3  # of the convolutions: each sees two earlier tokens
STATE = 16  # numbers of a head's recurrent state
NO_ATTENTION = {
    f"blk.{layer}.{name}.weight": None
    for layer in range(LAYERS)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
}


def write_mamba2(path: Path, seed: int = 0, hidden: int = HIDDEN) -> Path:
    """A Mamba-2 of two layers, all recurrent: one of the architectures that llama.cpp cannot roll back."""
    random, inner, heads = _Random(seed), 2 * hidden, hidden // 8
    channels = inner + 2 * STATE
    tensors: dict[str, np.ndarray | None] = dict(NO_ATTENTION)
    for layer in range(LAYERS):
        before = f"blk.{layer}."
        tensors |= {
            before + "ssm_in.weight": random(inner + channels + heads, hidden),
            before + "ssm_conv1d.weight": random(channels, KERNEL),
            before + "ssm_conv1d.bias": random(channels),
            before + "ssm_dt.bias": random(heads),
            before + "ssm_a": -np.ones((heads, 1), np.float32) * 0.1,
            before + "ssm_d": np.ones((heads, 1), np.float32),
            before + "ssm_norm.weight": np.ones((1, inner), np.float32),
            before + "ssm_out.weight": random(hidden, inner),
        }
    fields: Mapping[str, Value] = {
        "{arch}.ssm.conv_kernel": KERNEL,
        "{arch}.ssm.inner_size": inner,
        "{arch}.ssm.state_size": STATE,
        "{arch}.ssm.time_step_rank": heads,
        "{arch}.ssm.group_count": 1,
    }
    return write_tiny(path, "bpe", architecture="mamba2", fields=fields, tensors=tensors, hidden=hidden, seed=seed)


def write_lfm2(path: Path, seed: int = 0) -> Path:
    """An LFM2 of a convolution and an attention layer: llama.cpp keeps snapshots of its recurrent state."""
    random, head = _Random(seed), HIDDEN // 2
    tensors: dict[str, np.ndarray | None] = {
        "output_norm.weight": None,
        "token_embd_norm.weight": np.ones(HIDDEN, np.float32),
        "blk.0.shortconv.conv.weight": random(HIDDEN, KERNEL),
        "blk.0.shortconv.in_proj.weight": random(3 * HIDDEN, HIDDEN),
        "blk.0.shortconv.out_proj.weight": random(HIDDEN, HIDDEN),
        "blk.1.attn_q_norm.weight": np.ones(head, np.float32),
        "blk.1.attn_k_norm.weight": np.ones(head, np.float32),
    }
    tensors |= {f"blk.0.{name}.weight": None for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    fields: Mapping[str, Value] = {"{arch}.shortconv.l_cache": KERNEL, "{arch}.attention.head_count_kv": [0, 1]}
    return write_tiny(path, "bpe", architecture="lfm2", fields=fields, tensors=tensors, seed=seed)


def write_qwen35(path: Path, seed: int = 0, *, next_token_layer: bool = False) -> Path:
    """A Qwen3.5 of a gated delta net and a gated attention layer: llama.cpp keeps snapshots of its recurrent state.

    next_token_layer: with a further layer that predicts the token after the next one.
    """
    random, heads, key_heads = _Random(seed), 2, 1
    inner, head = heads * STATE, HIDDEN // 2
    channels = 2 * key_heads * STATE + inner
    tensors: dict[str, np.ndarray | None] = {
        "blk.0.attn_qkv.weight": random(channels, HIDDEN),
        "blk.0.attn_gate.weight": random(inner, HIDDEN),
        "blk.0.ssm_conv1d.weight": random(channels, KERNEL),
        "blk.0.ssm_dt.bias": random(heads),
        "blk.0.ssm_a": -np.ones(heads, np.float32) * 0.1,
        "blk.0.ssm_beta.weight": random(heads, HIDDEN),
        "blk.0.ssm_alpha.weight": random(heads, HIDDEN),
        "blk.0.ssm_norm.weight": np.ones(STATE, np.float32),
        "blk.0.ssm_out.weight": random(HIDDEN, inner),
        "blk.1.attn_q.weight": random(2 * HIDDEN, HIDDEN),
        "blk.1.attn_q_norm.weight": np.ones(head, np.float32),
        "blk.1.attn_k_norm.weight": np.ones(head, np.float32),
    }
    tensors |= {f"blk.0.{name}.weight": None for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    for layer in range(LAYERS):
        tensors |= {
            f"blk.{layer}.ffn_norm.weight": None,
            f"blk.{layer}.post_attention_norm.weight": np.ones(HIDDEN, np.float32),
        }
    fields: Mapping[str, Value] = {
        "{arch}.ssm.conv_kernel": KERNEL,
        "{arch}.ssm.inner_size": inner,
        "{arch}.ssm.state_size": STATE,
        "{arch}.ssm.time_step_rank": heads,
        "{arch}.ssm.group_count": key_heads,
        "{arch}.full_attention_interval": 2,
        "{arch}.attention.key_length": head,
        "{arch}.attention.value_length": head,
        "{arch}.rope.dimension_count": head,
        "{arch}.rope.dimension_sections": [4, 2, 2, 0],
    }
    if next_token_layer:
        tensors |= _next_token_layer(random, head)
        fields = {**fields, "{arch}.block_count": LAYERS + 1, "{arch}.nextn_predict_layers": 1}
    return write_tiny(path, "bpe", architecture="qwen35", fields=fields, tensors=tensors, seed=seed)


def _next_token_layer(random: _Random, head: int) -> dict[str, np.ndarray | None]:
    """One attention layer after the others, and the matrix that joins a hidden state with an embedding."""
    before, inner, ones = f"blk.{LAYERS}.", 2 * HIDDEN, np.ones(HIDDEN, np.float32)
    norms = ("attn_norm", "post_attention_norm", "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm")
    shapes = {
        "attn_q": (2 * HIDDEN, HIDDEN),
        "attn_k": (head, HIDDEN),
        "attn_v": (head, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_gate": (inner, HIDDEN),
        "ffn_up": (inner, HIDDEN),
        "ffn_down": (HIDDEN, inner),
        "nextn.eh_proj": (HIDDEN, 2 * HIDDEN),
    }
    return {
        **{f"{before}{name}.weight": ones for name in norms},
        **{f"{before}attn_{name}_norm.weight": np.ones(head, np.float32) for name in "qk"},
        **{f"{before}{name}.weight": random(*shape) for name, shape in shapes.items()},
    }


class _Random:
    """Normal numbers that keep the size of what they multiply."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed + 100)

    def __call__(self, *shape: int) -> np.ndarray:
        return (self._rng.standard_normal(shape) * 0.3).astype(np.float32)
