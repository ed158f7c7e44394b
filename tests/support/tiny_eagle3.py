"""EAGLE-3 heads of a few random numbers, in every published layout, and their definition in PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from speculatoviz.core.types import Floats, Ints
from speculatoviz.heads.eagle3_file import Eagle3File, read_gguf
from speculatoviz.heads.eagle3_published import converted
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3

Layout = Literal["eagle", "specforge", "speculators"]

HIDDEN, HEADS, KV_HEADS, WIDTH, INNER = 32, 4, 2, 16, 48
TARGET = HeadTarget("tiny", layers=8, hidden_size=24, n_vocab=60)
VOCABULARY = np.array([0, 1, 3, 4, 7, 8, 20, 33, 41, 59], np.int64)
LAYERS = (2, 4, 5)
EPS, THETA = 1e-5, 5_000.0


def weights(
    seed: int = 0, target: HeadTarget = TARGET, vocabulary: Sequence[int] | np.ndarray = VOCABULARY
) -> dict[str, np.ndarray]:
    """By the names of the EAGLE repository."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float16).astype(np.float32)

    ids = np.asarray(vocabulary, np.int64)
    return {
        "fc.weight": random(HIDDEN, 3 * target.hidden_size),
        "norm.weight": 1 + random(HIDDEN),
        "lm_head.weight": 3 * random(len(ids), HIDDEN),
        "embed_tokens.weight": random(target.n_vocab, HIDDEN),
        "midlayer.input_layernorm.weight": 1 + random(HIDDEN),
        "midlayer.hidden_norm.weight": 1 + random(HIDDEN),
        "midlayer.self_attn.q_proj.weight": 3 * random(HEADS * WIDTH, 2 * HIDDEN),
        "midlayer.self_attn.k_proj.weight": 3 * random(KV_HEADS * WIDTH, 2 * HIDDEN),
        "midlayer.self_attn.v_proj.weight": random(KV_HEADS * WIDTH, 2 * HIDDEN),
        "midlayer.self_attn.o_proj.weight": random(HIDDEN, HEADS * WIDTH),
        "midlayer.post_attention_layernorm.weight": 1 + random(HIDDEN),
        "midlayer.mlp.gate_proj.weight": random(INNER, HIDDEN),
        "midlayer.mlp.up_proj.weight": random(INNER, HIDDEN),
        "midlayer.mlp.down_proj.weight": random(HIDDEN, INNER),
        "d2t": ids - np.arange(len(ids)),
        "t2d": np.isin(np.arange(target.n_vocab), ids),
    }


def config(
    layout: Layout, target: HeadTarget = TARGET, layers: Sequence[int] = LAYERS, count: int = 10
) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "hidden_act": "silu",
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "vocab_size": target.n_vocab,
        "max_position_embeddings": 2048,
    }
    sizes = {"target_hidden_size": target.hidden_size, "draft_vocab_size": count}
    if layout == "speculators":
        return {
            "architectures": ["Eagle3Speculator"],
            "speculators_model_type": "eagle3",
            "transformer_layer_config": layer,
            "eagle_aux_hidden_state_layer_ids": list(layers),
            "speculators_config": {"verifier": {"name_or_path": "maker/Tiny"}},
            "norm_before_residual": True,
            **sizes,
        }
    outputs = {"eagle_aux_hidden_state_layer_ids": [i - 1 for i in layers], "use_aux_hidden_state": True}
    nested = {"eagle_config": outputs} if layout == "specforge" or tuple(layers) != _typical(target) else {}
    return {"architectures": ["LlamaForCausalLMEagle3"], **layer, **sizes, **nested}


def _typical(target: HeadTarget) -> tuple[int, ...]:
    return (2, target.layers // 2, target.layers - 3)


def write(
    folder: Path,
    layout: Layout = "eagle",
    tensors: Mapping[str, np.ndarray] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """A head as it is published."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    own = dict(weights() if tensors is None else tensors)
    if layout == "speculators":
        own = {name.replace("midlayer.", "layers.0."): tensor for name, tensor in own.items()}
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in own.items()}, folder / "model.safetensors")
    count = len(own["lm_head.weight"]) if "lm_head.weight" in own else TARGET.n_vocab
    (folder / "config.json").write_text(json.dumps({**config(layout, count=count), **(changes or {})}))
    return folder


def head(folder: Path, layout: Layout = "eagle", target: HeadTarget = TARGET, **options: Any) -> Eagle3File:
    """In float32, so that it computes what the definition computes."""
    return read_gguf(converted(write(folder, layout, **options), target, folder.parent, "F32"), target)


def graph(file: Eagle3File, cells: int = 256) -> LlamaCppEagle3:
    return LlamaCppEagle3(file.path, file.vocabulary, cells, 1)


class Definition:
    """The head by its definition in the EAGLE repository (cnets.py), in PyTorch, without a cache.

    normed: the residual is the normed state, as in heads of vLLM's speculators. frequencies float[WIDTH / 2].
    """

    def __init__(
        self, tensors: Mapping[str, np.ndarray], *, normed: bool = False, frequencies: Floats | None = None
    ) -> None:
        import torch

        self.torch = torch
        self.w = {name.removeprefix("midlayer."): torch.from_numpy(np.array(t)) for name, t in tensors.items()}
        self.normed = normed
        usual = 1.0 / THETA ** (torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
        self.frequencies = usual if frequencies is None else torch.from_numpy(np.asarray(frequencies, np.float64))

    def fuse(self, features: Floats) -> Floats:
        product: Floats = (self.torch.from_numpy(features) @ self.w["fc.weight"].T).numpy()
        return product

    def forward(
        self, tokens: Sequence[int], states: Floats, positions: Sequence[int], sees: np.ndarray
    ) -> tuple[Floats, Floats]:
        """Logits float[n, K] and states float[n, D] of n pairs. sees bool[n, n]: which pairs each one attends to."""
        torch, w = self.torch, self.w
        state = torch.from_numpy(np.array(states, np.float32))
        hidden = self._norm(state, w["hidden_norm.weight"])
        x = torch.cat([self._norm(w["embed_tokens.weight"][list(tokens)], w["input_layernorm.weight"]), hidden], dim=-1)
        q, k, v = (x @ w[f"self_attn.{name}_proj.weight"].T for name in "qkv")
        q, k = self._rotate(q, HEADS, positions), self._rotate(k, KV_HEADS, positions)
        v = v.view(len(tokens), KV_HEADS, WIDTH)
        k, v = (part.repeat_interleave(HEADS // KV_HEADS, dim=1) for part in (k, v))
        scores = torch.einsum("nhw,mhw->hnm", q, k) / WIDTH**0.5
        scores = scores.masked_fill(~torch.from_numpy(sees), float("-inf"))
        mixed = torch.einsum("hnm,mhw->nhw", scores.softmax(-1), v).reshape(len(tokens), -1)
        x = (hidden if self.normed else state) + mixed @ w["self_attn.o_proj.weight"].T
        normal = self._norm(x, w["post_attention_layernorm.weight"])
        gate = torch.nn.functional.silu(normal @ w["mlp.gate_proj.weight"].T)
        x = x + (gate * (normal @ w["mlp.up_proj.weight"].T)) @ w["mlp.down_proj.weight"].T
        return (self._norm(x, w["norm.weight"]) @ w["lm_head.weight"].T).numpy(), x.numpy()

    def path(self, features: Floats, tokens: Sequence[int], nodes: Sequence[int]) -> tuple[Floats, Floats]:
        """Logits float[K] and state float[D] after committed pairs and a path of draft tokens.

        features float[n, 3 * D]: at the first n of `tokens` int[n + 1].
        """
        states = self.fuse(features)
        following = list(tokens[1:])
        for length in range(len(nodes) + 1):
            n = len(following)
            sees = np.tril(np.ones((n, n), np.bool_))
            logits, own = self.forward(following, states, range(n), sees)
            if length < len(nodes):
                following.append(nodes[length])
                states = np.concatenate([states, own[-1:]])
        return logits[-1], own[-1]

    def _norm(self, x: Any, weight: Any) -> Any:
        return weight * x * self.torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)

    def _rotate(self, x: Any, heads: int, positions: Sequence[int]) -> Any:
        torch = self.torch
        x = x.view(len(x), heads, WIDTH)
        angles = torch.tensor(list(positions), dtype=torch.float64)[:, None] * self.frequencies
        cos, sin = (torch.cat([f(angles)] * 2, dim=-1).float()[:, None] for f in (torch.cos, torch.sin))
        half = WIDTH // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


def features(count: int, seed: int = 7, target: HeadTarget = TARGET) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 3 * target.hidden_size)).astype(np.float32)


def ids(count: int, seed: int = 3, n_vocab: int = TARGET.n_vocab) -> Ints:
    return np.random.default_rng(seed).integers(0, n_vocab, count).astype(np.int32)


class HashedInputs:
    """Inputs of three layers for these ids, each a hash of everything up to it."""

    def __init__(self, held: Sequence[int], target: HeadTarget = TARGET) -> None:
        self.ids, self._target = list(held), target

    @property
    def states(self) -> Floats:
        rows = [hashed_input(self.ids[: end + 1], self._target) for end in range(len(self.ids))]
        return np.array(rows, np.float32).reshape(-1, 3 * self._target.hidden_size)


def hashed_input(prefix: Sequence[int], target: HeadTarget = TARGET) -> Floats:
    digest = hashlib.blake2b(repr(tuple(prefix)).encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    return rng.standard_normal(3 * target.hidden_size).astype(np.float32)


@cache
def loaded(n_vocab: int = TARGET.n_vocab) -> LlamaCppEagle3:
    """A head that is loaded once and never closed. With fewer ids than TARGET's it drafts all of them."""
    target = replace(TARGET, n_vocab=n_vocab)
    vocabulary = VOCABULARY if n_vocab == TARGET.n_vocab else np.arange(n_vocab)
    made = weights(0, target, vocabulary)
    with TemporaryDirectory() as folder:
        changes = {"vocab_size": n_vocab}
        file = head(Path(folder) / "head", target=target, tensors=made, changes=changes)
        return LlamaCppEagle3(file.path, file.vocabulary, 64, 1)
