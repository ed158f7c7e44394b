"""Exhaustive enumeration: every choice that randomness could make, with its probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from speculatoviz.core.chance import Chance, ChanceSource, RandomStream, Toss
from speculatoviz.core.types import Floats

T = TypeVar("T")


class Script:
    """A Chance for every stream and round that follows a script of choices and notes their probability."""

    def __init__(self) -> None:
        self._path: list[tuple[int, tuple[float, ...]]] = []
        self._at = 0

    def source(self) -> ChanceSource:
        def scripted(stream: RandomStream, round: int) -> Chance:
            del stream, round
            return self

        return scripted

    def accept(self, prob: float, node: int) -> Toss:
        del node
        if prob >= 1.0 or prob <= 0.0:
            return Toss(prob >= 1.0, None)
        return Toss(self._choose((prob, 1.0 - prob)) == 0, None)

    def draw(self, weights: Floats, node: int) -> int:
        del node
        probs = np.asarray(weights, np.float64) / float(np.sum(weights, dtype=np.float64))
        return self._choose(tuple(probs.tolist()))

    def outcomes(self, experiment: Callable[[], T]) -> Iterator[tuple[float, T]]:
        """Run the experiment once for every possible sequence of choices; yields (probability, result)."""
        self._path = []
        while True:
            self._at = 0
            result = experiment()
            assert self._at == len(self._path), "the experiment did not repeat its own beginning"
            yield float(np.prod([probs[choice] for choice, probs in self._path])), result
            if not self._advance():
                return

    def _choose(self, probs: tuple[float, ...]) -> int:
        if self._at == len(self._path):
            self._path.append((_next_possible(probs, 0), probs))
        choice, noted = self._path[self._at]
        assert noted == probs, "the experiment did not repeat its own beginning"
        self._at += 1
        return choice

    def _advance(self) -> bool:
        while self._path:
            choice, probs = self._path.pop()
            following = _next_possible(probs, choice + 1)
            if following < len(probs):
                self._path.append((following, probs))
                return True
        return False


def _next_possible(probs: tuple[float, ...], start: int) -> int:
    return next((i for i in range(start, len(probs)) if probs[i] > 0.0), len(probs))
