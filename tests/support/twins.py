"""Deliberately broken versions of the algorithm. Every exactness test must catch them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from speculatoviz.core import rejection
from speculatoviz.core.chance import EXTRA, Chance, Toss
from speculatoviz.core.comparison import verify_match
from speculatoviz.core.planning import Plan
from speculatoviz.core.rejection import Decision, verify_block
from speculatoviz.core.rounds import Check, Extra, Round
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import ROOT, Draft, Floats, Need, Request, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.forced import only
from speculatoviz.models.window import Window
from speculatoviz.targets.local import LocalTarget

Verify = Callable[[Draft, Callable[[int], Distribution], Chance], Decision]
UNLIKELY = 0.3

# --- random numbers --------------------------------------------------------------------------------------


def shared_chance(chance: Chance, place: int) -> Chance:
    """Gives every member of a `multi` the same random numbers."""
    del place
    return chance


class AddedChance:
    """Random numbers of members in blocks of 1024 nodes, which add up: nested places share them."""

    def __init__(self, chance: Chance, place: int) -> None:
        self._chance, self._first = chance, place * 1024

    def accept(self, prob: float, node: int) -> Toss:
        return self._chance.accept(prob, self._first + node)

    def draw(self, weights: Floats, node: int) -> int:
        return self._chance.draw(weights, self._first + node)


# --- rules -------------------------------------------------------------------------------------------


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


def without_weights(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Block verification that resamples as token verification does."""

    class Unweighted(Distribution):
        def minus(self, q: Support, share: float = 1.0) -> Distribution:
            return super().minus(q)

    def rows(node: int) -> Distribution:
        p = target(node)
        return Unweighted(p.weights, p.total, p.ids)

    return verify_block(draft, rows, chance)


def shortest_first(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Block verification that stops at the first prefix that fails, not at the longest that passes."""
    weights, kept_probs = rejection.prefixes(draft, [target(node) for node in range(ROOT, len(draft))])
    kept = 0
    while kept < len(draft) and chance.accept(kept_probs[kept], kept).accepted:
        kept += 1
    return _ended(draft, target(kept - 1), kept, weights[kept], chance)


def kept_by_weight(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Block verification that keeps a prefix with its weight, whatever the longer ones would have kept."""
    weights, _ = rejection.prefixes(draft, [target(node) for node in range(ROOT, len(draft))])
    kept = len(draft)
    while kept and not chance.accept(weights[kept], kept - 1).accepted:
        kept -= 1
    return _ended(draft, target(kept - 1), kept, weights[kept], chance)


def _ended(draft: Draft, p: Distribution, kept: int, weight: float, chance: Chance) -> Decision:
    """`kept` tokens of a chain and the token after them, drawn as block verification draws it."""
    left = p if kept == len(draft) else p.minus(rejection._q(draft, kept), weight)
    extra = Extra(left.draw(chance, EXTRA), "resampled", None)
    return Decision(tuple(range(kept)), extra, (), left)


def drawn_again(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Sample-and-match that draws once more where its own token was not among the drafted."""
    honest = verify_match(draft, target, chance)
    extra = Extra(honest.final.draw(chance, EXTRA), honest.extra.status, None)
    return honest._replace(extra=extra)


# --- drafters ----------------------------------------------------------------------------------------


class Breaking:
    """Drafts what another drafter does; subclasses break the draft."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter

    @property
    def name(self) -> str:
        return self._drafter.name

    @property
    def needs(self) -> frozenset[Need]:
        return self._drafter.needs

    @property
    def block(self) -> int | None:
        return self._drafter.block

    def unread(self, prefix: list[int]) -> int:
        return 0

    def begin(self, request: Request) -> None:
        self._drafter.begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        return self._drafter.draft(prefix, round, plan, chance)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return False

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return False

    def observe(self, round: Round) -> None:
        self._drafter.observe(round)

    def close(self) -> None:
        self._drafter.close()


class Sharpening(Breaking):
    """Draws from the squares of what it declares."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        return super().draft(prefix, round, plan, _Squaring(chance))


class _Squaring:
    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def accept(self, prob: float, node: int) -> Toss:
        return self._chance.accept(prob, node)

    def draw(self, weights: Floats, node: int) -> int:
        return self._chance.draw(np.square(weights), node)


class Redrawing(Breaking):
    """Draws a leaf again whose token is unlikely."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        tokens = draft.tokens.copy()
        for node, q in enumerate(draft.q):
            if q is not None and q.prob(int(tokens[node])) < UNLIKELY and not draft.children(node):
                tokens[node] = q.ids[chance.draw(q.probs, len(draft) + node)]
        return replace(draft, tokens=tokens)


class Pruning(Breaking):
    """Withdraws drawn tokens that are unlikely and below which nothing is kept."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        kept: set[int] = set()
        for node, q in reversed(list(enumerate(draft.q))):
            likely = q is None or q.prob(int(draft.tokens[node])) >= UNLIKELY
            if likely or kept & set(draft.children(node)):
                kept.add(node)
        return only(draft, kept)


class ScoredBeforeRemoval(Breaking):
    """Declares for every sibling the q of the first one."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        return replace(draft, q=tuple(draft.q[draft.children(parent)[0]] for parent in draft.parents.tolist()))


class DroppingDuplicates(Breaking):
    """Leaves out a drawn token that equals an earlier sibling."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        places = list(zip(draft.parents.tolist(), draft.tokens.tolist(), strict=True))
        return only(draft, {node for node, place in enumerate(places) if place not in places[:node]})


# --- caches ------------------------------------------------------------------------------------------


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
