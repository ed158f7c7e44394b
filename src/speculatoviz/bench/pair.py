"""A loaded pair compared with its target alone, and the share of a round that is not a forward pass."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from speculatoviz.lab.decode import Decoded, decode_prompt
from speculatoviz.models.base import Feed, LanguageModel, Rows
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start

PROMPTS = {
    "code": "Write a Python function that merges two sorted lists",
    "summary": "Summarise in three sentences how speculative decoding makes language models faster.",
    "translation": "Translate to German: The train to the coast leaves at seven and arrives before noon.",
    "chat": "What should I look at on a first visit to Lisbon?",
}


class PassClock:
    """A context manager that sums the milliseconds spent in the forward passes of a model. clock: seconds."""

    def __init__(self, model: LanguageModel, clock: Callable[[], float]) -> None:
        self._model, self._clock = model, clock
        self._forward = model.forward
        self.ms = 0.0

    def __enter__(self) -> PassClock:
        setattr(self._model, "forward", self._timed)  # noqa: B010 (a protocol's method, replaced for a while)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self._model, "forward", self._forward)  # noqa: B010

    def _timed(self, feeds: Sequence[Feed]) -> list[Rows]:
        begun = self._clock()
        rows = self._forward(feeds)
        self.ms += (self._clock() - begun) * 1000
        return rows


def _decode(session: Session, prompt: str, k: int, max_tokens: int, temperature: float) -> Decoded:
    start = Start(prompt=prompt, k=k, policy="fixed", max_tokens=max_tokens, temperature=temperature, seed=0)
    return decode_prompt(session, start)


def speedups(
    session: Session, k: int, repeats: int, max_tokens: int, temperature: float
) -> dict[str, dict[str, float]]:
    """For each prompt: the median of the paired ratios of speculative and plain runs, with its spread.

    Plain and speculative runs alternate, so that a machine whose speed drifts affects both.
    """
    results = {}
    for name, prompt in PROMPTS.items():
        pairs: list[tuple[Decoded, Decoded]] = []
        for _ in range(repeats):
            plain = _decode(session, prompt, 0, max_tokens, temperature)
            pairs.append((plain, _decode(session, prompt, k, max_tokens, temperature)))
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


def overhead_share(
    session: Session, k: int, max_tokens: int, temperature: float, prompt: str = PROMPTS["code"]
) -> dict[str, float]:
    """The share of the rounds' time that is not a forward pass, with evidence off."""
    models = [m for m in (session.opened.model, session.draft_model) if m is not None]
    clocks = [PassClock(model, session.clock) for model in models]
    _decode(session, prompt, k, 16, temperature)  # the prompt is cached from here on
    for clock in clocks:
        clock.__enter__()
    decoded = _decode(session, prompt, k, max_tokens, temperature)
    for clock in clocks:
        clock.__exit__()
    passes_ms = sum(clock.ms for clock in clocks) - sum(r.times.prefill_ms for r in decoded.rounds)
    return {
        "round_ms": decoded.round_ms / len(decoded.rounds),
        "passes_ms": passes_ms / len(decoded.rounds),
        "overhead_share": 1 - passes_ms / decoded.round_ms,
    }
