"""What `eagle` and `medusa` share: a tree grown level by level from a head's logits over its own vocabulary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import covered_mass, quantised, scores, support, top_ids, without
from speculatoviz.core.types import (
    ROOT,
    Draft,
    Floats,
    Ints,
    Limits,
    Need,
    Node,
    Plan,
    Request,
    Round,
    Sampling,
    Scores,
    Support,
)
from speculatoviz.drafters.siblings import Place
from speculatoviz.errors import CancelledError
from speculatoviz.heads.states import States


class _Candidate(NamedTuple):
    """A node that may come to stand in the draft. value: log-probability of its path in the head's eyes."""

    token: int
    parent: int
    value: float
    scores: Scores | None


@dataclass(slots=True)
class _Spot(Place):
    """A place with the head's logits there."""

    row: Floats | None = None
    mass: float | None = None


class HeadDrafter(ABC):
    """Drafts from the hidden states of the target, which `states` holds of all that is committed but the last token.

    vocabulary int32[K], ascending: the ids of the head's logits. clock: seconds. width: the most branches of a level.
    support_size: at T>0 it draws from its own most probable tokens, renormalised. alternatives: how many to report.
    At T=0 it takes the most probable tokens: a chain, or a tree where one is wanted.
    """

    name = "head"
    needs: frozenset[Need] = frozenset({"hidden"})

    def __init__(
        self,
        states: States,
        vocabulary: Ints,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        self._states, self._vocabulary, self._clock = states, vocabulary, clock
        self._width, self._support_size, self._alternatives = width, support_size, alternatives
        self._request = Request((0,), Sampling(), Limits(0))
        self._evidence_ms = 0.0
        self._path: list[int] = []  # what `next` spoke behind last
        self._grown = 0  # of it, the tokens behind the target's states

    def begin(self, request: Request) -> None:
        self._request, self._path = request, []

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        """Nothing where the target's states do not reach up to the last token of `prefix`."""
        begun, self._evidence_ms, self._path = self._clock(), 0.0, []
        row = self._first(prefix) if plan.depth and self._known(prefix) else None
        if row is None:
            return Draft.empty(round)
        count = max(plan.depth, plan.nodes) if self._request.drafting.trees else plan.depth
        chosen = self._request.sampling.greedy or not self._request.drafting.sampled
        nodes = self._chosen(row, plan.depth, count) if chosen else self._drawn(row, plan.depth, count, chance)
        # A pass is over a level: its nodes share what it took.
        each_ms = ((self._clock() - begun) * 1000 - self._evidence_ms) / len(nodes)
        return Draft.tree(round, [node._replace(time_ms=each_ms) for node in nodes], self._evidence_ms)

    def next(self, prefix: list[int]) -> Support | None:
        """Its distribution of the one next token, for a mixture; at T=0 that at T=1. None where it cannot say.

        Where the target's states end it goes on from its own, a token at a time behind what it was asked last.
        """
        row = self._row(prefix)
        own = self._request.sampling
        return None if row is None else self._support(row, Sampling(1.0) if own.greedy else own)

    def _row(self, prefix: list[int]) -> Floats | None:
        if self._known(prefix):
            self._path, self._grown = list(prefix), 0
            return self._first(prefix)
        if not self._path or prefix[:-1] != self._path:
            return None
        rows = self._below(prefix[-1:], [self._grown + ROOT])
        self._path, self._grown = list(prefix) if rows is not None else [], self._grown + 1
        return None if rows is None else rows[0]

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        """What follows a verification depends on the states that come of it."""
        del prefix, round, plan, chance, pays
        return False

    def observe(self, round: Round) -> None:
        del round

    def close(self) -> None:
        """The head may be others' too."""
        self._request = Request((0,), Sampling(), Limits(0))

    @abstractmethod
    def _first(self, prefix: list[int]) -> Floats | None:
        """Logits float[K] of the token behind `prefix`, whose states are known; what was grown before is forgotten."""

    @abstractmethod
    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        """Add nodes of one level: the logits of what follows each, float[n, K]; None where it cannot say.

        parents: nodes added before, counted from 0, or ROOT.
        """

    def _known(self, prefix: list[int]) -> bool:
        count = len(prefix) - 1
        there = len(self._states.ids) >= count and len(self._states.states) >= count
        return count > 0 and there and list(self._states.ids[:count]) == prefix[:count]

    def _deeper(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        if self._request.cancelled():
            raise CancelledError
        return self._below(tokens, parents)

    def _chosen(self, row: Floats, depth: int, count: int) -> list[Node]:
        """A level at a time the most probable paths go on, and of all the most probable are kept (Li et al. 2024b,
        "EAGLE-2", sections 4.1 and 4.2)."""
        width = min(self._width, count - depth + 1)
        found: list[_Candidate] = []
        ends = self._request.limits.end_ids
        grown: list[int] = [ROOT]  # the candidates of the level before that were added to the head, as found
        places: dict[int, int] = {ROOT: ROOT}  # of a candidate that was added: its number there
        rows: Floats | None = row[None]
        for level in range(depth):
            if rows is None:
                break
            first = len(found)
            for parent, logits in zip(grown, rows, strict=True):
                found += self._best(logits, parent, 0.0 if parent == ROOT else found[parent].value, width)
            going = [place for place in range(first, len(found)) if found[place].token not in ends]
            grown = sorted(going, key=lambda place: -found[place].value)[:width]
            if not grown or level == depth - 1:
                break
            parents = [places[found[place].parent] for place in grown]
            places |= {place: len(places) - 1 + number for number, place in enumerate(grown)}
            rows = self._deeper([found[place].token for place in grown], parents)
        return self._kept(found, count)

    def _kept(self, found: Sequence[_Candidate], count: int) -> list[Node]:
        """The `count` of the highest value: none comes without its parent, whose value is no less."""
        kept = sorted(sorted(range(len(found)), key=lambda place: -found[place].value)[:count])
        number = {ROOT: ROOT} | {place: n for n, place in enumerate(kept)}
        return [
            Node(found[place].token, number[found[place].parent], None, self.name, found[place].scores)
            for place in kept
        ]

    def _best(self, logits: Floats, parent: int, value: float, count: int) -> list[_Candidate]:
        """The most probable tokens at a place, most probable first."""
        shifted = logits - logits.max()
        logs = shifted - np.log(np.exp(shifted).sum())
        best = top_ids(logits, min(count, len(logits)))
        best = best[np.argsort(-logs[best], kind="stable")]
        return [
            _Candidate(int(self._vocabulary[place]), parent, value + float(logs[place]), self._seen(logits, int(place)))
            for place in best
        ]

    def _drawn(self, row: Floats, depth: int, count: int, chance: Chance) -> list[Node]:
        """Every level has a number of nodes settled beforehand, drawn without replacement where most hope is."""
        nodes: list[Node] = []
        ends, widths = self._request.limits.end_ids, _widths(depth, count)
        spots = [self._spot(row, ROOT, 1.0)]
        numbers = {ROOT: ROOT}  # of a node that was added to the head: its number there
        for level, width in enumerate(widths):
            fresh = self._draw(nodes, spots, width, chance)
            going = [(node, reach) for node, reach in fresh if nodes[node].token not in ends]
            if not going or level == len(widths) - 1:
                break
            parents = [numbers[nodes[node].parent] for node, _ in going]
            numbers |= {node: len(numbers) - 1 + number for number, (node, _) in enumerate(going)}
            rows = self._deeper([nodes[node].token for node, _ in going], parents)
            if rows is None:
                break
            spots = [self._spot(logits, node, reach) for logits, (node, reach) in zip(rows, going, strict=True)]
        return nodes

    def _draw(self, nodes: list[Node], spots: Sequence[_Spot], count: int, chance: Chance) -> list[tuple[int, float]]:
        """Append up to `count` nodes below these spots; each with the head's probability of getting there."""
        fresh: list[tuple[int, float]] = []
        for _ in range(count):
            spot = max(spots, key=lambda spot: spot.hope)
            if spot.rest is None or spot.hope <= 0.0:
                break
            q = quantised(spot.rest) if self._request.drafting.quantised else spot.rest
            index = chance.draw(q.probs, len(nodes))
            token, prob = int(q.ids[index]), float(q.probs[index])
            assert spot.row is not None
            shown = self._seen(spot.row, int(np.searchsorted(self._vocabulary, token)))
            fresh.append((len(nodes), spot.reach * spot.left * prob))
            nodes.append(Node(token, spot.parent, q, self.name, shown, covered_mass=spot.mass))
            spot.rest, spot.left, spot.mass = without(q, token), spot.left * (1.0 - prob), None
        return fresh

    def _spot(self, row: Floats, parent: int, reach: float) -> _Spot:
        q = self._support(row, self._request.sampling)
        begun, mass = self._clock(), None
        if self._request.evidence:
            inside = np.searchsorted(self._vocabulary, q.ids).astype(np.int32)
            mass = covered_mass(row, Support(inside, q.probs), self._request.sampling)
            self._evidence_ms += (self._clock() - begun) * 1000
        return _Spot(parent, reach, q, 1.0, row=row, mass=mass)

    def _support(self, row: Floats, sampling: Sampling) -> Support:
        """What it draws from, in the target's ids."""
        size = min(self._support_size, self._request.drafting.support_size or self._support_size)
        q = support(row, sampling, size)
        return Support(self._vocabulary[q.ids], q.probs)

    def _seen(self, row: Floats, place: int) -> Scores | None:
        """The head's raw opinion of a token, by its place in the vocabulary."""
        if not self._request.evidence:
            return None
        begun = self._clock()
        own = scores(row, place, self._alternatives)
        top = tuple((int(self._vocabulary[other]), logprob) for other, logprob in own.top)
        self._evidence_ms += (self._clock() - begun) * 1000
        return Scores(own.logprob, own.entropy, top)


def _widths(depth: int, count: int) -> list[int]:
    """How many nodes each level gets: one each, and what is left from the first level on, evenly."""
    more, rest = divmod(max(0, count - depth), depth)
    return [1 + more + (level < rest) for level in range(depth)]
