"""The overlap of draft and target at a token, from the most probable tokens of both models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speculatoviz.core.sampling import Distribution
from speculatoviz.core.truncated import Row, estimate
from speculatoviz.core.types import Sampling
from speculatoviz.telemetry.parts import TopToken


class Estimate(NamedTuple):
    """Lower bounds of p(x) and of sum min(p, q), and by how much the sum can be larger at most.

    x is the drafted token, q the distribution that it could have been drawn from at the target's sampling.
    """

    target_prob: float
    shared: float
    unknown: float


def estimated(
    token: int, target: Sequence[TopToken], draft: Sequence[TopToken], sampling: Sampling, n_vocab: int
) -> Estimate | None:
    """The estimate for a drafted token, from the raw scores (T=1, no filters) of both models.

    Of each model's tokens outside its list at most their mass is known ("Truncated scores" in docs/exactness.md). None
    if a list is empty or contradicts itself.
    """
    p, q = (_bounded(top, sampling, n_vocab) for top in (target, draft))
    if p is None or q is None:
        return None
    (known, missing), (drafted, draft_missing) = p, q
    listed = (np.arange(n_vocab, dtype=np.int32) if ids is None else ids for ids in (known.ids, drafted.ids))
    tokens = np.union1d(*listed)
    shared = float(np.minimum(known.probs(tokens), drafted.probs(tokens)).sum())
    return Estimate(known.prob(token), shared, max(0.0, min(missing + draft_missing, 1.0 - shared)))


def _bounded(top: Sequence[TopToken], sampling: Sampling, n_vocab: int) -> tuple[Distribution, float] | None:
    """`truncated.estimate` of a list of most probable tokens."""
    if not top:
        return None
    ids = np.array([one.token_id for one in top], np.int32)
    logprobs = np.array([one.logprob for one in top])
    try:
        return estimate(Row(ids, logprobs, len(top), n_vocab), sampling)
    except ValueError:
        return None
