"""A loaded pair against its own target alone, in turn, and how much of a round is not a forward pass."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Round
from speculatoviz.engine import speculate
from speculatoviz.models.base import Feed, LanguageModel, Rows
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Start

PROMPTS = {
    "code": "Write a Python function that merges two sorted lists",
    "summary": "Summarise in three sentences how speculative decoding makes language models faster.",
    "translation": "Translate to German: The train to the coast leaves at seven and arrives before noon.",
    "chat": "What should I look at on a first visit to Lisbon?",
}


class PassClock:
    """Adds up the time inside forward passes of a model while it is in place."""

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


def rounds_of(session: Session, prompt: str, k: int, max_tokens: int, temperature: float) -> list[Round]:
    """One run with evidence off, so that nothing is computed only to be shown."""
    start = Start(prompt=prompt, k=k, max_tokens=max_tokens, temperature=temperature, evidence=False)
    prepared = session.prepare(start)
    request = replace(prepared.request, evidence=False)
    policy = FixedPolicy(prepared.drafter, prepared.k)
    steps = speculate(request, session.target, session.drafters, policy, seeded(0), session.clock)
    return [step for step in steps if isinstance(step, Round)]


def tps(rounds: list[Round]) -> float:
    return 1000 * sum(len(r.emitted) for r in rounds) / sum(r.times.round_ms for r in rounds)


def speedups(
    session: Session, k: int, repeats: int, max_tokens: int, temperature: float
) -> dict[str, dict[str, float]]:
    """Per prompt: plain and speculative runs in turn, and the median of their paired ratios with its spread."""
    results = {}
    for name, prompt in PROMPTS.items():
        pairs = []
        for _ in range(repeats):
            plain = rounds_of(session, prompt, 0, max_tokens, temperature)
            fast = rounds_of(session, prompt, k, max_tokens, temperature)
            pairs.append((tps(plain), tps(fast), fast))
        ratios = [fast / plain for plain, fast, _ in pairs]
        rounds = pairs[-1][2]
        drafted, accepted = sum(r.drafted for r in rounds), sum(r.accepted for r in rounds)
        results[name] = {
            "speedup_median": statistics.median(ratios),
            "speedup_lowest": min(ratios),
            "speedup_highest": max(ratios),
            "plain_tps_median": statistics.median(plain for plain, _, _ in pairs),
            "acceptance_rate": accepted / drafted if drafted else 0.0,
            "tokens_per_round": sum(len(r.emitted) for r in rounds) / len(rounds),
        }
    return results


def overhead_share(session: Session, k: int, max_tokens: int, temperature: float) -> dict[str, float]:
    """Share of the rounds' time that is not a forward pass, evidence off."""
    models = [m for m in (session.connected.model, session.draft_model) if m is not None]
    clocks = [PassClock(model, session.clock) for model in models]
    rounds_of(session, PROMPTS["code"], k, 16, temperature)  # the prompt is cached from here on
    for clock in clocks:
        clock.__enter__()
    rounds = rounds_of(session, PROMPTS["code"], k, max_tokens, temperature)
    for clock in clocks:
        clock.__exit__()
    round_ms = sum(r.times.round_ms for r in rounds)
    passes_ms = sum(clock.ms for clock in clocks) - sum(r.times.prefill_ms for r in rounds)
    return {
        "round_ms": round_ms / len(rounds),
        "passes_ms": passes_ms / len(rounds),
        "overhead_share": 1 - passes_ms / round_ms,
    }
