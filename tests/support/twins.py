"""Deliberately broken versions of the algorithm. Every exactness test must catch them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from speculatoviz.core import rejection
from speculatoviz.core.chance import Chance
from speculatoviz.core.rejection import Decision
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import Check, Draft, Floats, Plan, Support
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.window import Window
from speculatoviz.targets.local import LocalTarget

Verify = Callable[[Draft, Callable[[int], Distribution], Chance], Decision]


def accept_when_equal(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Accepts a token with the target's probability for it, and still resamples from the residual."""

    def test(draft: Draft, node: int, p: Distribution, chance: Chance) -> tuple[Check, Distribution]:
        token = int(draft.tokens[node])
        q = draft.q[node] or Support.point(token)
        prob = p.prob(token)
        toss = chance.accept(prob, node)
        status: Literal["accepted", "rejected"] = "accepted" if toss.accepted else "rejected"
        return Check(node, token, status, prob, q.prob(token), prob, toss.uniform), p if toss.accepted else p.minus(q)

    return _with_test(test)(draft, target, chance)


def residual_without_q(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Resamples from the target's own distribution after a rejection."""
    honest = rejection._test

    def test(draft: Draft, node: int, p: Distribution, chance: Chance) -> tuple[Check, Distribution]:
        check, _ = honest(draft, node, p, chance)
        return check, p

    return _with_test(test)(draft, target, chance)


def _with_test(test: Callable[[Draft, int, Distribution, Chance], tuple[Check, Distribution]]) -> Verify:
    def verify(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
        honest = rejection._test
        rejection._test = test
        try:
            return rejection.verify_tokens(draft, target, chance)
        finally:
            rejection._test = honest

    return verify


class PruningDrafter(ModelDrafter):
    """Withdraws drawn tokens that look unlikely to it."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        unlikely = [i for i, q in enumerate(draft.q) if q and q.prob(int(draft.tokens[i])) < 0.25]
        keep = unlikely[0] if unlikely else len(draft)
        return Draft.chain(round, draft.tokens[:keep].tolist(), draft.q[:keep], self.name)


class SharpenedDrafter(ModelDrafter):
    """Draws from a sharper distribution than the one it declares."""

    def _choose(self, logits: Floats, node: int, chance: Chance) -> tuple[int, Support | None]:
        token, q = super()._choose(logits, node, chance)
        if q is None:
            return token, q
        return int(q.ids[chance.draw(np.square(q.probs), node)]), q


class ForgetfulWindow(Window):
    """Rewinds its context one token short, and believes that it did not."""

    def keep(self, length: int) -> None:
        if length < len(self.ids):
            self.context.keep(max(0, length - 1))
            del self.ids[length:]


class ForgetfulTarget(LocalTarget):
    """A target whose cache loses one token at every rewind."""

    def __init__(self, target: LocalTarget) -> None:
        self.__dict__.update(target.__dict__)
        self.window = ForgetfulWindow(target.model, target.context_tokens)
