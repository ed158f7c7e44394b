"""Deliberately broken verifiers and drafters. Every test of exactness across a network must catch them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from speculatoviz.core.chance import Chance, ChanceSource, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Verdict
from speculatoviz.core.sampling import quantised
from speculatoviz.core.types import Draft, Floats, Ints, Request, Support
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.targets.base import Pending
from speculatoviz.targets.local import LocalTarget
from speculatoviz.targets.verifier.frames import draft_of
from speculatoviz.targets.verifier.target import VerifierTarget
from speculatoviz.targets.verifier.wire import Submit


class KeenDrafter(ModelDrafter):
    """Drafts ahead two whole drafts, even if the verdict arrives before.

    kept, kept_other: how often the draft on the first and on the second guess was used.
    """

    kept = kept_other = 0

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return super().prepare(prefix, round, plan, chance, lambda _pass_ms: True)

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return super().prepare_other(round, plan, chance, lambda _pass_ms: True)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        used = [ahead.prefix == prefix and ahead.round == round for ahead in self._ahead]
        self.kept += used[:1] == [True]
        self.kept_other += used[:2] == [False, True]
        return super().draft(prefix, round, plan, chance)


class Unhurried:
    """A target whose verdicts never count as arrived while the drafter drafts ahead; otherwise unchanged."""

    def __init__(self, target: VerifierTarget) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def submit(self, draft: Draft) -> Pending:
        pending = self._target.submit(draft)
        pending.done = lambda: False  # type: ignore[method-assign]
        return pending


class LateQuantisingDrafter(ModelDrafter):
    """Draws first, and quantises the distribution that it declares afterwards."""

    def _draw(self, q: Support, node: int, chance: Chance) -> tuple[int, Support]:
        token, declared = int(q.ids[chance.draw(q.probs, node)]), quantised(q)
        return (token, declared) if declared.prob(token) > 0.0 else super()._draw(q, node, chance)


class StubbornDrafter(KeenDrafter):
    """Keeps what it drafted ahead although its guess was wrong."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        for ahead in self._ahead:
            ahead.prefix = prefix
        return super().draft(prefix, round, plan, chance)


class RepeatingDrafter(KeenDrafter):
    """Drafts ahead with the random numbers of the round in progress."""

    source: ChanceSource

    def begin(self, request: Request) -> None:
        self.source = seeded(request.seed)
        super().begin(request)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return super().prepare(prefix, round, plan, self.source("draft", round - 1), pays)


def sharpened(frame: Submit, n_vocab: int, vocabulary: Ints | None = None) -> Draft:
    """A draft as read by a verifier that assumes another q than it was drawn from."""
    draft = draft_of(frame, n_vocab, vocabulary)
    qs = tuple(q and Support(q.ids, q.probs**3 / (q.probs**3).sum()) for q in draft.q)
    return Draft.chain(draft.round, draft.tokens.tolist(), qs, "remote")


_seeds = itertools.count(1 << 40)


class FreshTarget(LocalTarget):
    """Judges with new random numbers each time."""

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        self._chance_of = lambda seed: seeded(next(_seeds))
        return super().judge(draft, logits)


class ForgettingTarget(LocalTarget):
    """Judges with random numbers that depend on the round only, not on the seed."""

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        self._chance_of = lambda seed: seeded(0)
        return super().judge(draft, logits)
