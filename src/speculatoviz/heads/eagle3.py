"""EAGLE-3's head: one decoder layer on the inputs of three of the target's layers (Li et al. 2025, section 3.1).

Notation: t_i is token i, e(t) its embedding, f_i float32[3 * D] the inputs of the three layers at t_i.

    g_i      = W f_i                                         float32[D], of the target
    x_i      = [norm(e(t_i+1)); norm(g_i)]                   float32[2 D], of pair i: the state at t_i, and t_i+1
    a_i      = g_i + attention(x_i given x_0 .. x_i)         float32[D]
    s_i      = a_i + mlp(norm(a_i))                          float32[D], the head's own state
    logits   = norm(s_i) @ output.T                          float32[K], of t_i+2, over the head's vocabulary of K ids

Beyond the target's last pass s_i takes the place of g_i+1, unnormed; it was trained that way. Where the file says so
(`norm_before_residual`), norm(g_i) takes the place of g_i in the sum. Kernels compute this (`models.eagle3_graph`).
"""

from __future__ import annotations

from collections.abc import Sequence

from speculatoviz.core.types import ROOT, Floats
from speculatoviz.errors import ContextFullError
from speculatoviz.models.eagle3_graph import SEQUENCES, Eagle3Graph, Pair


class Eagle3Cache:
    """m committed pairs (state at a token, next token) of a graph, then the nodes of a draft.

    A node sees the committed pairs and its ancestors. The first child of a node goes on in its sequence, each further
    one in a copy of it.
    """

    def __init__(self, graph: Eagle3Graph) -> None:
        self._graph = graph
        self.length = 0
        self._clear()

    def keep(self, length: int) -> None:
        """Rewind to the first `length` pairs, and drop the nodes. Raises ValueError for a greater length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"expected a length up to {self.length}, got {length}")
        self._graph.keep(length)
        self.length = length
        self._clear()

    def append(self, features: Floats, tokens: Sequence[int], *, last: bool) -> tuple[Floats, Floats]:
        """Add n committed pairs, at most MOST_PAIRS.

        features float32[n, 3 * D]: at the first n of `tokens` int[n + 1]. last: whether logits float32[1, K] and state
        float32[1, D] of the last pair are wanted; otherwise they are empty.
        """
        states = self._graph.fuse(features)
        final = len(states) - 1
        pairs = [
            Pair(token, state, self.length + place, 0, last and place == final)
            for place, (token, state) in enumerate(zip(tokens[1:], states, strict=True))
        ]
        result = self._graph.decode(pairs)
        self.length += len(pairs)
        return result

    def grow(self, states: Floats, tokens: Sequence[int], parents: Sequence[int]) -> tuple[Floats, Floats]:
        """Add one level of a draft in one pass. Returns logits float32[n, K] and own states float32[n, D].

        states float32[n, D]: the head's, of each node's parent. tokens int[n]. parents int[n]: nodes of the level
        before, or ROOT. Nodes that get no child now get none later. Raises ContextFullError for too many nodes.
        """
        self._drop_all_but({self._sequences[parent] for parent in parents if parent != ROOT})
        pairs, continued = [], set[int]()
        for token, parent, state in zip(tokens, parents, states, strict=True):
            above = 0 if parent == ROOT else self._sequences[parent]
            # The children are not in the cache yet: a copy is the path down to the parent.
            sequence = above if above and above not in continued else self._branch(above)
            continued.add(above)
            depth = 0 if parent == ROOT else self._depths[parent] + 1
            self._depths.append(depth)
            self._sequences.append(sequence)
            pairs.append(Pair(token, state, self.length + depth, sequence, True))
        return self._graph.decode(pairs)

    def _branch(self, source: int) -> int:
        if not self._free:
            raise ContextFullError(f"The head has {SEQUENCES} sequences, and all are in use.", "Draft narrower trees.")
        fresh = self._free.pop()
        self._graph.branch(source, fresh)
        return fresh

    def _drop_all_but(self, kept: set[int]) -> None:
        for sequence in set(self._sequences) - kept - set(self._free):
            self._graph.drop(sequence)
            self._free.append(sequence)

    def _clear(self) -> None:
        self._depths: list[int] = []  # of the nodes, from 0
        self._sequences: list[int] = []
        self._free = list(range(1, SEQUENCES))
