"""Rows of scores as endpoints show them, of distributions that are known in full."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.truncated import Row
from speculatoviz.core.types import Floats, Sampling

EXACT = 1e-12
ROUNDING = 1e-9
V = 60
TOPS = [1, 2, 5, 20]
FILTERS: dict[str, dict[str, float]] = {
    "unfiltered": {},
    "top-k 4": {"top_k": 4},
    "top-k 22": {"top_k": 22},
    "top-p .5": {"top_p": 0.5},
    "top-p .95": {"top_p": 0.95},
    "min-p .07": {"min_p": 0.07},
    "min-p .0013": {"min_p": 0.0013},
    "top-k 30, top-p .9, min-p .013": {"top_k": 30, "top_p": 0.9, "min_p": 0.013},
}

Estimate = Callable[[Row, Sampling], tuple[Distribution, float]]


def sampling_of(temperature: float, name: str) -> Sampling:
    return Sampling(temperature, **FILTERS[name])


def raw(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def endpoint(logits: Floats, top_n: int, *further: int, slack: float = 1e-5) -> Row:
    """What an endpoint says of its `top_n` most probable tokens (lowest id first among equals) and of others."""
    logprobs = raw(logits)
    top = np.argsort(-logprobs, kind="stable")[:top_n].tolist()
    ids = np.array([*top, *(token for token in further if token not in top)], np.int32)
    return Row(ids, logprobs[ids], top_n, len(logits), slack)


def families(rng: np.random.Generator) -> dict[str, Floats]:
    zipf = -rng.uniform(0.7, 2.5) * np.log(np.arange(1, V + 1))
    peak = rng.normal(size=V)
    peak[rng.integers(V)] = rng.uniform(10, 14)
    return {
        "peaked": peak,
        "flat": rng.normal(scale=0.3, size=V),
        "normal": rng.normal(scale=rng.uniform(1, 4), size=V),
        "zipf": rng.permutation(zipf),
        "ties": rng.integers(-3, 3, size=V).astype(np.float64),
        "even": np.zeros(V),
        "plateau": rng.permutation(np.repeat([0.0, -rng.uniform(2, 9)], [8, V - 8])),
        "impossible": np.where(rng.random(V) < 0.7, -np.inf, rng.normal(size=V)),
    }


def cases(seeds: int) -> Iterator[tuple[str, Floats, Row]]:
    """Every family, with the scores of the top alone and with those of one or two drafted tokens beside it."""
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for (name, logits), top_n in itertools.product(families(rng).items(), TOPS):
            drafted = rng.integers(V, size=int(rng.integers(3))).tolist()
            if np.isfinite(logits).any():
                yield name, logits, endpoint(logits, top_n, *dict.fromkeys(drafted))


def variation(found: Distribution, p: Floats) -> float:
    """TV(p-hat, p), p-hat being what is drawn from the Distribution."""
    drawn = found.dense(len(p)) * found.total / found.weights.sum()
    return float(np.abs(drawn - p).sum()) / 2


def failures(estimator: Estimate, seeds: int, sampling: Sampling) -> list[str]:
    """Where an estimator claims more than is true."""
    found = []
    for name, logits, row in cases(seeds):
        p = distribution(logits, sampling).dense(V)
        p_hat, bound = estimator(row, sampling)
        wrong = variation(p_hat, p)
        here = f"{name}, N={row.top_n}, {len(row.ids)} known: bound {bound}, truth {wrong}"
        if wrong > bound + ROUNDING:
            found.append(f"{here}: not a bound")
        if bound == 0.0 and wrong > ROUNDING:
            found.append(f"{here}: not exact")
        if bound < 1.0 and ((p_hat.dense(V) > p + ROUNDING).any() or 1 - p_hat.dense(V).sum() > bound + ROUNDING):
            found.append(f"{here}: not a lower bound that lacks at most the bound")
    return found
