"""From logits to the distribution a token is drawn from: temperature, top-k, top-p, min-p, in that order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speculatoviz.core.chance import Chance
from speculatoviz.core.types import Floats, Ints, Sampling, Scores, Support

_TOP_P_FIRST_TRY = 1024
QUANTA = 1 << 16  # a quantised q counts its probabilities in these parts


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Unnormalised weights over the whole vocabulary, or over `ids` (ascending) only.

    weights float[V] or float[len(ids)]; total is their sum. Kept unnormalised because testing a draft needs one
    probability per row, and dividing a whole vocabulary costs as much as summing it.
    """

    weights: Floats
    total: float
    ids: Ints | None = None

    def prob(self, token: int) -> float:
        places, known = self._places(np.array([token], np.int32))
        return float(self.weights[places[0]]) / self.total if known[0] else 0.0

    def minus(self, q: Support, share: float = 1.0) -> Distribution:
        """norm(max(0, share p - q)), the residual of Leviathan et al. 2023, section 2.3; p where that has no mass."""
        weights = self.weights.copy()
        places, known = self._places(q.ids)
        left = weights[places[known]] - (q.probs[known] * (self.total / share)).astype(weights.dtype)
        weights[places[known]] = np.maximum(left, 0)
        total = float(weights.sum())
        return Distribution(weights, total, self.ids) if total > 0.0 else self

    def overlap(self, q: Support, share: float) -> float:
        """Sum of min(share p, q), over q's support."""
        places, known = self._places(q.ids)
        probs = self.weights[places[known]].astype(np.float64) / self.total
        return float(np.minimum(share * probs, q.probs[known]).sum())

    def entropy(self) -> float:
        """In nats."""
        probs = self.weights[self.weights > 0].astype(np.float64) / self.total
        return float(-(probs * np.log(probs)).sum())

    def draw(self, chance: Chance, node: int) -> int:
        index = chance.draw(self.weights, node)
        return index if self.ids is None else int(self.ids[index])

    def top(self, count: int) -> tuple[tuple[int, float], ...]:
        """The most probable (id, log-probability), for display."""
        order = _top_indices(self.weights, count)
        order = order[self.weights[order] > 0]
        ids = order if self.ids is None else self.ids[order]
        logs = np.log(self.weights[order].astype(np.float64) / self.total)
        return tuple(zip(ids.tolist(), logs.tolist(), strict=True))

    def dense(self, n_vocab: int) -> Floats:
        """Probabilities float[V]."""
        probs = np.zeros(n_vocab, self.weights.dtype)
        probs[slice(None) if self.ids is None else self.ids] = self.weights / self.total
        return probs

    def _places(self, tokens: Ints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Where each token's weight stands, and whether it has one."""
        if self.ids is None:
            places = tokens.astype(np.intp)
            return places, places < len(self.weights)
        places = np.searchsorted(self.ids, tokens)
        inside = np.minimum(places, len(self.ids) - 1)
        return inside, self.ids[inside] == tokens


def distribution(logits: Floats, sampling: Sampling) -> Distribution:
    """The distribution a model is sampled from.

    logits: float[V], not written to. At T=0 the point mass on the argmax, lowest id on ties.
    """
    if sampling.greedy:
        best = np.array([int(logits.argmax())], np.int32)
        return Distribution(np.ones(1, logits.dtype), 1.0, best)
    ids = top_ids(logits, sampling.top_k) if 0 < sampling.top_k < len(logits) else None
    weights = logits if ids is None else logits[ids]
    weights = weights - weights.max()
    if sampling.temperature != 1.0:
        weights *= weights.dtype.type(1.0 / sampling.temperature)
    np.exp(weights, out=weights)
    result = Distribution(weights, float(weights.sum()), ids)
    if sampling.top_p < 1.0:
        result = _keep(result, _nucleus(result, sampling.top_p))
    if sampling.min_p > 0.0:
        floor = result.weights.max() * result.weights.dtype.type(sampling.min_p)
        result = _keep(result, np.flatnonzero(result.weights >= floor).astype(np.int32))
    return result


def support(logits: Floats, sampling: Sampling, size: int) -> Support:
    """What a draft model draws from: its own `size` most probable tokens, filtered and renormalised.

    Any q is valid as long as tokens really are drawn from it, so a small support costs only acceptance.
    """
    ids = top_ids(logits, size) if size < len(logits) else np.arange(len(logits), dtype=np.int32)
    kept = distribution(logits[ids], sampling)
    chosen = ids if kept.ids is None else ids[kept.ids]
    return Support(chosen, kept.weights / kept.weights.dtype.type(kept.total))


def without(q: Support, token: int) -> Support | None:
    """What a later sibling is drawn from: q without `token`, renormalised; None where nothing is left of it."""
    kept = q.ids != token
    left = q.probs[kept]
    mass = left.sum()
    return Support(q.ids[kept], left / mass) if mass > 0 else None


def quantised(q: Support) -> Support:
    """q in whole multiples of 2^-16 by largest remainders, float64; what rounds to nothing leaves the support.

    Such a q sums to exactly 1 and is the same on both sides of a wire: it has to be quantised before a token is
    drawn from it, never after.
    """
    shares = q.probs.astype(np.float64) * (QUANTA / float(q.probs.sum(dtype=np.float64)))
    counts = np.floor(shares).astype(np.int64)
    short = QUANTA - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:short]] += 1
    kept = counts > 0
    return Support(q.ids[kept], counts[kept] / QUANTA)


def scores(logits: Floats, token: int, count: int) -> Scores:
    """The raw opinion of a model (T=1, unfiltered) on `token`, with its entropy and `count` alternatives."""
    shifted = logits - logits.max()
    weights = np.exp(shifted)
    total = float(weights.sum())
    log_total = float(np.log(total))
    top = _top_indices(logits, count)
    # sum p log p = sum p (shifted - log total); rows of minus infinity carry no mass and must not become NaN
    mean = float(np.dot(weights, np.where(weights > 0, shifted, 0))) / total
    return Scores(
        logprob=float(shifted[token]) - log_total,
        entropy=max(0.0, log_total - mean),
        top=tuple((int(i), float(shifted[i]) - log_total) for i in top),
    )


def top_ids(logits: Floats, count: int) -> Ints:
    """Ids of the `count` largest logits, ascending by id; of equals at the edge the lowest ids stay."""
    edge = np.partition(logits, len(logits) - count)[len(logits) - count]
    ids = np.flatnonzero(logits >= edge)
    surplus = len(ids) - count
    if surplus:
        at_edge = np.flatnonzero(logits[ids] == edge)
        ids = np.delete(ids, at_edge[len(at_edge) - surplus :])
    return ids.astype(np.int32)


def _top_indices(values: Floats, count: int) -> Ints:
    """Indices of the `count` largest values, largest first, lowest index first among equals."""
    ids = top_ids(values, min(count, len(values))) if count < len(values) else np.arange(len(values), dtype=np.int32)
    return ids[np.argsort(-values[ids], kind="stable")]


def _nucleus(p: Distribution, top_p: float) -> Ints:
    """Places of the smallest set of most probable tokens whose mass reaches top_p (Holtzman et al. 2020)."""
    for count in (_TOP_P_FIRST_TRY, len(p.weights)):
        order = _top_indices(p.weights, count)
        mass = np.cumsum(p.weights[order], dtype=np.float64)
        if mass[-1] >= top_p * p.total or len(order) == len(p.weights):
            last = int(np.searchsorted(mass, top_p * p.total * (1 - 1e-12), side="left"))
            return np.sort(order[: last + 1])
    raise AssertionError("unreachable")


def _keep(p: Distribution, places: Ints) -> Distribution:
    weights = p.weights[places]
    ids = places.astype(np.int32) if p.ids is None else p.ids[places]
    return Distribution(weights, float(weights.sum()), ids)


def covered_mass(logits: Floats, q: Support, sampling: Sampling) -> float:
    """Share of the model's own distribution, at the sampling temperature, that lies on q's support."""
    shifted = (logits - logits.max()) / logits.dtype.type(sampling.temperature)
    weights = np.exp(shifted)
    return float(weights[q.ids].sum()) / float(weights.sum())
