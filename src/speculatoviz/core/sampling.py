"""From logits to the distribution that a token is drawn from: temperature, top-k, top-p, min-p, in that order.

Every distribution made here is finite: logits that are not raise NotFiniteError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speculatoviz.core.chance import Chance
from speculatoviz.core.types import Floats, Ints, Sampling, Scores, Support
from speculatoviz.errors import NotFiniteError

_TOP_P_FIRST_TRY = 1024
_NO_MASS = -1e4  # relative to the largest logit: its weight is 0 as that of minus infinity, whose product is NaN
_GROUP = 64  # logits, to find the largest of a vocabulary
QUANTA = 1 << 16  # a quantised q holds its probabilities in multiples of 1 / QUANTA


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Unnormalised weights over the whole vocabulary, or over `ids` only.

    weights float[V], or float[S] with ids int32[S] ascending. total: their sum. prob(x) = weight(x) / total. The
    weights stay unnormalised because a test needs one probability of a row, and to divide V numbers costs as much as to
    sum them.
    """

    weights: Floats
    total: float
    ids: Ints | None = None

    def prob(self, token: int) -> float:
        """The probability of a token."""
        places, known = self._places(np.array([token], np.int32))
        return float(self.weights[places[0]]) / self.total if known[0] else 0.0

    def probs(self, tokens: Ints) -> npt.NDArray[np.float64]:
        """The probabilities float64[n] of tokens int32[n]."""
        places, known = self._places(tokens)
        weights = self.weights[np.minimum(places, len(self.weights) - 1)]
        return np.where(known, weights.astype(np.float64) / self.total, 0.0)

    def mass(self, tokens: Ints) -> float:
        """The probability of all of tokens int32[n], which are ascending and unique."""
        if self.ids is None:
            known = tokens[: np.searchsorted(tokens, len(self.weights))]
            return float(self.weights[known].sum()) / self.total
        places = np.minimum(np.searchsorted(tokens, self.ids), len(tokens) - 1)
        return float(self.weights[tokens[places] == self.ids].sum()) / self.total

    def minus(self, q: Support, share: float = 1.0) -> Distribution:
        """The residual norm(max(0, share p - q)) (Leviathan et al. 2023, section 2.3); p itself if that has no mass."""
        weights = self.weights.copy()
        places, known = self._places(q.ids)
        left = weights[places[known]] - (q.probs[known] * (self.total / share)).astype(weights.dtype)
        weights[places[known]] = np.maximum(left, 0)
        total = float(weights.sum())
        return Distribution(weights, total, self.ids) if total > 0.0 else self

    def overlap(self, q: Support, share: float) -> float:
        """sum min(share p, q) over the support of q."""
        places, known = self._places(q.ids)
        probs = self.weights[places[known]].astype(np.float64) / self.total
        return float(np.minimum(share * probs, q.probs[known]).sum())

    def entropy(self) -> float:
        """-sum p log p, in nats."""
        probs = self.weights[self.weights > 0].astype(np.float64) / self.total
        return float(-(probs * np.log(probs)).sum())

    def draw(self, chance: Chance, node: int) -> int:
        """A token id drawn with the random number of `node`."""
        index = chance.draw(self.weights, node)
        return index if self.ids is None else int(self.ids[index])

    def top(self, count: int) -> tuple[tuple[int, float], ...]:
        """The `count` most probable (id, log-probability), most probable first, for display."""
        order = _top_indices(self.weights, count)
        order = order[self.weights[order] > 0]
        ids = order if self.ids is None else self.ids[order]
        logs = np.log(self.weights[order].astype(np.float64) / self.total)
        return tuple(zip(ids.tolist(), logs.tolist(), strict=True))

    def dense(self, n_vocab: int) -> Floats:
        """The probabilities float[V]."""
        probs = np.zeros(n_vocab, self.weights.dtype)
        probs[slice(None) if self.ids is None else self.ids] = self.weights / self.total
        return probs

    def _places(self, tokens: Ints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """The index of each token's weight, and whether it has one."""
        if self.ids is None:
            places = tokens.astype(np.intp)
            return places, places < len(self.weights)
        places = np.searchsorted(self.ids, tokens)
        inside = np.minimum(places, len(self.ids) - 1)
        return inside, self.ids[inside] == tokens


def distribution(logits: Floats, sampling: Sampling) -> Distribution:
    """The distribution that a model with these settings is sampled from.

    logits: float[V], not written to. At T=0 the point mass on the argmax, the lowest id if several are equal. Raises
    NotFiniteError if the logits give no distribution.
    """
    if sampling.greedy:
        return Distribution(np.ones(1, logits.dtype), 1.0, np.array([best_id(logits)], np.int32))
    ids = None
    if 0 < sampling.top_k < len(logits):
        best_id(logits)  # a NaN would drop out of the most probable ones unnoticed
        ids = top_ids(logits, sampling.top_k)
    weights = logits if ids is None else logits[ids]
    weights = weights - weights.max()
    if sampling.temperature != 1.0:
        weights *= weights.dtype.type(1.0 / sampling.temperature)
    np.exp(weights, out=weights)
    result = Distribution(weights, float(weights.sum()), ids)
    if not math.isfinite(result.total):
        raise NotFiniteError
    if sampling.top_p < 1.0:
        result = _keep(result, _nucleus(result, sampling.top_p))
    if sampling.min_p > 0.0:
        floor = result.weights.max() * result.weights.dtype.type(sampling.min_p)
        result = _keep(result, np.flatnonzero(result.weights >= floor).astype(np.int32))
    return result


def best_id(logits: Floats) -> int:
    """The argmax of logits float[V], the lowest id if several are equal. Raises NotFiniteError.

    argmax returns the index of a NaN if there is one, so the check costs nothing.
    """
    best = int(logits.argmax())
    if not math.isfinite(float(logits[best])):
        raise NotFiniteError
    return best


def largest_prob(logits: Floats, sampling: Sampling) -> float:
    """The largest probability of logits float[V] at the sampling's temperature, at 1 if it is greedy; no filters."""
    weights = logits - logits[best_id(logits)]
    # In place from here on: to allocate an array of this size costs as much as to fill it.
    if not sampling.greedy and sampling.temperature != 1.0:
        weights *= logits.dtype.type(1.0 / sampling.temperature)
    np.exp(weights, out=weights)
    return 1.0 / float(weights.sum())


def support(logits: Floats, sampling: Sampling, size: int) -> Support:
    """The q of a draft model: its `size` most probable tokens, filtered and renormalised.

    Any q is valid as long as the tokens are drawn from it, so a small support costs only acceptance. Raises
    NotFiniteError if the logits give no distribution.
    """
    best_id(logits)  # a NaN would drop out of the most probable ones unnoticed
    ids = top_ids(logits, size) if size < len(logits) else np.arange(len(logits), dtype=np.int32)
    kept = distribution(logits[ids], sampling)
    chosen, weights = (ids if kept.ids is None else ids[kept.ids]), kept.weights
    if not weights.all():  # tokens that a mask does not allow
        chosen, weights = chosen[weights > 0], weights[weights > 0]
    return Support(chosen, weights / weights.dtype.type(kept.total))


def without(q: Support, token: int) -> Support | None:
    """The q of a later sibling: q without `token`, renormalised. None if no mass is left."""
    kept = q.ids != token
    left = q.probs[kept]
    mass = left.sum()
    return Support(q.ids[kept], left / mass) if mass > 0 else None


def quantised(q: Support) -> Support:
    """q in whole multiples of 2^-16, float64, by largest remainders. Ids whose share rounds to 0 leave the support.

    Such a q sums to exactly 1 and is bit-identical after a wire format. It must be quantised before a token is drawn
    from it, never after.
    """
    shares = q.probs.astype(np.float64) * (QUANTA / float(q.probs.sum(dtype=np.float64)))
    counts = np.floor(shares).astype(np.int64)
    short = QUANTA - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:short]] += 1
    kept = counts > 0
    return Support(q.ids[kept], counts[kept] / QUANTA)


def scores(logits: Floats, token: int, count: int) -> Scores:
    """A model's raw scores (T=1, no filters) from logits float[V]: of `token`, the entropy, `count` alternatives."""
    best = logits.max()
    shifted = logits - best
    weights = np.exp(shifted)
    total = float(weights.sum())
    log_total = math.log(total)
    np.maximum(shifted, _NO_MASS, out=shifted)
    mean = float(np.dot(weights, shifted)) / total  # sum p log p = sum p (shifted - log total)
    return Scores(
        logprob=float(logits[token] - best) - log_total,
        entropy=max(0.0, log_total - mean),
        top=tuple((int(i), float(logits[i] - best) - log_total) for i in _top_indices(logits, count)),
    )


def top_ids(logits: Floats, count: int) -> Ints:
    """The ids of the `count` largest logits, ascending. Of equal logits at the edge the lowest ids are kept."""
    candidates = _candidates(logits, count)
    values = logits if candidates is None else logits[candidates]
    edge = np.partition(values, len(values) - count)[len(values) - count]
    places = np.flatnonzero(values >= edge)
    surplus = len(places) - count
    if surplus:
        at_edge = np.flatnonzero(values[places] == edge)
        places = np.delete(places, at_edge[len(at_edge) - surplus :])
    return (places if candidates is None else candidates[places]).astype(np.int32)


def _candidates(logits: Floats, count: int) -> npt.NDArray[np.intp] | None:
    """Ascending ids among which the `count` largest logits are; None for all of them.

    1. Groups of logits: group g holds the ids g, g + G, g + 2G, ...; the maximum of each, float[G].
    2. The `count`-th largest maximum is a lower bound of the `count`-th largest logit.
    3. The ids that reach it are few. To partition them costs a tenth of partitioning a whole vocabulary, and far less
       where many logits are equal, as in a trimmed one.
    """
    groups = len(logits) // _GROUP
    if groups < 2 * count:
        return None
    maxima = logits[: groups * _GROUP].reshape(_GROUP, groups).max(axis=0)
    bound = np.partition(maxima, groups - count)[groups - count]
    if np.isneginf(bound):  # it would not leave anything out
        finite = np.flatnonzero(logits > bound)
        return finite if len(finite) >= count else None
    return np.flatnonzero(logits >= bound)


def _top_indices(values: Floats, count: int) -> Ints:
    """The indices of the `count` largest values, largest first; of equal values the lowest index first."""
    ids = top_ids(values, min(count, len(values))) if count < len(values) else np.arange(len(values), dtype=np.int32)
    return ids[np.argsort(-values[ids], kind="stable")]


def _nucleus(p: Distribution, top_p: float) -> Ints:
    """The indices of the smallest set of most probable tokens whose mass reaches top_p (Holtzman et al. 2020)."""
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
    """The share of the model's own distribution, at the sampling temperature, that lies on the support of q."""
    shifted = (logits - logits.max()) / logits.dtype.type(sampling.temperature)
    weights = np.exp(shifted)
    return float(weights[q.ids].sum()) / float(weights.sum())
