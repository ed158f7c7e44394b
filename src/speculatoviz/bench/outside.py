"""The share of a round that is not a forward pass: decisions, sampling, matching, book-keeping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from speculatoviz.core.rounds import Round
from speculatoviz.drafters.about import WITH_HEAD
from speculatoviz.lab.decode import decode_prompt
from speculatoviz.models.base import Feed, LanguageModel, Rows
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start


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


class _WatchedPolicy(FixedPolicy):
    """A fixed depth. passes_ms[i]: the time of all forward passes up to the end of round i."""

    def __init__(self, drafter: str, depth: int, clocks: Sequence[PassClock]) -> None:
        super().__init__(drafter, depth)
        self._clocks = clocks
        self.passes_ms: list[float] = []

    def observe(self, round: Round) -> None:
        super().observe(round)
        self.passes_ms.append(math.fsum(clock.ms for clock in self._clocks))


def outside_passes(session: Session, k: int, max_tokens: int, temperature: float, prompt: str) -> dict[str, float]:
    """Means over the rounds of depth k with the usual drafter and evidence off; NaN for a run of a single round.

    The passes of a trained head are part of the draft's time, which counts as a whole there.
    """
    models = [model for model in (session.opened.model, session.draft_model) if model is not None]
    clocks = [PassClock(model, session.clock) for model in models]
    policy = _WatchedPolicy(session.drafter, k, clocks)
    start = Start(prompt=prompt, k=k, policy="fixed", max_tokens=max_tokens, temperature=temperature, seed=0)
    with ExitStack() as stack:
        for clock in clocks:
            stack.enter_context(clock)
        rounds = decode_prompt(session, start, policy=policy).rounds
    return shares(rounds, policy.passes_ms, drafts_count=session.drafter in WITH_HEAD)


def shares(rounds: Sequence[Round], passes_ms: Sequence[float], *, drafts_count: bool) -> dict[str, float]:
    """The means of all rounds but the first, whose passes contain the prompt's.

    passes_ms[i]: the time of all forward passes up to the end of round i. drafts_count: whether drafting counts as a
    pass.
    """
    later = rounds[1:]
    if not later:
        return {"round_ms": math.nan, "passes_ms": math.nan, "overhead_share": math.nan}
    spent_ms = math.fsum(round.times.round_ms for round in later)
    computed_ms = passes_ms[-1] - passes_ms[0]
    if drafts_count:
        computed_ms += math.fsum(round.times.draft_ms for round in later)
    return {
        "round_ms": spent_ms / len(later),
        "passes_ms": computed_ms / len(later),
        "overhead_share": 1.0 - computed_ms / spent_ms,
    }
