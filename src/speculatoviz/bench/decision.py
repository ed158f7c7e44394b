"""How long deciding takes: depth 8 at the vocabulary of the Qwen pair, without any model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from speculatoviz.core.chance import seeded
from speculatoviz.core.rejection import verify_tokens
from speculatoviz.core.sampling import distribution, support
from speculatoviz.core.types import Draft, Floats, Sampling, Support

VOCABULARY = 151_936
DEPTH = 8

SAMPLINGS = {
    "T=0": Sampling(0.0),
    "T=0.7": Sampling(0.7),
    "T=1": Sampling(1.0),
    "T=0.7, top-k 40": Sampling(0.7, top_k=40),
    "T=0.7, top-p 0.9": Sampling(0.7, top_p=0.9),
    "T=0.7, min-p 0.05": Sampling(0.7, min_p=0.05),
}


def decision_ms(repeats: int = 100, clock: Callable[[], float] = time.perf_counter) -> dict[str, dict[str, float]]:
    """Milliseconds per round (median, lowest, highest), with a draft that agrees so that all nine rows are decided."""
    rows = (np.random.default_rng(0).standard_normal((DEPTH + 1, VOCABULARY)) * 3).astype(np.float32)
    results = {}
    for name, sampling in SAMPLINGS.items():
        times_ms = [_once(rows, sampling, repeat, clock) for repeat in range(repeats)]
        results[name] = {
            "median": statistics.median(times_ms),
            "lowest": min(times_ms),
            "highest": max(times_ms),
        }
    return results


def _once(rows: Floats, sampling: Sampling, seed: int, clock: Callable[[], float]) -> float:
    draft = _agreeing_draft(rows, sampling, seed)
    chance = seeded(seed)("verify", 0)
    begun = clock()
    verify_tokens(draft, lambda node: distribution(rows[node + 1], sampling), chance)
    return (clock() - begun) * 1000


def _agreeing_draft(rows: Floats, sampling: Sampling, seed: int) -> Draft:
    if sampling.greedy:
        return Draft.chain(0, [int(row.argmax()) for row in rows[:DEPTH]], (), "model")
    q: list[Support] = [support(row, sampling, 4096) for row in rows[:DEPTH]]
    chance = seeded(seed)("draft", 0)
    tokens = [int(s.ids[chance.draw(s.probs, node)]) for node, s in enumerate(q)]
    return Draft.chain(0, tokens, tuple(q), "model")
