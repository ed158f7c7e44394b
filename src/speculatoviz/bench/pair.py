"""A loaded pair compared with its target alone."""

from __future__ import annotations

import statistics
from typing import Any

from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start

PROMPTS = {
    "code": "Write a Python function that merges two sorted lists",
    "summary": "Summarise in three sentences how speculative decoding makes language models faster.",
    "translation": "Translate to German: The train to the coast leaves at seven and arrives before noon.",
    "chat": "What should I look at on a first visit to Lisbon?",
}


def _decode(session: Session, prompt: str, max_tokens: int, temperature: float, **chosen: Any) -> Decoded:
    start = Start(prompt=prompt, max_tokens=max_tokens, temperature=temperature, seed=0, **chosen)
    return decode_prompt(session, start)


def speedups(session: Session, repeats: int, max_tokens: int, temperature: float) -> dict[str, dict[str, float]]:
    """For each prompt: the median of the paired ratios of speculative and plain runs, with its spread.

    Speculative runs have the session's own policy. Plain and speculative runs alternate, so that a machine whose speed
    drifts affects both.
    """
    results = {}
    for name, prompt in PROMPTS.items():
        pairs: list[tuple[Decoded, Decoded]] = []
        for _ in range(repeats):
            plain = _decode(session, prompt, max_tokens, temperature, k=0, policy="fixed")
            pairs.append((plain, _decode(session, prompt, max_tokens, temperature)))
        ratios = [speculative.tps / plain.tps for plain, speculative in pairs]
        last = pairs[-1][1]
        results[name] = {
            "speedup_median": statistics.median(ratios),
            "speedup_lowest": min(ratios),
            "speedup_highest": max(ratios),
            "plain_tps_median": statistics.median(plain.tps for plain, _ in pairs),
            "acceptance_rate": last.acceptance_rate,
            "tokens_per_round": last.tokens_per_round,
        }
    return results
