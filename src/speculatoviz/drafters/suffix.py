"""Continues the longest earlier match, by how often each continuation occurred.

A suffix automaton of prompt and output, one of earlier outputs and one of a predicted output find the match (Hu et al.
2024, "SAM-Decoding").
Counts make it a distribution and a tree (Oliaro et al. 2024, "SuffixDecoding"). Long contexts are rare and reliable,
short ones frequent and unreliable: they are blended as in text compression, where each context passes the rest of the
probability on to the next shorter one (Witten and Bell 1991, method C).
"""

from __future__ import annotations

import heapq
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.constraint import PREDICTED
from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.sampling import without
from speculatoviz.core.types import ROOT, Draft, Node, Request, Scores, Support
from speculatoviz.drafters.base import BaseDrafter
from speculatoviz.drafters.suffix_automaton import EarlierTexts, Level, Match, SuffixAutomaton

_NEGLIGIBLE = 1e-3  # the rest of the probability below which shorter contexts are not read
_LOOK_AHEAD = 8  # tokens that `confidence` sums over
_OUTLOOK = 16  # tokens of an outlook


class _Matches(NamedTuple):
    """The matches of the last tokens: in this run's text, in earlier outputs, and in the prediction.

    path: the drafted ones of these tokens. processor: of the committed ones, for the mask of a grammar; None outside a
    run.
    """

    own: Match
    earlier: Match
    predicted: Match
    processor: LogitsProcessor | None
    path: tuple[int, ...] = ()


class _Estimate(NamedTuple):
    """q, and `known`: the estimated probability that the next token is in the support of q."""

    q: Support
    known: float


class _NextChild(NamedTuple):
    """The next child that a node could get.

    q: what it is taken from. known: the probability that q stands for. reach: the estimated probability that its parent
    is accepted. matches: after the parent. whole: q before any sibling was taken, for display.
    """

    parent: int
    depth: int
    reach: float
    matches: _Matches
    q: Support
    known: float
    whole: Support

    def gain(self, drawn: bool) -> float:
        """The probability that this child is accepted, before its token is known.

        reach * known * sum q^2 if it is drawn from q, reach * known * max q if it is the most probable token.
        """
        right = np.square(self.q.probs).sum() if drawn else self.q.probs.max()
        return self.reach * self.known * float(right)


class SuffixDrafter(BaseDrafter):
    """Drafts from the counts after contexts of `shortest` to `longest` tokens.

    Tokens are drawn at T>0, siblings without replacement; they are chosen if the sampling is greedy or the target asks
    for it. Nodes are added where `gain` is largest, which is known before a token is drawn.
    clock: seconds. corpus: earlier outputs; of these and of remembered ones the newest corpus_tokens are kept.
    support_size: the largest S of q. alternatives: how many to report. least: the smallest gain of a drafted node.
    Raises ValueError for sizes out of order.
    """

    name = "suffix"
    begins_at_no_cost = True

    def __init__(
        self,
        clock: Callable[[], float],
        longest: int = 16,
        shortest: int = 1,
        corpus: Sequence[Sequence[int]] = (),
        corpus_tokens: int = 1 << 15,
        support_size: int = 64,
        alternatives: int = 8,
        least: float = 0.2,
    ) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(f"expected 1 <= shortest <= longest, got {shortest} and {longest}")
        self._clock = clock
        self._shortest, self._longest = shortest, longest
        self._own = SuffixAutomaton(longest)
        self._corpus = EarlierTexts(longest, corpus_tokens)
        self._prediction = SuffixAutomaton(longest)
        for ids in corpus:
            self._corpus.add(ids)
        self._support_size, self._alternatives, self._least = support_size, alternatives, least

    def begin(self, request: Request) -> None:
        super().begin(request)
        self._own.read(request.prompt)
        self._prediction.read(request.prediction)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        nodes, evidence_ms = self._grow(prefix, plan, chance)
        return Draft.tree(round, nodes, evidence_ms)

    def remember(self, ids: Sequence[int]) -> None:
        """Add the output of a finished run to the corpus."""
        self._corpus.add(ids)

    def next(self, prefix: list[int]) -> Support | None:
        """The distribution of the token after `prefix`; None if no context of it occurred before."""
        estimate = self._estimate(self._matches(prefix))
        return estimate.q if estimate else None

    def outlook(self, prefix: list[int]) -> Outlook:
        """The most probable path, as far as it is drafted at T=0; at T>0 a draft may end earlier."""
        tokens: list[int] = []
        certainties: list[float] = []
        reach = 1.0
        for token, certainty in itertools.islice(self._path(prefix), _OUTLOOK):
            reach *= certainty
            if reach < self._least:
                break
            tokens.append(token)
            certainties.append(certainty)
            if token in self.request.limits.end_ids:
                break
        return Outlook(tuple(tokens), tuple(certainties), len(tokens), branches=self.request.drafting.trees)

    def confidence(self, prefix: list[int]) -> float:
        """The expected number of accepted tokens on the best path of eight: sum of the reach of its nodes."""
        certainties = (certainty for _, certainty in itertools.islice(self._path(prefix), _LOOK_AHEAD))
        return float(sum(itertools.accumulate(certainties, operator.mul)))

    def _path(self, prefix: list[int]) -> Iterator[tuple[int, float]]:
        """The most probable continuation: tokens, each with the estimated probability that it comes next."""
        matches = self._matches(prefix)
        while (best := self._most_probable(matches)) is not None:
            yield best
            matches = self._after(matches, best[0])

    def _most_probable(self, matches: _Matches) -> tuple[int, float] | None:
        """The most probable token of `_estimate`, with its probability; None if there is none."""
        if matches.processor is not None and matches.processor.restricts:
            estimate = self._estimate(matches)
            if estimate is None:
                return None
            best = int(estimate.q.probs.argmax())
            return int(estimate.q.ids[best]), estimate.known * float(estimate.q.probs[best])
        weights = self._blended(matches)
        if not weights:
            return None
        token = min(weights, key=lambda token: (-weights[token], token))
        return token, weights[token]

    # --- estimates from counts ---------------------------------------------------------------------------

    def _matches(self, prefix: list[int]) -> _Matches:
        self._own.read(prefix)
        last = prefix[-self._longest :]
        found = self._corpus.automaton.find(last), self._prediction.find(last)
        processor = LogitsProcessor(self._begun, prefix) if self._begun is not None else None
        return _Matches(self._own.end, *found, processor)

    def _after(self, matches: _Matches, token: int) -> _Matches:
        return _Matches(
            self._own.follow(matches.own, token),
            self._corpus.automaton.follow(matches.earlier, token),
            self._prediction.follow(matches.predicted, token),
            matches.processor,
            (*matches.path, token),
        )

    def _blended(self, matches: _Matches) -> dict[int, float]:
        """The estimated probability of each token: the counts of all matching contexts, blended, the longest first."""
        own = self._own.levels(matches.own, self._shortest)
        earlier = self._corpus.automaton.levels(matches.earlier, self._shortest)
        predicted = self._prediction.levels(matches.predicted, self._shortest)
        weights: dict[int, float] = {}
        rest = 1.0
        for level in heapq.merge(own, earlier, predicted, key=lambda level: -level.length):
            total = sum(level.counts.values())
            share = rest * _trust(level, total)
            for token, count in level.counts.items():
                weights[token] = weights.get(token, 0.0) + share * count / total
            rest -= share
            if rest < _NEGLIGIBLE:
                break
        return weights

    def _estimate(self, matches: _Matches) -> _Estimate | None:
        """q from the blended counts. None if nothing that is allowed followed."""
        weights = self._blended(matches)
        if not weights:
            return None
        size = self.capped(self._support_size)
        ids = sorted(sorted(weights, key=lambda token: (-weights[token], token))[:size])
        probs = np.array([weights[token] for token in ids])
        known = float(probs.sum())
        q = Support(np.array(ids, np.int32), probs / known)
        allowed = q if matches.processor is None else matches.processor.restricted(q, matches.path)
        return None if allowed is None else _Estimate(allowed, known)

    # --- the tree ----------------------------------------------------------------------------------------

    def _grow(self, prefix: list[int], plan: Plan, chance: Chance) -> tuple[list[Node], float]:
        """Nodes in the order of their gain, and the milliseconds spent on scores for display."""
        mark_s, evidence_ms = self._clock(), 0.0
        drafting, ends, drawn = self.request.drafting, self.request.limits.end_ids, not self.deterministic
        branching = drafting.trees and plan.spare > 0
        most = plan.nodes if branching else plan.depth
        most = most if plan.room is None else min(most, plan.room)
        nodes: list[Node] = []
        heap: list[tuple[float, int, _NextChild]] = []
        order = itertools.count()  # of equal gains the first one offered comes first

        def offer(child: _NextChild | None) -> None:
            if child is not None:
                heapq.heappush(heap, (-child.gain(drawn), next(order), child))

        offer(self._child(ROOT, 0, 1.0, self._matches(prefix)))
        while heap and len(nodes) < most:
            negative_gain, _, child = heapq.heappop(heap)
            if -negative_gain < self._least:
                break
            node = len(nodes)
            token, q = self._take(child.q, node, chance)
            right = child.known * child.q.prob(token)
            if branching:
                offer(self._sibling(child, token, right))
            if child.depth + 1 < plan.depth and token not in ends:
                offer(self._child(node, child.depth + 1, child.reach * right, self._after(child.matches, token)))
            taken_s = self._clock()
            shown = self._scores(child.whole, token) if self.request.evidence else None
            now_s = self._clock()
            source = self._source(child.matches, token)
            nodes.append(Node(token, child.parent, q, source, shown, (taken_s - mark_s) * 1000))
            mark_s, evidence_ms = now_s, evidence_ms + (now_s - taken_s) * 1000
        return nodes, evidence_ms

    def _child(self, parent: int, depth: int, reach: float, matches: _Matches) -> _NextChild | None:
        estimate = self._estimate(matches)
        if estimate is None:
            return None
        return _NextChild(parent, depth, reach, matches, self._drawable(estimate.q), estimate.known, estimate.q)

    def _sibling(self, child: _NextChild, token: int, right: float) -> _NextChild | None:
        rest = without(child.q, token)
        return child._replace(q=self._drawable(rest), known=child.known - right) if rest else None

    def _drawable(self, q: Support) -> Support:
        """q as it is declared, if tokens are drawn from it."""
        return q if self.deterministic else self.declared(q)

    def _take(self, q: Support, node: int, chance: Chance) -> tuple[int, Support | None]:
        """(token, q it was drawn from); q is None for a chosen token."""
        if self.deterministic:
            return int(q.ids[q.probs.argmax()]), None
        return int(q.ids[chance.draw(q.probs, node)]), q

    def _source(self, matches: _Matches, token: int) -> str:
        """PREDICTED if the prediction has the longest context that the token followed, alone or with other texts."""
        if not self.request.prediction:
            return self.name

        def longest(levels: Iterator[Level]) -> int:
            return next((level.length for level in levels if token in level.counts), 0)

        predicted = longest(self._prediction.levels(matches.predicted, self._shortest))
        own = longest(self._own.levels(matches.own, self._shortest))
        earlier = longest(self._corpus.automaton.levels(matches.earlier, self._shortest))
        return PREDICTED if predicted and predicted >= max(own, earlier) else self.name

    def _scores(self, q: Support, token: int) -> Scores:
        order = np.argsort(-q.probs, kind="stable")[: self._alternatives]
        top = tuple((int(q.ids[i]), math.log(q.probs[i])) for i in order)
        entropy = max(0.0, -float(np.dot(q.probs, np.log(q.probs))))
        return Scores(math.log(q.prob(token)), entropy, top)


def _trust(level: Level, total: int) -> float:
    """The estimated probability that the next token is one that followed this context before: s / (s + 2),
    s = length * (total / distinct)^2.

    Long contexts and repeated continuations are reliable. The form and the constant 2 were fitted to greedy texts of
    SmolLM2, over all lengths and counts.
    """
    seen = level.length * (total / len(level.counts)) ** 2
    return seen / (seen + 2)
