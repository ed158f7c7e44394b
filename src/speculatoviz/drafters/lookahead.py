"""Lookahead decoding: Jacobi iteration in the target's own pass, and a pool of the n-grams it finds (Fu et al. 2024).

1. Every pass of the target also carries a window of guesses for the next positions, as probes.
2. The target's most probable token after each column of guesses makes the column an n-gram, which enters the pool.
3. If the text reaches the first token of a pooled n-gram, the rest of that n-gram is drafted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import ROOT, Draft, Node, Probes, Request
from speculatoviz.drafters.base import BaseDrafter
from speculatoviz.models.base import PREFILL_TOKENS


class Pool:
    """N-grams by their first token: the newest `guesses` for each, and the newest `most_keys` first tokens."""

    def __init__(self, guesses: int, most_keys: int) -> None:
        self._guesses, self._most_keys = guesses, most_keys
        self._after: OrderedDict[int, list[tuple[int, ...]]] = OrderedDict()

    def __len__(self) -> int:
        """The number of n-grams."""
        return sum(map(len, self._after.values()))

    def add(self, ngram: Sequence[int]) -> None:
        """Make it the newest n-gram of its first token."""
        key, after = ngram[0], tuple(ngram[1:])
        others = [other for other in self._after.get(key, []) if other != after]
        self._after[key] = [after, *others][: self._guesses]
        self._after.move_to_end(key)
        if len(self._after) > self._most_keys:
            self._after.popitem(last=False)

    def after(self, token: int) -> list[tuple[int, ...]]:
        """The n-grams that begin with a token, without that token, newest first."""
        return self._after.get(token, [])


class LookaheadDrafter(BaseDrafter):
    """Drafts the pooled n-grams that begin with the last committed token, and sends the window along as probes.

    window: W, the number of columns (Fu et al. 2024, section 3). ngram: N, the tokens of an n-gram; a column holds
    N - 1 tokens and moves on by one each round. guesses: G, the most n-grams in a draft. from_text: also pool the
    n-grams of prompt and output. Tokens are chosen, so q is a point mass and every temperature is exact. For a target
    that does not take trees the draft is one n-gram without probes, and the pool learns from the text only. Raises
    ValueError for sizes that are too small or fill a pass.
    """

    name = "lookahead"
    _needs = frozenset({"probes"})

    def __init__(
        self, window: int = 5, ngram: int = 4, guesses: int = 4, from_text: bool = False, most_keys: int = 4096
    ) -> None:
        if window < 1 or ngram < 3 or guesses < 1:
            raise ValueError(f"expected window >= 1, ngram >= 3 and guesses >= 1, got {window}, {ngram}, {guesses}")
        if (window + 1) * (ngram - 1) > PREFILL_TOKENS:
            raise ValueError(f"expected (window + 1) (ngram - 1) <= {PREFILL_TOKENS}, a pass, got {window}, {ngram}")
        self._window, self._levels = window, ngram - 1
        self._guesses, self._from_text, self._most_keys = guesses, from_text, most_keys
        self.pool = Pool(guesses, most_keys)
        self._prompt: list[int] = []
        self._columns: list[list[int]] = []
        self._learned = 0  # tokens of the text whose n-grams are pooled
        self._sent: tuple[tuple[int, int], ...] = ()  # (token, parent) of the probes of the last draft

    def begin(self, request: Request) -> None:
        """Start with an empty pool and a window of pieces of the prompt."""
        super().begin(request)
        self.pool = Pool(self._guesses, self._most_keys)
        self._prompt, self._learned, self._sent = list(request.prompt), 0, ()
        self._columns = [
            [self._filler(column + level) for level in range(self._levels)] for column in range(self._window)
        ]

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        del chance
        trees = self.request.drafting.trees
        self._learn(prefix)
        room = PREFILL_TOKENS - 1 if plan.room is None else plan.room
        probes = self._probes() if trees and self._probe_count < room else ()
        branching = trees and plan.spare > 0
        nodes = self._nodes(
            self.pool.after(prefix[-1])[: self._guesses if branching else 1],
            plan.depth,
            min(plan.nodes if branching else plan.depth, room - len(probes)),
        )
        self._sent = probes
        if not probes:
            return Draft.tree(round, nodes)
        parents = tuple(parent if parent == ROOT else parent + len(nodes) for _, parent in probes)
        return replace(Draft.tree(round, nodes), probes=Probes(tuple(token for token, _ in probes), parents))

    def observe(self, round: Round) -> None:
        """Move every column on by the target's token after it (algorithm 2), and pool the column's n-gram.

        The n-gram of the first column begins with the column's own first token, after which the others were guessed.
        With the committed token in its place the n-gram would be one that no model wrote: measured on SmolLM2, that
        gave 1.30 instead of 1.31 tokens a round with a tenth more drafted.
        """
        probes, found = round.draft.probes, round.verdict.probed
        if probes is None or not found or probes.tokens != tuple(token for token, _ in self._sent):
            return
        ends = self.request.limits.stop_ids
        deepest = self._levels - 2  # of the first column, whose first token is not a probe
        for number, column in enumerate(self._columns):
            after = found[deepest + number * self._levels]
            self.pool.add([*column, after])
            # An end token would fill the window with end tokens.
            column[:] = [*column[1:], self._filler(number) if after in ends else after]

    @property
    def _probe_count(self) -> int:
        return self._window * self._levels - 1

    def _filler(self, index: int) -> int:
        return self._prompt[index % len(self._prompt)]

    def _learn(self, prefix: list[int]) -> None:
        """Pool the n-grams of the text that are new since the last round."""
        if not self._from_text and self.request.drafting.trees:
            return
        length = self._levels + 1
        for end in range(max(self._learned + 1, length), len(prefix) + 1):
            self.pool.add(prefix[end - length : end])
        self._learned = len(prefix)

    def _probes(self) -> tuple[tuple[int, int], ...]:
        """(token, parent) of the window, column by column. A parent is ROOT or an index into the probes.

        The first tokens of the columns form a chain, and the rest of a column hangs below its first token (figure 2 of
        the paper). The first token of the first column is not sent: the last committed token takes its place.
        """
        probes: list[tuple[int, int]] = []
        above = ROOT
        for number, column in enumerate(self._columns):
            if number > 0:
                probes.append((column[0], above))
                above = len(probes) - 1
            parent = above
            for token in column[1:]:
                probes.append((token, parent))
                parent = len(probes) - 1
        return tuple(probes)

    def _nodes(self, guesses: Sequence[Sequence[int]], depth: int, most: int) -> list[Node]:
        """The guesses as one tree of at most `most` nodes, cut after end tokens. Common beginnings are shared."""
        ends = self.request.limits.end_ids
        nodes: list[Node] = []
        node_of: dict[tuple[int, int], int] = {}
        for guess in guesses:
            parent = ROOT
            for token in guess[:depth]:
                node = node_of.get((parent, token))
                if node is None:
                    if len(nodes) >= most:
                        return nodes
                    node = node_of[parent, token] = len(nodes)
                    nodes.append(Node(token, parent, source=self.name))
                if token in ends:
                    break
                parent = node
        return nodes
