"""Whether two samples of texts have one distribution: a permutation test, and the smallest fault that it finds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speculatoviz.lab.permutations import exchanged, labels, simulated_p_value

ALPHA = 0.01  # of the test
POWER = 0.8
_PERMUTATIONS = 999
_SIMULATIONS = 100
_SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)

Counts = npt.NDArray[np.float64]
Text = Sequence[Hashable]  # the tokens of one draw


@dataclass(frozen=True, slots=True)
class TwoSample:
    """The outcome of the test.

    draws: of each sample. distance: the sum over places of the total variation of the tokens there, a mean over the
    prompts. p_value: the share of random divisions of the pooled draws that are at least as far apart. caught: the
    smallest share of places at which a verifier that writes the most probable token in place of a draw would be found
    with a probability of 0.8; None if not even all places are enough.
    """

    draws: int
    distance: float
    p_value: float
    caught: float | None

    @property
    def differs(self) -> bool:
        return self.p_value < ALPHA


def two_sample(a: Sequence[Sequence[Text]], b: Sequence[Sequence[Text]], rng: np.random.Generator) -> TwoSample:
    """a[prompt][draw], b likewise, with the same number of draws for each prompt. Raises ValueError for no draws."""
    if not a or any(len(x) != len(y) or len(x) < 2 for x, y in zip(a, b, strict=True)):
        raise ValueError("expected two or more draws of each prompt, as many of both")
    prompts = [_Pooled([*x, *y]) for x, y in zip(a, b, strict=True)]
    observed, null = _distances(prompts, rng)
    caught = _caught(prompts, float(np.quantile(null, 1.0 - ALPHA)), rng)
    return TwoSample(sum(len(x) for x in a), observed, simulated_p_value(observed, null), caught)


def p_value(a: Sequence[Sequence[Text]], b: Sequence[Sequence[Text]], rng: np.random.Generator) -> float:
    """That of `two_sample` alone, without the simulations of its power."""
    return simulated_p_value(*_distances([_Pooled([*x, *y]) for x, y in zip(a, b, strict=True)], rng))


def _distances(prompts: Sequence[_Pooled], rng: np.random.Generator) -> tuple[float, Counts]:
    """The distance of the two samples, and those of random divisions of the pooled draws, float[permutations]."""
    drawn = [labels(pooled.half, 2 * pooled.half) for pooled in prompts]
    both = list(zip(prompts, drawn, strict=True))
    observed = float(np.mean([pooled.distances(own)[0] for pooled, own in both]))
    null: Counts = np.mean([pooled.distances(exchanged(own, _PERMUTATIONS, rng)) for pooled, own in both], axis=0)
    return observed, null


class _Pooled:
    """The draws of both samples for one prompt: codes int[2n, L], one number for each token at each place."""

    def __init__(self, draws: Sequence[Text]) -> None:
        self.half = len(draws) // 2
        self.places = max((len(draw) for draw in draws), default=0)
        names: dict[tuple[int, Hashable], int] = {}
        self.codes = np.full((len(draws), self.places), -1, np.int64)
        for row, draw in enumerate(draws):
            for place in range(self.places):
                token = draw[place] if place < len(draw) else None  # the end of a text is an outcome, too
                self.codes[row, place] = names.setdefault((place, token), len(names))
        self.count = len(names)
        self.shown = _indicators(self.codes, self.count)

    def distances(self, divisions: npt.NDArray[np.float32]) -> Counts:
        """For each division float32[count, 2n] the sum over places of the total variation, float[count]."""
        ours = divisions @ self.shown
        apart: Counts = np.abs(2.0 * ours - self.shown.sum(axis=0)).sum(axis=1) / (2.0 * self.half)
        return apart

    def faulty(self, share: float, rng: np.random.Generator) -> float:
        """The distance of two samples of the pooled draws, one with the usual token at a share of its places."""
        rows = rng.integers(0, len(self.codes), 2 * self.half)
        codes = self.codes[rows]
        usual = np.array([np.bincount(column).argmax() for column in self.codes.T])
        broken = rng.random((self.half, self.places)) < share
        codes[self.half :] = np.where(broken, usual, codes[self.half :])
        shown = _indicators(codes, self.count)
        ours, theirs = shown[: self.half].sum(axis=0), shown[self.half :].sum(axis=0)
        return float(np.abs(ours - theirs).sum() / (2.0 * self.half))


def _indicators(codes: npt.NDArray[np.int64], count: int) -> Counts:
    """float[rows, count]: 1 where a row has that token at that place."""
    shown = np.zeros((len(codes), count))
    for place in range(codes.shape[1]):
        shown[np.arange(len(codes)), codes[:, place]] = 1.0
    return shown


def _caught(prompts: Sequence[_Pooled], critical: float, rng: np.random.Generator) -> float | None:
    for share in _SHARES:
        far = sum(
            float(np.mean([pooled.faulty(share, rng) for pooled in prompts])) > critical for _ in range(_SIMULATIONS)
        )
        if far >= POWER * _SIMULATIONS:
            return share
    return None
