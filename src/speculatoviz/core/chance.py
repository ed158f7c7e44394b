"""The only source of randomness: every choice is a pure function of (seed, stream, round, node).

Because the choices are counter-based, a client and a server derive the same values, a round that is sent twice gets
the same verdict, drafting ahead does not change the text, and a proof can enumerate all outcomes with a scripted
Chance.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

import numpy as np

from speculatoviz.core.types import Floats

RandomStream = Literal["draft", "verify"]
EXTRA = -1  # the node under which the extra token is drawn, the one after the accepted path

_BLOCK = 512
_STREAM_KEY: dict[RandomStream, int] = {"draft": 0, "verify": 1}
_KEY_BITS = 63  # a key fits into a signed 64-bit integer, which wire formats carry


class Toss(NamedTuple):
    """uniform: the random number that decided, None if the outcome was certain."""

    accepted: bool
    uniform: float | None


class Chance(Protocol):
    """The random choices of one round in one stream."""

    def accept(self, prob: float, node: int) -> Toss:
        """True with probability `prob`, clipped to [0, 1]. No random number is used if the outcome is certain."""

    def draw(self, weights: Floats, node: int) -> int:
        """An index with probability proportional to weights float[n], at least one of them positive.

        No random number is used if there is only one.
        """


class ChanceSource(Protocol):
    """Gives each round of each stream its own Chance."""

    def __call__(self, stream: RandomStream, round: int) -> Chance: ...


def run_seed(seed: int, turn: int = 0) -> int:
    """The seed of one run, 0 to 2^63 - 1, from any integer and the turn of a conversation (0: the first answer).

    The answers of a conversation under one seed must not reuse each other's random numbers, so the turn enters. For
    turn 0 and a seed within the range the seed itself is returned; everything else is hashed.
    """
    if turn == 0 and 0 <= seed < 1 << _KEY_BITS:
        return seed
    digest = blake2b(f"{seed}/{turn}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _KEY_BITS)


class SeededChance:
    """Philox counter-based choices. The key is (seed, stream), the counter (use, node, round). seed: any integer."""

    def __init__(self, seed: int, stream: RandomStream, round: int) -> None:
        self._key = (run_seed(seed), _STREAM_KEY[stream])
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
        if len(weights) == 1:
            return 0
        uniform = self._uniform(node, 1)
        if len(weights) <= _BLOCK:
            return _inverse(weights, uniform)[0]
        # Sum the vocabulary in blocks first: only one block then needs a cumulative sum.
        edge = len(weights) - len(weights) % _BLOCK
        sums = weights[:edge].reshape(-1, _BLOCK).sum(axis=1)
        block, within = _inverse(np.append(sums, weights[edge:].sum()), uniform)
        return block * _BLOCK + _inverse(weights[block * _BLOCK : (block + 1) * _BLOCK], within)[0]


def _inverse(weights: Floats, uniform: float) -> tuple[int, float]:
    """Inverse transform sampling: the index that `uniform` falls into, and the position within it, 0 to 1."""
    cumulative = np.cumsum(weights, dtype=np.float64)
    goal = uniform * float(cumulative[-1])
    index = int(np.searchsorted(cumulative, goal, side="right"))
    # The product can round up to the whole sum: the first index that reaches the sum has positive weight.
    index = min(index, int(np.searchsorted(cumulative, cumulative[-1], side="left")))
    before = float(cumulative[index - 1]) if index else 0.0
    return index, min(max((goal - before) / float(weights[index]), 0.0), 1.0)


def seeded(seed: int) -> ChanceSource:
    """Choices that repeat with the seed, which may be any integer."""

    def source(stream: RandomStream, round: int) -> Chance:
        return SeededChance(seed, stream, round)

    return source
