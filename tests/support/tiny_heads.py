"""Heads of a few random numbers, and states that depend on the whole prefix: what drafters of heads are tested with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from speculatoviz.core.types import Floats, Ints
from speculatoviz.heads import eagle, medusa
from speculatoviz.heads.file import HeadFile

HIDDEN, VOCABULARY = 8, np.array([0, 1, 3, 4], np.int32)
EAGLE_NUMBERS = {"heads": 2, "width": 4, "inner": 12, "window": 6, "theta": 10_000.0}
MEDUSA_NUMBERS = {"heads": 3, "blocks": 2}


class TinyRows:
    """Random embedding and output rows of a target."""

    hidden_size = HIDDEN

    def __init__(self, n_vocab: int = 5) -> None:
        rng = np.random.default_rng(5)
        self._embedding = rng.standard_normal((n_vocab, HIDDEN)).astype(np.float32)
        self._output = rng.standard_normal((n_vocab, HIDDEN)).astype(np.float32)

    def embed(self, ids: Sequence[int] | Ints) -> Floats:
        return self._embedding[np.asarray(ids)]

    def output(self, ids: Sequence[int] | Ints) -> Floats:
        return self._output[np.asarray(ids)]


class HashedStates:
    """States of these ids, each a hash of everything up to it."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    @property
    def states(self) -> Floats:
        return np.array([state(self.ids[: end + 1]) for end in range(len(self.ids))], np.float32).reshape(-1, HIDDEN)


def state(ids: Sequence[int]) -> Floats:
    """float32[D] after a prefix."""
    digest = hashlib.blake2b(repr(tuple(ids)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(HIDDEN).astype(np.float32)


def eagle_file(**changes: object) -> HeadFile:
    numbers = EAGLE_NUMBERS
    shapes = eagle.shapes(HIDDEN, int(numbers["heads"]), int(numbers["width"]), int(numbers["inner"]))
    return _file("eagle", {name: _random(name, shape) for name, shape in shapes.items()}, numbers, changes)


def medusa_file(**changes: object) -> HeadFile:
    numbers = MEDUSA_NUMBERS
    shapes = medusa.shapes(HIDDEN, numbers["heads"], numbers["blocks"])
    return _file("medusa", {name: _random(name, shape) for name, shape in shapes.items()}, numbers, changes)


def eagle_head() -> eagle.EagleHead:
    return eagle.EagleHead(eagle_file(), TinyRows())


def medusa_heads() -> medusa.MedusaHeads:
    return medusa.MedusaHeads(medusa_file(), TinyRows())


def _random(name: str, shape: tuple[int, ...]) -> Floats:
    """Numbers that float16 holds exactly."""
    rng = np.random.default_rng(sum(name.encode()))
    return rng.standard_normal(shape).astype(np.float16).astype(np.float32)


def _file(kind: str, tensors: dict[str, Floats], numbers: dict[str, float], changes: dict[str, object]) -> HeadFile:
    fields: dict[str, object] = {
        "kind": kind,
        "target": "toy",
        "fingerprint": "f" * 16,
        "hidden_size": HIDDEN,
        "vocabulary": VOCABULARY,
        "tensors": tensors,
        "numbers": numbers,
        "card": {"tokens": 12},
    }
    return HeadFile(**(fields | changes))  # type: ignore[arg-type]
