"""Several drafters' distributions, blended into one q (any q that is known keeps the target's distribution)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Node, Support
from speculatoviz.drafters.base import CompositeDrafter, Drafter


class Predictor(Drafter, Protocol):
    """A drafter that can return its distribution of the one next token."""

    def next(self, prefix: list[int]) -> Support | None:
        """Its distribution of the token after `prefix`; None if it has none."""


class MixtureDrafter(CompositeDrafter):
    """Draws every token from q = sum_i w_i q_i over its members, renormalised over those that have a distribution.

    At T=0 it takes the most probable token of the blend. clock: seconds. Raises ValueError for weights that are not
    positive.
    """

    name = "mixture"

    def __init__(self, members: Sequence[tuple[float, Predictor]], clock: Callable[[], float]) -> None:
        super().__init__([member for _, member in members])
        if any(weight <= 0.0 for weight, _ in members):
            raise ValueError("expected members with positive weights")
        self._weighted, self._clock = tuple(members), clock

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        nodes: list[Node] = []
        ids, ends = list(prefix), self.request.limits.end_ids
        while len(nodes) < plan.depth and not (nodes and ids[-1] in ends):
            self.check_cancelled()
            begun_s = self._clock()
            blend, source = self._blend(ids)
            if blend is None:
                break
            q = self.declared(blend)
            index = int(q.probs.argmax()) if self.deterministic else chance.draw(q.probs, len(nodes))
            token = int(q.ids[index])
            time_ms = (self._clock() - begun_s) * 1000
            nodes.append(Node(token, len(nodes) - 1, None if self.deterministic else q, source, time_ms=time_ms))
            ids.append(token)
        return Draft.tree(round, nodes)

    def _blend(self, ids: list[int]) -> tuple[Support | None, str]:
        """q after `ids`, and the names of the members that are part of it, joined by +."""
        parts = [(weight, q, member.name) for weight, member in self._weighted if (q := member.next(ids)) is not None]
        if not parts:
            return None, ""
        q = blended([(weight, q) for weight, q, _ in parts])
        most = self.request.drafting.support_size
        return (q if most is None else _largest(q, most)), "+".join(name for _, _, name in parts)


def blended(parts: Sequence[tuple[float, Support]]) -> Support:
    """The weighted sum of distributions, renormalised: a distribution over the union of their supports."""
    ids = np.unique(np.concatenate([q.ids for _, q in parts]))
    probs = np.zeros(len(ids), np.float64)
    for weight, q in parts:
        probs[np.searchsorted(ids, q.ids)] += weight * q.probs
    return Support(ids, probs / probs.sum())


def _largest(q: Support, count: int) -> Support:
    """The `count` most probable tokens of q, renormalised."""
    if len(q.ids) <= count:
        return q
    kept = np.sort(np.argsort(-q.probs, kind="stable")[:count])
    return Support(q.ids[kept], q.probs[kept] / q.probs[kept].sum())
