"""The target looks ahead itself: Jacobi iteration in its own pass, and a pool of what it found (Fu et al. 2024).

A window of guesses at the next places rides along in every pass as probes. Behind each trajectory of guesses the
target says what it would write; a trajectory with that token is an n-gram the target could have written, kept in a
pool by its first token. Where the text comes upon that token, its n-grams are the draft.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from speculatoviz.core.chance import Chance
from speculatoviz.core.types import ROOT, Draft, Limits, Need, Node, Plan, Probes, Request, Round, Sampling
from speculatoviz.models.base import PREFILL_TOKENS


class Pool:
    """N-grams by their first token: the newest `guesses` of each, and of first tokens the newest `most_keys`."""

    def __init__(self, guesses: int, most_keys: int) -> None:
        self._guesses, self._most_keys = guesses, most_keys
        self._after: OrderedDict[int, list[tuple[int, ...]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._after.values()))

    def add(self, ngram: Sequence[int]) -> None:
        key, after = ngram[0], tuple(ngram[1:])
        others = [other for other in self._after.get(key, []) if other != after]
        self._after[key] = [after, *others][: self._guesses]
        self._after.move_to_end(key)
        if len(self._after) > self._most_keys:
            self._after.popitem(last=False)

    def after(self, token: int) -> list[tuple[int, ...]]:
        """What followed it, newest first."""
        return self._after.get(token, [])


class LookaheadDrafter:
    """Drafts the n-grams of its pool that begin with the last committed token, and sends its window along.

    window: columns, W of the paper, section 3. ngram: N, tokens of an n-gram: each column holds N - 1, and every
    round moves it on by one. guesses: G, the most n-grams of a draft. from_text: also learn the n-grams of prompt and
    output. Its tokens are chosen, so that q is a point mass and any temperature is exact. A target that takes no
    trees gets one n-gram and no probes; the pool then has only the text to learn from.
    Raises ValueError for a window that is no window or fills a pass.
    """

    name = "lookahead"
    needs: frozenset[Need] = frozenset({"probes"})

    def __init__(
        self, window: int = 5, ngram: int = 4, guesses: int = 4, from_text: bool = False, most_keys: int = 4096
    ) -> None:
        if window < 1 or ngram < 3 or guesses < 1:
            raise ValueError(f"expected window >= 1, ngram >= 3 and guesses >= 1, got {window}, {ngram}, {guesses}")
        if (window + 1) * (ngram - 1) > PREFILL_TOKENS:
            raise ValueError(f"expected (window + 1) (ngram - 1) <= {PREFILL_TOKENS}, a pass, got {window}, {ngram}")
        self._size, self._levels = window, ngram - 1
        self._guesses, self._from_text, self._most_keys = guesses, from_text, most_keys
        self._request = Request((0,), Sampling(), Limits(0))
        self._sent: tuple[tuple[int, int], ...] = ()
        self._start([0])

    @property
    def pool(self) -> Pool:
        return self._pool

    def begin(self, request: Request) -> None:
        self._request = request
        self._start(request.prompt)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        del chance
        trees = self._request.drafting.trees
        self._learn(prefix)
        room = PREFILL_TOKENS - 1 if plan.room is None else plan.room
        probes = self._probes() if trees and self._probe_count < room else ()
        branching = trees and plan.spare > 0
        nodes = self._nodes(
            self._pool.after(prefix[-1])[: self._guesses if branching else 1],
            plan.depth,
            min(plan.nodes if branching else plan.depth, room - len(probes)),
        )
        self._sent = probes
        if not probes:
            return Draft.tree(round, nodes)
        parents = tuple(parent if parent == ROOT else parent + len(nodes) for _, parent in probes)
        return replace(Draft.tree(round, nodes), probes=Probes(tuple(token for token, _ in probes), parents))

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        del prefix, round, plan, chance, pays  # looking up takes no time worth hiding
        return False

    def observe(self, round: Round) -> None:
        """Move the window on by what the target said behind it (algorithm 2), and keep its n-grams.

        The first column's keeps its own first token, which the others were guessed behind: with the committed one it
        would be an n-gram that nobody wrote (1.31 tokens a round instead of 1.30 with a tenth fewer drafted, SmolLM2).
        """
        probes, found = round.draft.probes, round.verdict.probed
        if probes is None or not found or probes.tokens != tuple(token for token, _ in self._sent):
            return
        ends = self._request.limits.stop_ids
        deepest = self._levels - 2  # of the first column, whose first token is no probe
        for number, column in enumerate(self._columns):
            said = found[deepest + number * self._levels]
            self._pool.add([*column, said])
            # an end would fill the window with ends
            column[:] = [*column[1:], self._filler(number) if said in ends else said]

    def close(self) -> None:
        pass

    @property
    def _probe_count(self) -> int:
        return self._size * self._levels - 1

    def _start(self, prompt: Sequence[int]) -> None:
        """A window of pieces of the prompt, and an empty pool."""
        self._pool = Pool(self._guesses, self._most_keys)
        self._prompt, self._read = list(prompt), 0
        self._columns = [
            [self._filler(column + level) for level in range(self._levels)] for column in range(self._size)
        ]
        self._sent = ()

    def _filler(self, place: int) -> int:
        return self._prompt[place % len(self._prompt)]

    def _learn(self, prefix: list[int]) -> None:
        """Add the n-grams of the text that are new since the last round."""
        if not self._from_text and self._request.drafting.trees:
            return
        length = self._levels + 1
        for end in range(max(self._read + 1, length), len(prefix) + 1):
            self._pool.add(prefix[end - length : end])
        self._read = len(prefix)

    def _probes(self) -> tuple[tuple[int, int], ...]:
        """(token, parent) of the window, column by column; parents among the probes.

        The first tokens of the columns are a chain, and what follows in a column hangs below its first token (figure 2
        of the paper). That of the first column is not sent: the last committed token, ROOT, stands in its place.
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
        """The guesses as one tree, cut at end tokens; a beginning that two of them share stands there once."""
        ends = self._request.limits.end_ids
        nodes: list[Node] = []
        place_of: dict[tuple[int, int], int] = {}
        for guess in guesses:
            parent = ROOT
            for token in guess[:depth]:
                place = place_of.get((parent, token))
                if place is None:
                    if len(nodes) >= most:
                        return nodes
                    place = place_of[parent, token] = len(nodes)
                    nodes.append(Node(token, parent, source=self.name))
                if token in ends:
                    break
                parent = place
        return nodes
