"""EAGLE's and Medusa's heads in NumPy, float32, for one chain: what the kernels have to compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.heads.file import EPSILON, HeadFile
from speculatoviz.heads.rows import TargetRows


def eagle_logits(file: HeadFile, rows: TargetRows, states: Floats, tokens: Sequence[int], drafted: int) -> Floats:
    """float32[drafted, K]: after n pairs, then along the chain of the last `drafted` - 1 tokens.

    states float32[n, D] after the first n of `tokens` int[n + drafted]: the next committed one, then those of a draft.
    """
    n, own, found = len(states), states, []
    x = np.empty((0, file.hidden_size), np.float32)
    for length in range(n, n + drafted):
        fresh = range(len(x), length)
        x = np.concatenate([x, [_input(file, rows, own[place], tokens[place], tokens[place + 1]) for place in fresh]])
        state = _layer(file, x.astype(np.float32))
        own = np.concatenate([own, state[None]])
        found.append(rows.output(file.vocabulary) @ state)
    return np.array(found, np.float32)


def medusa_logits(file: HeadFile, rows: TargetRows, state: Floats) -> Floats:
    """float32[heads, K]."""
    found = []
    for head in range(int(file.numbers["heads"])):
        x = _norm(state)
        for block in range(int(file.numbers["blocks"])):
            x = x + _silu(file.tensors[f"weight_{head}_{block}"] @ x + file.tensors[f"bias_{head}_{block}"])
        found.append(rows.output(file.vocabulary) @ (file.tensors[f"map_{head}"] @ x))
    return np.array(found, np.float32)


def _input(file: HeadFile, rows: TargetRows, state: Floats, token: int, following: int) -> Floats:
    w = file.tensors
    embeddings = [_norm(rows.embed([own])[0]) * w["embedding_norm"] for own in (following, token)]
    return w["fc"] @ np.concatenate([_norm(state) * w["state_norm"], *embeddings])


def _layer(file: HeadFile, x: Floats) -> Floats:
    """s' float32[D] after the last of n inputs float32[n, D]."""
    w, (heads, width, window) = file.tensors, (int(file.numbers[name]) for name in ("heads", "width", "window"))
    start = max(0, len(x) - window)
    places, normal = np.arange(start, len(x)), _norm(x[start:]) * w["attention_norm"]
    query, keys = (_rotated((normal @ w[name].T).reshape(-1, heads, width), places, file) for name in ("q", "k"))
    values = (normal @ w["v"].T).reshape(-1, heads, width)
    scores = np.einsum("hw,nhw->hn", query[-1], keys) / np.sqrt(width)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    mixed = np.einsum("hn,nhw->hw", weights / weights.sum(1, keepdims=True), values)
    own = x[-1] + w["o"] @ mixed.reshape(-1).astype(np.float32)
    inner = _norm(own) * w["mlp_norm"]
    own = own + w["down"] @ (_silu(w["gate"] @ inner) * (w["up"] @ inner))
    return (_norm(own) * w["output_norm"]).astype(np.float32)


def _rotated(x: Floats, positions: np.ndarray, file: HeadFile) -> Floats:
    half = x.shape[-1] // 2
    angles = positions[:, None, None] * float(file.numbers["theta"]) ** (-np.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    turned = [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)]
    return np.concatenate(turned, axis=-1).astype(np.float32)


def _norm(x: Floats) -> Floats:
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + EPSILON)


def _silu(x: Floats) -> Floats:
    return x / (1 + np.exp(-x))
