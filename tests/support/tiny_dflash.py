"""DFlash heads of a few random numbers, in both published layouts, and their definition in PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.heads.dflash_file import DflashFile, read_gguf
from speculatoviz.heads.dflash_published import converted
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_dflash import LlamaCppDflash

Layout = Literal["z-lab", "speculators"]

COUNT, HEADS, KV_HEADS, WIDTH, INNER = 2, 4, 2, 16, 48
TARGET = HeadTarget("tiny", layers=8, hidden_size=32, n_vocab=60)
VOCABULARY = np.array([0, 1, 3, 4, 7, 8, 20, 33, 41, 59], np.int64)
LAYERS = (2, 4, 5)  # by their inputs
BLOCK, MASK = 5, 9
EPS, THETA = 1e-5, 5_000.0


def weights(
    seed: int = 0, target: HeadTarget = TARGET, vocabulary: Sequence[int] | np.ndarray = VOCABULARY
) -> dict[str, np.ndarray]:
    """By the names of both layouts."""
    rng = np.random.default_rng(seed)
    hidden = target.hidden_size

    def random(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float16).astype(np.float32)

    ids = np.asarray(vocabulary, np.int64)
    own = {
        "fc.weight": random(hidden, len(LAYERS) * hidden),
        "hidden_norm.weight": 1 + random(hidden),
        "norm.weight": 1 + random(hidden),
        "lm_head.weight": 3 * random(len(ids), hidden),
        "embed_tokens.weight": random(target.n_vocab, hidden),
        "d2t": ids - np.arange(len(ids)),
        "t2d": np.isin(np.arange(target.n_vocab), ids),
    }
    for layer in range(COUNT):
        named = {
            "input_layernorm": 1 + random(hidden),
            "self_attn.q_proj": 3 * random(HEADS * WIDTH, hidden),
            "self_attn.k_proj": 3 * random(KV_HEADS * WIDTH, hidden),
            "self_attn.v_proj": random(KV_HEADS * WIDTH, hidden),
            "self_attn.o_proj": random(hidden, HEADS * WIDTH),
            "self_attn.q_norm": 1 + random(WIDTH),
            "self_attn.k_norm": 1 + random(WIDTH),
            "post_attention_layernorm": 1 + random(hidden),
            "mlp.gate_proj": random(INNER, hidden),
            "mlp.up_proj": random(INNER, hidden),
            "mlp.down_proj": random(hidden, INNER),
        }
        own |= {f"layers.{layer}.{name}.weight": tensor for name, tensor in named.items()}
    return own


def config(layout: Layout, target: HeadTarget = TARGET, count: int = len(VOCABULARY)) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "model_type": "qwen3",
        "hidden_size": target.hidden_size,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": COUNT,
        "hidden_act": "silu",
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "vocab_size": target.n_vocab,
        "max_position_embeddings": 2048,
        "layer_types": ["full_attention"] * COUNT,
        "sliding_window": None,
    }
    if layout == "speculators":
        return {
            "architectures": ["DFlashSpeculator"],
            "speculators_model_type": "dflash",
            "transformer_layer_config": layer,
            "aux_hidden_state_layer_ids": list(LAYERS),
            "speculators_config": {"verifier": {"name_or_path": "maker/Tiny"}},
            "block_size": BLOCK,
            "mask_token_id": MASK,
            "draft_vocab_size": count,
            "sample_from_anchor": False,
            "sliding_window_non_causal": False,
        }
    outputs = [layer - 1 for layer in LAYERS]
    return {
        "architectures": ["DFlashDraftModel"],
        **layer,
        "num_target_layers": target.layers,
        "block_size": BLOCK,
        "dflash_config": {"mask_token_id": MASK, "target_layer_ids": outputs},
    }


def write(
    folder: Path,
    layout: Layout = "z-lab",
    tensors: Mapping[str, np.ndarray] | None = None,
    changes: Mapping[str, Any] | None = None,
    target: HeadTarget = TARGET,
) -> Path:
    """A head as it is published."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    own = dict(weights(0, target) if tensors is None else tensors)
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in own.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config(layout, target), **(changes or {})}))
    return folder


def head(folder: Path, layout: Layout = "z-lab", target: HeadTarget = TARGET, **options: Any) -> DflashFile:
    """In float32, so that it computes what the definition computes."""
    return read_gguf(converted(write(folder, layout, target=target, **options), target, folder.parent, "F32"), target)


def graph(file: DflashFile, cells: int = 256, shared: LlamaCppModel | Path | None = None) -> LlamaCppDflash:
    return LlamaCppDflash(file.path, file.vocabulary, file.places, cells, 1, shared)


class Definition:
    """The head by its definition in DFlash's repository (dflash/model.py), in PyTorch, without a cache.

    window: the tokens that every layer sees, 0 for all. causal: whether a place sees no later ones. shift: how far the
    mask is off, for a broken twin: the places of a block see so many committed tokens less.
    """

    def __init__(
        self,
        tensors: Mapping[str, np.ndarray],
        *,
        window: int = 0,
        causal: bool = False,
        shift: int = 0,
        frequencies: Floats | None = None,
    ) -> None:
        import torch

        self.torch = torch
        self.w = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
        self.window, self.causal, self.shift = window, causal, shift
        usual = 1.0 / THETA ** (torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
        self.frequencies = usual if frequencies is None else torch.from_numpy(np.asarray(frequencies, np.float64))

    def block(self, features: Floats, token: int, count: int = BLOCK, mask: int = MASK) -> Floats:
        """Logits float[count, K] of every place of a block after n committed tokens, features float[n, L * D]."""
        torch, w = self.torch, self.w
        seen = self._norm(torch.from_numpy(features) @ w["fc.weight"].T, w["hidden_norm.weight"])
        x = w["embed_tokens.weight"][[token] + [mask] * (count - 1)]
        sees = self._sees(len(seen), count)
        for layer in range(COUNT):
            part = {name.removeprefix(f"layers.{layer}."): tensor for name, tensor in w.items()}
            normal = self._norm(x, part["input_layernorm.weight"])
            x = x + self._attend(part, seen, normal, sees)
            normal = self._norm(x, part["post_attention_layernorm.weight"])
            gate = torch.nn.functional.silu(normal @ part["mlp.gate_proj.weight"].T)
            x = x + (gate * (normal @ part["mlp.up_proj.weight"].T)) @ part["mlp.down_proj.weight"].T
        logits: Floats = (self._norm(x, w["norm.weight"]) @ w["lm_head.weight"].T).numpy()
        return logits

    def _sees(self, committed: int, count: int) -> Any:
        """bool[count, committed + count]: what each place of the block attends to."""
        query = committed + np.arange(count)[:, None]
        key = np.arange(committed + count)[None]
        sees = (key <= query) if self.causal else np.ones((count, committed + count), np.bool_)
        if self.window:
            sees = sees & (query - key < self.window)
        if self.shift:
            sees = sees & ((key >= committed) | (key < committed - self.shift))
        return self.torch.from_numpy(sees)

    def _attend(self, part: Mapping[str, Any], seen: Any, normal: Any, sees: Any) -> Any:
        torch = self.torch
        both, count = torch.cat([seen, normal]), len(normal)
        positions = torch.arange(len(both), dtype=torch.float64)
        q, k, v = (
            rows @ part[f"self_attn.{name}_proj.weight"].T for name, rows in (("q", normal), ("k", both), ("v", both))
        )
        q = self._rotate(self._heads(q, HEADS, part["self_attn.q_norm.weight"]), positions[-count:])
        k = self._rotate(self._heads(k, KV_HEADS, part["self_attn.k_norm.weight"]), positions)
        v = v.view(len(both), KV_HEADS, WIDTH)
        k, v = (rows.repeat_interleave(HEADS // KV_HEADS, dim=1) for rows in (k, v))
        scores = torch.einsum("nhw,mhw->hnm", q, k) / WIDTH**0.5
        mixed = torch.einsum("hnm,mhw->nhw", scores.masked_fill(~sees, float("-inf")).softmax(-1), v)
        return mixed.reshape(count, -1) @ part["self_attn.o_proj.weight"].T

    def _heads(self, x: Any, heads: int, weight: Any) -> Any:
        return self._norm(x.view(len(x), heads, WIDTH), weight)

    def _norm(self, x: Any, weight: Any) -> Any:
        return weight * x * self.torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)

    def _rotate(self, x: Any, positions: Any) -> Any:
        torch = self.torch
        angles = positions[:, None] * self.frequencies
        cos, sin = (torch.cat([f(angles)] * 2, dim=-1).float()[:, None] for f in (torch.cos, torch.sin))
        half = WIDTH // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


@cache
def loaded(n_vocab: int = TARGET.n_vocab, copy: int = 0) -> LlamaCppDflash:
    """A head that is loaded once and never closed. With fewer ids than TARGET's it drafts all of them.

    copy: a number for each one that is used at the same time.
    """
    del copy
    target = replace(TARGET, n_vocab=n_vocab)
    vocabulary = VOCABULARY if n_vocab == TARGET.n_vocab else np.arange(n_vocab)
    made = weights(0, target, vocabulary)
    mask = min(MASK, n_vocab - 1)
    changes = {"dflash_config": {"mask_token_id": mask, "target_layer_ids": [layer - 1 for layer in LAYERS]}}
    with TemporaryDirectory() as folder:
        return graph(head(Path(folder) / "head", target=target, tensors=made, changes=changes), 64)
