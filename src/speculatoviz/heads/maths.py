"""Layers of heads in NumPy, float32; training computes the same in PyTorch."""

from __future__ import annotations

import numpy as np

from speculatoviz.core.types import Floats, Ints

EPSILON = 1e-5


def rms_norm(x: Floats, weight: Floats) -> Floats:
    """x / sqrt(mean(x^2) + EPSILON) * weight, of x float[..., D] and weight float[D] (Zhang and Sennrich 2019)."""
    mean = np.square(x).mean(-1, keepdims=True)
    scaled: Floats = x / np.sqrt(mean + x.dtype.type(EPSILON)) * weight
    return scaled


def silu(x: Floats) -> Floats:
    """x * sigmoid(x)."""
    result: Floats = x / (1 + np.exp(-x))
    return result


def softmax(x: Floats) -> Floats:
    """exp(x) / sum(exp(x)), over the last axis."""
    weights = np.exp(x - x.max(-1, keepdims=True))
    result: Floats = weights / weights.sum(-1, keepdims=True)
    return result


def rotated(x: Floats, positions: Ints, theta: float) -> Floats:
    """x float[n, H, W] with rotary embeddings (Su et al. 2021, section 3.2.2).

    Element j of the first half of W and element j of the second are rotated by positions * theta^(-2j / W).
    """
    half = x.shape[-1] // 2
    frequencies = theta ** (-np.arange(half, dtype=np.float64) / half)
    angles = positions[:, None] * frequencies
    cos, sin = (f(angles).astype(x.dtype)[:, None] for f in (np.cos, np.sin))
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
