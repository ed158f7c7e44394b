"""Several drafters' distributions, blended into one q (any q that is known keeps the target's distribution)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import quantised
from speculatoviz.core.types import Draft, Limits, Need, Node, Plan, Request, Round, Sampling, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.errors import CancelledError


class Distributing(Drafter, Protocol):
    """A drafter that can say what it thinks of the one next token."""

    def next(self, prefix: list[int]) -> Support | None:
        """Its distribution behind `prefix`; None where it has nothing to say."""


class MixtureDrafter:
    """Draws every token from the weighted sum of its members' distributions.

    A member that has nothing to say at a place leaves it to the others. At T=0 it takes the most probable token of
    the blend. clock: seconds. Raises ValueError for weights that are not positive.
    """

    name = "mixture"

    def __init__(self, members: Sequence[tuple[float, Distributing]], clock: Callable[[], float]) -> None:
        if not members or any(weight <= 0.0 for weight, _ in members):
            raise ValueError("expected members with positive weights")
        self._members, self._clock = list(members), clock
        self._request = Request((0,), Sampling(), Limits(0))

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset[Need]().union(*(member.needs for _, member in self._members))

    def begin(self, request: Request) -> None:
        self._request = request
        for _, member in self._members:
            member.begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        nodes: list[Node] = []
        ids, ends = list(prefix), self._request.limits.end_ids
        drafting = self._request.drafting
        chosen = self._request.sampling.greedy or not drafting.sampled
        while len(nodes) < plan.depth and not (nodes and ids[-1] in ends):
            if self._request.cancelled():
                raise CancelledError
            begun = self._clock()
            q, source = self._blend(ids)
            if q is None:
                break
            if drafting.quantised:
                q = quantised(q)
            index = int(q.probs.argmax()) if chosen else chance.draw(q.probs, len(nodes))
            token = int(q.ids[index])
            time_ms = (self._clock() - begun) * 1000
            nodes.append(Node(token, len(nodes) - 1, None if chosen else q, source, time_ms=time_ms))
            ids.append(token)
        return Draft.tree(round, nodes)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        del prefix, round, plan, chance, pays
        return False

    def observe(self, round: Round) -> None:
        for _, member in self._members:
            member.observe(round)

    def close(self) -> None:
        """The members belong to whoever made them."""

    def _blend(self, ids: list[int]) -> tuple[Support | None, str]:
        """q behind `ids` and the names of those that speak in it."""
        said = [(weight, member.next(ids), member.name) for weight, member in self._members]
        heard = [(weight, q, name) for weight, q, name in said if q is not None]
        if not heard:
            return None, ""
        q = blended([(weight, q) for weight, q, _ in heard])
        most = self._request.drafting.support_size
        return (q if most is None else _largest(q, most)), "+".join(name for _, _, name in heard)


def blended(parts: Sequence[tuple[float, Support]]) -> Support:
    """The weighted sum of distributions, renormalised: a distribution over the union of their supports."""
    ids = np.unique(np.concatenate([q.ids for _, q in parts]))
    probs = np.zeros(len(ids), np.float64)
    for weight, q in parts:
        probs[np.searchsorted(ids, q.ids)] += weight * q.probs
    return Support(ids, probs / probs.sum())


def _largest(q: Support, count: int) -> Support:
    """The `count` most probable of its tokens, renormalised."""
    if len(q.ids) <= count:
        return q
    kept = np.sort(np.argsort(-q.probs, kind="stable")[:count])
    return Support(q.ids[kept], q.probs[kept] / q.probs[kept].sum())
