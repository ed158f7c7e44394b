"""EAGLE's head: one decoder layer that predicts the target's next hidden states (Li et al. 2024, section 3.1).

Notation: t_i is token i, e(t) its embedding, s_i the target's hidden state after t_i, all float32[D].

    x_i      = W [norm(s_i); norm(e(t_i+1)); norm(e(t_i))]    float32[D], of pair i: the state after t_i, and t_i+1
    s'_i+1   = layer(x_i given x_0 .. x_i)                    float32[D], the head's estimate of s_i+1
    logits   = s'_i+1 @ output.T                              float32[K], over the head's vocabulary of K tokens

Beyond the target's last state the head's own s' takes the place of s. It was trained that way (training-time test, Li
et al. 2025, section 3.1). EAGLE has no e(t_i). With it one layer can look up which token followed an earlier
occurrence of the last one, for which a transformer needs two layers (induction, Olsson et al. 2022). Embeddings and
output rows are the target's (`TargetRows`). Kernels compute this (`models.runtimes.ggml`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats, Ints
from speculatoviz.errors import HeadError
from speculatoviz.heads.file import EPSILON, HeadFile, Shapes
from speculatoviz.heads.rows import TargetRows
from speculatoviz.models.runtimes.ggml import Pass, Stored, Tensor

_FEWEST_CELLS = 256


def shapes(hidden_size: int, heads: int, width: int, inner: int) -> Shapes:
    """The shapes of the weights. hidden_size: D. heads: H attention heads of width W. inner: of the feed-forward."""
    d, attention = hidden_size, heads * width
    return {
        "state_norm": (d,),
        "embedding_norm": (d,),
        "fc": (d, 3 * d),
        "attention_norm": (d,),
        "q": (attention, d),
        "k": (attention, d),
        "v": (attention, d),
        "o": (d, attention),
        "mlp_norm": (d,),
        "gate": (inner, d),
        "up": (inner, d),
        "down": (d, inner),
        "output_norm": (d,),
    }


class EagleHead:
    """The weights of a head, shared by the caches that are open on it.

    vocabulary int32[K]: the ids it can draft. hidden_size: D. threads: that compute a pass. Matrices are stored in 8
    bits. Raises HeadError if a weight does not have its shape, ModelError without ggml (`models.runtimes.ggml`).
    """

    def __init__(self, file: HeadFile, rows: TargetRows, threads: int = 1) -> None:
        self.heads = int(file.number("heads", 1, 1024))
        self.width = int(file.number("width", 2, 1024))
        self.window = int(file.number("window", 1, 1 << 20))
        self.theta = file.number("theta", 1.0, 1e9)
        self.inner = int(file.number("inner", 1, 1 << 20))
        if self.width % 2:
            raise HeadError(f"The head's width is {self.width}, an odd number.", "Choose another head.")
        file.require(shapes(file.hidden_size, self.heads, self.width, self.inner))
        self.vocabulary, self.hidden_size, self.threads, self.rows = file.vocabulary, file.hidden_size, threads, rows
        self.weights = Stored({**file.tensors, "output": rows.output(file.vocabulary)}, small=True)

    def open(self) -> EagleCache:
        """A new, empty cache."""
        return EagleCache(self)

    def numbers(self, rows: int, places: int) -> int:
        """The most numbers of a pass over `rows` inputs that attend to `places` places."""
        a_row = 32 * self.hidden_size + 8 * (self.inner + self.heads * self.width) + 3 * len(self.vocabulary)
        return rows * (a_row + (3 * self.heads + 1) * places)


class EagleCache:
    """The KV cache of a head: m committed pairs (state, next token), then the nodes of a draft; see `PairCache`.

    One layer reads nothing of earlier pairs but their keys and values, so s' is computed for the last pair alone. A
    query attends to the last `window` places. Keys are stored as [cells, H W], values as [H W, cells].
    """

    _store: Stored

    def __init__(self, head: EagleHead) -> None:
        self._head, self._cells = head, 0
        self._token = 0  # of the last pair: the token before the first nodes
        self.length = 0
        self._clear()

    def keep(self, length: int) -> None:
        """Rewind to the first `length` pairs, and drop the nodes. Raises ValueError for a greater length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"expected a length up to {self.length}, got {length}")
        self.length = length
        self._clear()

    def append(self, features: Floats, tokens: Sequence[int], *, last: bool) -> tuple[Floats, Floats]:
        """Add n committed pairs. features float32[n, D]: the target's states after the first n of `tokens` int[n + 1].

        Returns logits float32[1, K] and s' float32[1, D] after the last pair if `last`; else both are empty.
        """
        self._clear()
        head, count, end = self._head, len(features), self.length + len(features)
        self._reserve(end)
        start = max(0, end - head.window)  # of what the last pair attends to
        positions = np.arange(self.length, end, dtype=np.int32)
        with Pass(head.numbers(count, end - start), head.threads) as graph:
            layer = _Layer(graph, head, features, tokens[:-1], tokens[1:])
            layer.write(self._store, self.length, positions)
            self.length, self._token = end, tokens[-1]
            if not last:
                graph.compute()
                return np.empty((0, len(head.vocabulary)), np.float32), np.empty((0, head.hidden_size), np.float32)
            final = graph.part(layer.x, (count - 1) * head.hidden_size, (1, head.hidden_size), (head.hidden_size,))
            return layer.results(final, positions[-1:], self._store, (start, end), None)

    def grow(self, states: Floats, tokens: Sequence[int], parents: Sequence[int]) -> tuple[Floats, Floats]:
        """Add n nodes of a draft in one pass. Returns logits float32[n, K] and the head's states s' float32[n, D].

        states float32[n, D]: the head's, after each node's parent. tokens int[n]. parents int[n]: nodes that were
        added before, or ROOT.
        """
        head, first = self._head, len(self._parents)
        self._parents += parents
        paths = [self._path(node) for node in range(first, len(self._parents))]
        positions = np.array([self.length + len(path) - 1 for path in paths], np.int32)
        before = [self._token if parent == ROOT else self._tokens[parent] for parent in parents]
        self._tokens += tokens
        end = self.length + len(self._parents)
        self._reserve(end)
        start = max(0, self.length + 1 - head.window)
        with Pass(head.numbers(len(paths), end - start), head.threads) as graph:
            layer = _Layer(graph, head, states, before, tokens)
            layer.write(self._store, self.length + first, positions)
            return layer.results(layer.x, positions, self._store, (start, end), self._hidden(paths, positions, start))

    def _hidden(self, paths: Sequence[Sequence[int]], positions: Ints, start: int) -> Floats:
        """float32[n, m], of n nodes: 0 where a node sees a place from `start` on, and -inf elsewhere."""
        window, committed = self._head.window, np.arange(start, self.length)
        hidden = np.full((len(paths), len(committed) + len(self._parents)), -np.inf, np.float32)
        hidden[:, : len(committed)][committed > positions[:, None] - window] = 0.0
        for row, path in enumerate(paths):
            hidden[row, [len(committed) + node for node in path[:window]]] = 0.0
        return hidden

    def _path(self, node: int) -> list[int]:
        """The node and its ancestors, upwards."""
        path = []
        while node != ROOT:
            path.append(node)
            node = self._parents[node]
        return path

    def _clear(self) -> None:
        """Drop the nodes of a draft."""
        self._parents: list[int] = []
        self._tokens: list[int] = []

    def _reserve(self, length: int) -> None:
        """Room for so many places."""
        if length <= self._cells:
            return
        cells, width = max(length, 2 * self._cells, _FEWEST_CELLS), self._head.heads * self._head.width
        keys, values = np.zeros((cells, width), np.float32), np.zeros((width, cells), np.float32)
        if self._cells:
            keys[: self._cells], values[:, : self._cells] = self._store.array("keys"), self._store.array("values")
        self._store, self._cells = Stored({"keys": keys, "values": values}, small=False), cells


class _Layer:
    """The head's layer in a graph, over n pairs: states float32[n, D] after `tokens`, and the tokens `following` them.

    x [n, D]: its inputs.
    """

    def __init__(
        self, graph: Pass, head: EagleHead, states: Floats, tokens: Sequence[int], following: Sequence[int]
    ) -> None:
        self._graph, self._head, w = graph, head, head.weights
        parts = [
            graph.norm(graph.floats(given), EPSILON, w[norm])
            for given, norm in (
                (states, "state_norm"),
                (head.rows.embed(following), "embedding_norm"),
                (head.rows.embed(tokens), "embedding_norm"),
            )
        ]
        self.x = graph.linear(graph.joined(parts, axis=1), w["fc"])

    def write(self, store: Stored, start: int, positions: Ints) -> None:
        """Write the keys and values of all inputs, at positions int32[n], to the places from `start` on."""
        graph, w, (count, _) = self._graph, self._head.weights, self.x.shape
        width, cells = store["values"].shape
        normal = graph.norm(self.x, EPSILON, w["attention_norm"])
        keys = self._rotated(graph.linear(normal, w["k"]), positions)
        graph.write(keys, graph.part(store["keys"], start * width, (count * width,), ()))
        values = graph.swapped(graph.linear(normal, w["v"]))
        graph.write(values, graph.part(store["values"], start, (width, count), (cells,)))

    def results(
        self, x: Tensor, positions: Ints, store: Stored, places: tuple[int, int], hidden: Floats | None
    ) -> tuple[Floats, Floats]:
        """Compute the graph. Logits float32[n, K] and states s' float32[n, D] of inputs x [n, D].

        places: the first and the end of the m places that they may attend to. hidden float32[n, m]: added to the
        scores; None if all of them are seen.
        """
        graph, head, w = self._graph, self._head, self._head.weights
        (start, end), heads, width, cells = places, head.heads, head.width, store["values"].shape[1]
        query = self._rotated(graph.linear(graph.norm(x, EPSILON, w["attention_norm"]), w["q"]), positions)
        row = heads * width
        keys = graph.part(store["keys"], start * row, (heads, end - start, width), (width, row))
        values = graph.part(store["values"], start, (heads, width, end - start), (width * cells, cells))
        scores = graph.linear(graph.swapped(query), keys)  # [H, n, m]
        weights = graph.softmax(scores, width**-0.5, None if hidden is None else graph.floats(hidden))
        mixed = graph.in_order(graph.swapped(graph.linear(weights, values)))  # [n, H, W]
        x = graph.add(x, graph.linear(graph.reshaped(mixed, (x.shape[0], row)), w["o"]))
        normal = graph.norm(x, EPSILON, w["mlp_norm"])
        inner = graph.gated(graph.linear(normal, w["gate"]), graph.linear(normal, w["up"]))
        own = graph.norm(graph.add(x, graph.linear(inner, w["down"])), EPSILON, w["output_norm"])
        logits, states = graph.compute(graph.linear(own, w["output"]), own)
        return logits, states

    def _rotated(self, x: Tensor, positions: Ints) -> Tensor:
        """[n, H, W] of x [n, H W]."""
        head = self._head
        split = self._graph.reshaped(x, (x.shape[0], head.heads, head.width))
        return self._graph.rotated(split, self._graph.integers(positions), head.theta)
