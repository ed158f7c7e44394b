"""What drafters with a head share: a tree grown by levels from logits over a head's own ids."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.logits import LogitsProcessor, is_empty
from speculatoviz.core.planning import Outlook, Plan, StopRule
from speculatoviz.core.sampling import best_id, covered_mass, largest_prob, scores, support, top_ids, without
from speculatoviz.core.types import ROOT, Draft, DraftEvidence, Floats, Ints, Node, Request, Sampling, Scores, Support
from speculatoviz.drafters.base import BaseDrafter
from speculatoviz.drafters.branch_points import BranchPoint
from speculatoviz.heads.states import States


class _Row(NamedTuple):
    """The head's logits float[K] at a position: as computed, and as q uses them."""

    raw: Floats
    used: Floats

    @property
    def empty(self) -> bool:
        """Whether the head has no token that a grammar allows there."""
        return is_empty(self.used)


class _Candidate(NamedTuple):
    """A node that the draft may get. value: the sum of the head's log-probabilities along its path."""

    token: int
    parent: int
    value: float
    scores: Scores | None


@dataclass(slots=True)
class _HeadPoint(BranchPoint):
    """A branch point with the head's own logits float[K] and the covered mass of the first q there."""

    row: Floats | None = None
    mass: float | None = None


class _Stops:
    """Asks the stop rule of a chain; without a rule nothing stops. certainties: of the nodes so far."""

    def __init__(self, rule: StopRule | None) -> None:
        self._rule = rule
        self.certainties: list[float] = []

    def before_token(self, row: Floats, sampling: Sampling) -> bool:
        """Whether the draft ends before a token is taken from logits float[K]."""
        if self._rule is None:
            return False
        if is_empty(row):
            return True
        certainty = largest_prob(row, sampling)
        stops = not self._rule.adds_another(self.certainties, certainty)
        if not stops:
            self.certainties.append(certainty)
        return stops

    def before_pass(self) -> bool:
        """Whether the draft ends before the head computes another level."""
        return self._rule is not None and not self._rule.computes_another(self.certainties)


class HeadDrafter(BaseDrafter):
    """Drafts from the target's hidden states, which `states` holds for all committed tokens but the last.

    vocabulary int32[K], ascending: the ids of the head's logits. clock: seconds. width: the most nodes of a level that
    are continued. support_size: at T>0 tokens are drawn from the S most probable ones, renormalised. alternatives: how
    many to report. At T=0 the most probable tokens are taken.
    """

    name = "head"
    _needs = frozenset({"hidden"})
    _at_once: ClassVar[bool] = False  # whether one pass computes all levels

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
        self._evidence_ms = 0.0
        self._stops = _Stops(None)  # of the draft that is being made
        self._processor: LogitsProcessor | None = None  # likewise
        self._next_prefix: list[int] = []  # the prefix of the last call of `next`
        self._own_steps = 0  # how many of its last tokens the head computed from its own states

    def begin(self, request: Request) -> None:
        super().begin(request)
        self._next_prefix = []

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        """Empty if the target's states do not reach the last token of `prefix`."""
        begun_s, self._evidence_ms, self._next_prefix = self._clock(), 0.0, []
        first = self._first(prefix) if plan.depth and self._has_states(prefix) else None
        if first is None:
            return Draft.empty(round)
        self._processor = LogitsProcessor(self.request, prefix)
        row = self._row_after(first, ())
        if row.empty:
            return Draft.empty(round)
        pass_ms = (self._clock() - begun_s) * 1000 if self._at_once else 0.0  # it is spent for the first node
        count = max(plan.depth, plan.nodes) if self.request.drafting.trees else plan.depth
        self._stops = _Stops(plan.stop if count == plan.depth else None)
        nodes = (
            self._chosen(row, plan.depth, count) if self.deterministic else self._drawn(row, plan.depth, count, chance)
        )
        if not nodes:
            return Draft.empty(round)
        # One pass computes a whole level: its nodes share the time.
        each_ms = ((self._clock() - begun_s) * 1000 - self._evidence_ms - pass_ms) / len(nodes)
        certainties = dict(enumerate(self._stops.certainties))  # of a chain that can stop, else none
        evidence = DraftEvidence(vocabulary=self._vocabulary) if self.request.evidence else None
        nodes = [
            n._replace(time_ms=each_ms + pass_ms * (i == 0), certainty=certainties.get(i), evidence=evidence)
            for i, n in enumerate(nodes)
        ]
        return Draft.tree(round, nodes, self._evidence_ms)

    def outlook(self, prefix: list[int]) -> Outlook:
        if not self._has_states(prefix):
            return Outlook(longest=0)
        return Outlook(stops=True, branches=self.request.drafting.trees)

    def next(self, prefix: list[int]) -> Support | None:
        """Its distribution of the token after `prefix`, for a mixture; at T=0 the one at T=1. None if it has none.

        After the end of the target's states the head continues from its own, one token for each call.
        """
        row = self._next_row(prefix)
        own = self.request.sampling
        if row is None:
            return None
        used = LogitsProcessor(self.request, prefix)(row, (), self._vocabulary)
        return None if is_empty(used) else self._support(used, Sampling(1.0) if own.greedy else own)

    def _next_row(self, prefix: list[int]) -> Floats | None:
        if self._has_states(prefix):
            self._next_prefix, self._own_steps = list(prefix), 0
            return self._first(prefix)
        if not self._next_prefix or prefix[:-1] != self._next_prefix:
            return None
        rows = self._below(prefix[-1:], [self._own_steps + ROOT])
        self._next_prefix, self._own_steps = list(prefix) if rows is not None else [], self._own_steps + 1
        return None if rows is None else rows[0]

    @abstractmethod
    def _first(self, prefix: list[int]) -> Floats | None:
        """Logits float[K] of the token after `prefix`, whose states are known. Nodes added before are forgotten."""

    @abstractmethod
    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        """Add the nodes of one level. Logits float[n, K] of the token after each; None if the head ends here.

        parents: nodes added before, counted from 0, or ROOT.
        """

    def _has_states(self, prefix: list[int]) -> bool:
        count = len(prefix) - 1
        long_enough = len(self._states.ids) >= count and len(self._states.states) >= count
        return count > 0 and long_enough and list(self._states.ids[:count]) == prefix[:count]

    def _deeper(self, paths: Sequence[Sequence[int]], parents: Sequence[int]) -> list[_Row] | None:
        """The rows after the nodes of one level. paths: of the draft's tokens that end with each of them."""
        self.check_cancelled()
        rows = self._below([path[-1] for path in paths], parents)
        return None if rows is None else [self._row_after(row, path) for row, path in zip(rows, paths, strict=True)]

    def _row_after(self, row: Floats, path: Sequence[int]) -> _Row:
        assert self._processor is not None
        return _Row(row, self._processor(row, path, self._vocabulary))

    # --- chosen nodes (T=0) ---------------------------------------------------------------------------------

    def _chosen(self, row: _Row, depth: int, count: int) -> list[Node]:
        """The `count` nodes of the highest value (Li et al. 2024b, "EAGLE-2", sections 4.1 and 4.2).

        1. On each level, the `width` candidates of the highest value are continued.
        2. Of the candidates of all levels, the `count` best are kept.
        """
        width = min(self._width, count - depth + 1)
        found: list[_Candidate] = []
        ends = self.request.limits.end_ids
        grown: list[int] = [ROOT]  # indices into `found` of the candidates that the last level continued
        head_nodes: dict[int, int] = {ROOT: ROOT}  # index into `found` -> number of the node in the head
        rows: list[_Row] | None = [row]
        for level in range(depth):
            if rows is None:
                break
            first = len(found)
            if self._stops.before_token(rows[0].used, Sampling()):
                break
            for parent, after in zip(grown, rows, strict=True):
                found += self._best(after, parent, 0.0 if parent == ROOT else found[parent].value, width)
            going = [index for index in range(first, len(found)) if found[index].token not in ends]
            grown = sorted(going, key=lambda index: -found[index].value)[:width]
            if not grown or level == depth - 1 or self._stops.before_pass():
                break
            parents = [head_nodes[found[index].parent] for index in grown]
            head_nodes |= {index: len(head_nodes) - 1 + number for number, index in enumerate(grown)}
            rows = self._deeper([_path(found, index) for index in grown], parents)
        return self._kept(found, count)

    def _kept(self, found: Sequence[_Candidate], count: int) -> list[Node]:
        """The `count` candidates of the highest value. A parent's value is at least its child's, so it is kept too."""
        kept = sorted(sorted(range(len(found)), key=lambda index: -found[index].value)[:count])
        number = {ROOT: ROOT} | {index: n for n, index in enumerate(kept)}
        return [
            Node(found[index].token, number[found[index].parent], None, self.name, found[index].scores)
            for index in kept
        ]

    def _best(self, row: _Row, parent: int, value: float, count: int) -> list[_Candidate]:
        """The `count` most probable tokens at a position, most probable first."""
        if row.empty:
            return []
        logits = row.used
        best_id(logits)  # raises for logits that are not finite
        shifted = logits - logits.max()
        logprobs = shifted - np.log(np.exp(shifted).sum())
        best = top_ids(logits, min(count, len(logits)))
        best = best[np.argsort(-logprobs[best], kind="stable")]
        best = best[logprobs[best] > -np.inf]
        return [
            _Candidate(int(self._vocabulary[i]), parent, value + float(logprobs[i]), self._scores(row.raw, int(i)))
            for i in best
        ]

    # --- drawn nodes (T>0) ----------------------------------------------------------------------------------

    def _drawn(self, row: _Row, depth: int, count: int, chance: Chance) -> list[Node]:
        """Every level has a fixed number of nodes, drawn without replacement where the gain is largest."""
        nodes: list[Node] = []
        ends, widths = self.request.limits.end_ids, _widths(depth, count)
        points, level_row = [self._point(row, ROOT, 1.0)], row  # a chain, the one that can stop, has one row a level
        head_nodes = {ROOT: ROOT}  # node of the draft -> number of the node in the head
        for level, width in enumerate(widths):
            if self._stops.before_token(level_row.used, self.request.sampling):
                break
            fresh = self._draw(nodes, points, width, chance)
            going = [(node, reach) for node, reach in fresh if nodes[node].token not in ends]
            if not going or level == len(widths) - 1 or self._stops.before_pass():
                break
            parents = [head_nodes[nodes[node].parent] for node, _ in going]
            head_nodes |= {node: len(head_nodes) - 1 + number for number, (node, _) in enumerate(going)}
            rows = self._deeper([_path(nodes, node) for node, _ in going], parents)
            if rows is None:
                break
            points = [self._point(after, node, reach) for after, (node, reach) in zip(rows, going, strict=True)]
            level_row = rows[0]
        return nodes

    def _draw(
        self, nodes: list[Node], points: Sequence[_HeadPoint], count: int, chance: Chance
    ) -> list[tuple[int, float]]:
        """Append up to `count` nodes below these points. Returns (node, the head's probability of reaching it)."""
        fresh: list[tuple[int, float]] = []
        for _ in range(count):
            point = max(points, key=lambda point: point.gain)
            if point.rest is None or point.gain <= 0.0:
                break
            q = self.declared(point.rest)
            index = chance.draw(q.probs, len(nodes))
            token, prob = int(q.ids[index]), float(q.probs[index])
            assert point.row is not None
            shown = self._scores(point.row, int(np.searchsorted(self._vocabulary, token)))
            fresh.append((len(nodes), point.reach * point.left * prob))
            nodes.append(Node(token, point.parent, q, self.name, shown, covered_mass=point.mass))
            point.rest, point.left, point.mass = without(q, token), point.left * (1.0 - prob), None
        return fresh

    def _point(self, row: _Row, parent: int, reach: float) -> _HeadPoint:
        if row.empty:
            return _HeadPoint(parent, reach, None, 0.0)
        q = self._support(row.used, self.request.sampling)
        begun_s, mass = self._clock(), None
        if self.request.evidence:
            inside = np.searchsorted(self._vocabulary, q.ids).astype(np.int32)
            mass = covered_mass(row.used, Support(inside, q.probs), self.request.sampling)
            self._evidence_ms += (self._clock() - begun_s) * 1000
        return _HeadPoint(parent, reach, q, 1.0, row=row.raw, mass=mass)

    def _support(self, row: Floats, sampling: Sampling) -> Support:
        """q over the target's ids, from the head's logits float[K]."""
        q = support(row, sampling, self.capped(self._support_size))
        return Support(self._vocabulary[q.ids], q.probs)

    def _scores(self, row: Floats, index: int) -> Scores | None:
        """The head's raw scores of a token, given by its index in the head's vocabulary; None without evidence."""
        if not self.request.evidence:
            return None
        begun_s = self._clock()
        own = scores(row, index, self._alternatives)
        top = tuple((int(self._vocabulary[other]), logprob) for other, logprob in own.top)
        self._evidence_ms += (self._clock() - begun_s) * 1000
        return Scores(own.logprob, own.entropy, top)


def _path(nodes: Sequence[_Candidate | Node], node: int) -> list[int]:
    """The tokens from the first level down to a node."""
    tokens: list[int] = []
    while node != ROOT:
        tokens.append(nodes[node].token)
        node = nodes[node].parent
    return tokens[::-1]


def _widths(depth: int, count: int) -> list[int]:
    """The number of nodes of each level: one each, and the rest spread evenly from the first level on."""
    more, rest = divmod(max(0, count - depth), depth)
    return [1 + more + (level < rest) for level in range(depth)]
