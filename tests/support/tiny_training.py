"""Dialogues and target matrices of a few numbers, to train tiny heads on."""

from __future__ import annotations

import numpy as np

from speculatoviz.heads.file import HeadFile
from speculatoviz.train.store import Dialogue
from support.tiny_heads import HIDDEN, VOCABULARY, TinyRows


def dialogue(seed: int, length: int = 12, template: int = 2) -> Dialogue:
    """A text in which every token follows from the one before, and states whose most probable token is the next.

    The inputs of its inner layers: the embedding of the token, numbers that mean nothing, and the state with noise.
    """
    rows = TinyRows().output(np.arange(5, dtype=np.int32))
    tokens = [seed % 5]
    for place in range(length):
        tokens.append((2 * tokens[-1] + 1 + (place % 3 == seed % 3)) % 5)
    rng = np.random.default_rng(seed)
    states = np.linalg.pinv(rows)[:, tokens[1:]].T * 12 + rng.standard_normal((length, HIDDEN)) * 0.05
    layers = [20 * TinyRows().embed(tokens[:-1]), rng.standard_normal((length, HIDDEN)), states / 4]
    authors = np.array([0] * template + [2] * (length - template), np.uint8)
    inputs = np.concatenate(layers, axis=1)
    return Dialogue(np.array(tokens[:-1], np.int32), authors, states.astype(np.float16), inputs.astype(np.float16))


def file_of(kind: str, numbers: dict[str, float], weights: dict[str, np.ndarray]) -> HeadFile:
    return HeadFile(kind, "toy", "f" * 16, HIDDEN, VOCABULARY, weights, numbers)  # type: ignore[arg-type]
