"""Deliberately broken verifiers and drafters. Every test of exactness across a network must catch them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from speculatoviz.core.chance import Chance, ChanceSource, seeded
from speculatoviz.core.sampling import quantised
from speculatoviz.core.types import Draft, Floats, Plan, Request, Support, Verdict
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.targets.base import Pending
from speculatoviz.targets.local import LocalTarget
from speculatoviz.targets.verifier.frames import draft_of
from speculatoviz.targets.verifier.target import VerifierTarget
from speculatoviz.targets.verifier.wire import Submit


class KeenDrafter(ModelDrafter):
    """Drafts ahead until it has all it wants, however soon the answer comes. kept: how often that was of use."""

    kept = 0

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return super().prepare(prefix, round, plan, chance, lambda _pass_ms: True)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        ahead = self._ahead
        self.kept += ahead is not None and ahead.prefix == prefix and ahead.round == round
        return super().draft(prefix, round, plan, chance)


class Unhurried:
    """A target whose answers are never there before the drafter has drafted ahead. Otherwise all as it was."""

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
        if self._ahead is not None:
            self._ahead.prefix = prefix
        return super().draft(prefix, round, plan, chance)


class RepeatingDrafter(KeenDrafter):
    """Drafts ahead with the choices of the round that is under way."""

    source: ChanceSource

    def begin(self, request: Request) -> None:
        self.source = seeded(request.seed)
        super().begin(request)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return super().prepare(prefix, round, plan, self.source("draft", round - 1), pays)


def sharpened(frame: Submit, n_vocab: int) -> Draft:
    """What a verifier reads that believes in another q than was drawn from."""
    draft = draft_of(frame, n_vocab)
    qs = tuple(q and Support(q.ids, q.probs**3 / (q.probs**3).sum()) for q in draft.q)
    return Draft.chain(draft.round, draft.tokens.tolist(), qs, "remote")


_seeds = itertools.count(1 << 40)


class FreshTarget(LocalTarget):
    """Judges with new randomness each time."""

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        self._chance_of = lambda seed: seeded(next(_seeds))
        return super().judge(draft, logits)


class ForgettingTarget(LocalTarget):
    """Judges by the round alone, whatever the seed."""

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        self._chance_of = lambda seed: seeded(0)
        return super().judge(draft, logits)
