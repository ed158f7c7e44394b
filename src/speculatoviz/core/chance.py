"""The only source of randomness: every choice is a pure function of (seed, stream, round, node).

Counter-based, so a client and a server derive the same values, a round sent twice gets the same verdict, drafting
ahead does not change the text, and a proof can enumerate every outcome through a scripted Chance.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np

from speculatoviz.core.types import Floats

Stream = Literal["draft", "verify"]
EXTRA = -1  # the node under which the token behind the accepted path is drawn

_BLOCK = 512
_STREAM_KEY: dict[Stream, int] = {"draft": 0, "verify": 1}


class Toss(NamedTuple):
    accepted: bool
    uniform: float | None


class Chance(Protocol):
    """The choices of one round in one stream."""

    def accept(self, prob: float, node: int) -> Toss:
        """True with probability `prob`, clipped to [0, 1]; no uniform is used where the outcome is certain."""

    def draw(self, weights: Floats, node: int) -> int:
        """An index with probability proportional to `weights` (at least one positive)."""


class ChanceSource(Protocol):
    """Gives each round of each stream its own Chance."""

    def __call__(self, stream: Stream, round: int) -> Chance: ...


class SeededChance:
    """Philox counter-based choices, keyed by seed and stream, counted by round and node."""

    def __init__(self, seed: int, stream: Stream, round: int) -> None:
        self._key = (seed, _STREAM_KEY[stream])
        self._round = round

    def _uniform(self, node: int, use: int) -> float:
        bits = np.random.Philox(key=self._key, counter=(0, use, node + 1, self._round))
        return float(np.random.Generator(bits).random())

    def accept(self, prob: float, node: int) -> Toss:
        if prob >= 1.0 or prob <= 0.0:
            return Toss(prob >= 1.0, None)
        uniform = self._uniform(node, 0)
        return Toss(uniform < prob, uniform)

    def draw(self, weights: Floats, node: int) -> int:
        uniform = self._uniform(node, 1)
        if len(weights) <= _BLOCK:
            return _inverse(weights, uniform)[0]
        # Summing a vocabulary in blocks first spares the cumulative sum of all but one of them.
        edge = len(weights) - len(weights) % _BLOCK
        sums = weights[:edge].reshape(-1, _BLOCK).sum(axis=1)
        block, within = _inverse(np.append(sums, weights[edge:].sum()), uniform)
        return block * _BLOCK + _inverse(weights[block * _BLOCK : (block + 1) * _BLOCK], within)[0]


def _inverse(weights: Floats, uniform: float) -> tuple[int, float]:
    """The index in which `uniform` falls, with probability proportional to its weight, and how far into it."""
    cumulative = np.cumsum(weights, dtype=np.float64)
    goal = uniform * float(cumulative[-1])
    index = int(np.searchsorted(cumulative, goal, side="right"))
    # The product can round up to the whole sum: the first index that reaches it has positive weight.
    index = min(index, int(np.searchsorted(cumulative, cumulative[-1], side="left")))
    before = float(cumulative[index - 1]) if index else 0.0
    return index, min(max((goal - before) / float(weights[index]), 0.0), 1.0)


def seeded(seed: int) -> ChanceSource:
    """Choices that repeat with the seed."""

    def source(stream: Stream, round: int) -> Chance:
        return SeededChance(seed, stream, round)

    return source
