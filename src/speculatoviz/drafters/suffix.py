"""Continue the longest earlier match, by how often each continuation came.

A suffix automaton of prompt and output, and one of earlier outputs, find the match (Hu et al. 2024, "SAM-Decoding");
counts make it a distribution and a tree (Oliaro et al. 2024, "SuffixDecoding"). Long contexts are rare and sure, short
ones common and vague: they are blended as in text compression, each context leaving a share to the next shorter one
(Witten & Bell 1991, method C).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import quantised, without
from speculatoviz.core.types import ROOT, Draft, Limits, Need, Node, Plan, Request, Round, Sampling, Scores, Support
from speculatoviz.drafters.suffix_automaton import Corpus, Level, Place, SuffixAutomaton

_NEGLIGIBLE = 1e-3  # share of a distribution that shorter contexts are not asked for
_FORESIGHT = 8  # tokens that `confidence` looks ahead


class _Context(NamedTuple):
    """What matches the last tokens, in the text itself and in earlier ones."""

    own: Place
    earlier: Place


class _Opinion(NamedTuple):
    """q, and the probability that it leaves to nothing: how likely the next token is one that followed before."""

    q: Support
    known: float


class _Slot(NamedTuple):
    """Room for one more child of a node. q: what it is taken from; known: the probability that it stands for.

    reach: the probability, by the drafter's own counts, that its parent is right. context: behind the parent.
    """

    parent: int
    depth: int
    reach: float
    context: _Context
    q: Support
    known: float
    opinion: Support

    def gain(self, drawn: bool) -> float:
        """The probability that the next child is right, before it is known which token that will be."""
        right = np.square(self.q.probs).sum() if drawn else self.q.probs.max()
        return self.reach * self.known * float(right)


class SuffixDrafter:
    """Drafts from counts over contexts of `shortest` to `longest` tokens.

    At T>0 its tokens are drawn, siblings without replacement; chosen where the sampling is greedy or the target asks
    for it. Nodes are added where they are most likely to be right, which is judged before a token is drawn.
    clock: seconds. corpus: earlier outputs; of these and of what is remembered it keeps the newest corpus_tokens.
    support_size: the most ids of q. alternatives: how many to report per token. least: a node is drafted where it is
    right with at least this probability by its own counts.
    """

    name = "suffix"
    needs: frozenset[Need] = frozenset()

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
        self._corpus = Corpus(longest, corpus_tokens)
        for ids in corpus:
            self._corpus.add(ids)
        self._support_size, self._alternatives, self._least = support_size, alternatives, least
        self._request = Request((0,), Sampling(), Limits(0))

    def begin(self, request: Request) -> None:
        self._request = request
        self._own.read(request.prompt)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        nodes, evidence_ms = self._grow(prefix, plan, chance)
        return Draft.tree(round, nodes, evidence_ms)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        del prefix, round, plan, chance, pays  # looking up takes no time worth hiding
        return False

    def observe(self, round: Round) -> None:
        pass

    def close(self) -> None:
        pass

    def remember(self, ids: Sequence[int]) -> None:
        """Learn from the output of a finished run."""
        self._corpus.add(ids)

    def next(self, prefix: list[int]) -> Support | None:
        """The distribution of the token behind `prefix`; None where no context of it occurred before."""
        opinion = self._opinion(self._context(prefix))
        return opinion.q if opinion else None

    def confidence(self, prefix: list[int]) -> float:
        """How many tokens of its best path it expects to be right, of eight: little behind short or rare matches."""
        context, reach, expected = self._context(prefix), 1.0, 0.0
        for _ in range(_FORESIGHT):
            opinion = self._opinion(context)
            if opinion is None:
                break
            reach *= opinion.known * float(opinion.q.probs.max())
            expected += reach
            context = self._behind(context, int(opinion.q.ids[opinion.q.probs.argmax()]))
        return expected

    # --- what the counts say -----------------------------------------------------------------------------

    def _context(self, prefix: list[int]) -> _Context:
        self._own.read(prefix)
        return _Context(self._own.end, self._corpus.automaton.find(prefix[-self._longest :]))

    def _behind(self, context: _Context, token: int) -> _Context:
        return _Context(self._own.follow(context.own, token), self._corpus.automaton.follow(context.earlier, token))

    def _opinion(self, context: _Context) -> _Opinion | None:
        own = self._own.levels(context.own, self._shortest)
        earlier = self._corpus.automaton.levels(context.earlier, self._shortest)
        weights: dict[int, float] = {}
        rest = 1.0
        for level in heapq.merge(own, earlier, key=lambda level: -level.length):
            total = sum(level.counts.values())
            share = rest * _trust(level, total)
            for token, count in level.counts.items():
                weights[token] = weights.get(token, 0.0) + share * count / total
            rest -= share
            if rest < _NEGLIGIBLE:
                break
        if not weights:
            return None
        size = min(self._support_size, self._request.drafting.support_size or self._support_size)
        ids = sorted(sorted(weights, key=lambda token: (-weights[token], token))[:size])
        probs = np.array([weights[token] for token in ids])
        known = float(probs.sum())
        return _Opinion(Support(np.array(ids, np.int32), probs / known), known)

    # --- growing a tree ----------------------------------------------------------------------------------

    @property
    def _drawn(self) -> bool:
        return self._request.drafting.sampled and not self._request.sampling.greedy

    def _grow(self, prefix: list[int], plan: Plan, chance: Chance) -> tuple[list[Node], float]:
        """Nodes best first, and the milliseconds spent on what is only shown."""
        mark, evidence_ms = self._clock(), 0.0
        drafting, ends = self._request.drafting, self._request.limits.end_ids
        branching = drafting.trees and plan.spare > 0
        most = plan.nodes if branching else plan.depth
        most = most if plan.room is None else min(most, plan.room)
        nodes: list[Node] = []
        heap: list[tuple[float, int, _Slot]] = []
        order = itertools.count()  # of equals the one offered first

        def offer(slot: _Slot | None) -> None:
            if slot is not None:
                heapq.heappush(heap, (-slot.gain(self._drawn), next(order), slot))

        offer(self._slot(ROOT, 0, 1.0, self._context(prefix)))
        while heap and len(nodes) < most:
            loss, _, slot = heapq.heappop(heap)
            if -loss < self._least:
                break
            node = len(nodes)
            token, q = self._take(slot.q, node, chance)
            right = slot.known * slot.q.prob(token)
            if branching:
                offer(self._sibling(slot, token, right))
            if slot.depth + 1 < plan.depth and token not in ends:
                offer(self._slot(node, slot.depth + 1, slot.reach * right, self._behind(slot.context, token)))
            taken = self._clock()
            shown = self._scores(slot.opinion, token) if self._request.evidence else None
            now = self._clock()
            nodes.append(Node(token, slot.parent, q, self.name, shown, (taken - mark) * 1000))
            mark, evidence_ms = now, evidence_ms + (now - taken) * 1000
        return nodes, evidence_ms

    def _slot(self, parent: int, depth: int, reach: float, context: _Context) -> _Slot | None:
        opinion = self._opinion(context)
        if opinion is None:
            return None
        return _Slot(parent, depth, reach, context, self._declared(opinion.q), opinion.known, opinion.q)

    def _sibling(self, slot: _Slot, token: int, right: float) -> _Slot | None:
        left = without(slot.q, token)
        return slot._replace(q=self._declared(left), known=slot.known - right) if left else None

    def _declared(self, q: Support) -> Support:
        """q as it can travel: it is drawn from in that very form."""
        return quantised(q) if self._drawn and self._request.drafting.quantised else q

    def _take(self, q: Support, node: int, chance: Chance) -> tuple[int, Support | None]:
        """A token, and the q it was drawn from; None for one chosen."""
        if self._drawn:
            return int(q.ids[chance.draw(q.probs, node)]), q
        return int(q.ids[q.probs.argmax()]), None

    def _scores(self, q: Support, token: int) -> Scores:
        order = np.argsort(-q.probs, kind="stable")[: self._alternatives]
        top = tuple((int(q.ids[i]), math.log(q.probs[i])) for i in order)
        entropy = max(0.0, -float(np.dot(q.probs, np.log(q.probs))))
        return Scores(math.log(q.prob(token)), entropy, top)


def _trust(level: Level, total: int) -> float:
    """The probability that what comes next is one of what followed this context before.

    Long contexts and continuations that came again are the sure ones. The form and its constant fit how often that was
    so in greedy texts of SmolLM2, over all lengths and counts.
    """
    seen = level.length * (total / len(level.counts)) ** 2
    return seen / (seen + 2)
