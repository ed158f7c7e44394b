"""EAGLE's head: one decoder layer that predicts the target's next hidden states (Li et al. 2024, section 3.1).

Notation: t_i is token i, e(t) its embedding, s_i the target's hidden state after t_i, all float32[D].

    x_i      = W [norm(s_i); norm(e(t_i+1)); norm(e(t_i))]    float32[D], of pair i: the state after t_i, and t_i+1
    s'_i+1   = layer(x_i given x_0 .. x_i)                    float32[D], the head's estimate of s_i+1
    logits   = s'_i+1 @ output.T                              float32[K], over the head's vocabulary of K tokens

Beyond the target's last state the head's own s' takes the place of s. It was trained that way (training-time test, Li
et al. 2025, section 3.1). EAGLE has no e(t_i). With it one layer can look up which token followed an earlier
occurrence of the last one, for which a transformer needs two layers (induction, Olsson et al. 2022). Embeddings and
output rows are the target's (`TargetRows`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import ROOT, Floats, Ints
from speculatoviz.heads.file import HeadFile, Shapes
from speculatoviz.heads.maths import rms_norm, rotated, silu, softmax
from speculatoviz.heads.rows import TargetRows


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

    vocabulary int32[K]: the ids it can draft. hidden_size: D. Raises HeadError if a weight does not have its shape.
    """

    def __init__(self, file: HeadFile, rows: TargetRows) -> None:
        self.heads = int(file.number("heads", 1, 1024))
        self.width = int(file.number("width", 2, 1024))
        self.window = int(file.number("window", 1, 1 << 20))
        self.theta = file.number("theta", 1.0, 1e9)
        inner = int(file.number("inner", 1, 1 << 20))
        file.require(shapes(file.hidden_size, self.heads, self.width, inner))
        self.vocabulary, self.hidden_size = file.vocabulary, file.hidden_size
        self.weights = dict(file.tensors)
        self._rows = rows
        self._output = rows.output(file.vocabulary)

    def open(self) -> EagleCache:
        """A new, empty cache."""
        return EagleCache(self)

    def logits(self, states: Floats) -> Floats:
        """float32[n, K], over `vocabulary`, of the states float32[n, D]."""
        return states @ self._output.T

    def layer_inputs(self, states: Floats, tokens: Sequence[int], following: Sequence[int]) -> Floats:
        """x float32[n, D] of n pairs: states float32[n, D] after `tokens`, and the tokens that follow them."""
        w = self.weights
        parts = [rms_norm(self._rows.embed(ids), w["embedding_norm"]) for ids in (following, tokens)]
        return np.concatenate([rms_norm(states, w["state_norm"]), *parts], axis=1) @ w["fc"].T

    def keys_values(self, x: Floats, positions: Ints) -> tuple[Floats, Floats]:
        """Keys and values float32[n, H, W] of inputs x float32[n, D] at positions int[n]."""
        normal = rms_norm(x, self.weights["attention_norm"])
        keys, values = (self._split(normal @ self.weights[name].T) for name in ("k", "v"))
        return rotated(keys, positions, self.theta), values

    def forward(self, x: Floats, positions: Ints, keys: Floats, values: Floats, sees: npt.NDArray[np.bool_]) -> Floats:
        """The head's states s' float32[n, D] of inputs x float32[n, D].

        keys, values float32[m, H, W]: of all m places. sees bool[n, m]: which of them each input attends to.
        """
        w = self.weights
        queries = rotated(self._split(rms_norm(x, w["attention_norm"]) @ w["q"].T), positions, self.theta)
        scores = queries.transpose(1, 0, 2) @ keys.transpose(1, 2, 0) / np.float32(np.sqrt(self.width))
        mixed = softmax(np.where(sees, scores, np.float32(-1e30))) @ values.transpose(1, 0, 2)
        x = x + mixed.transpose(1, 0, 2).reshape(len(x), -1) @ w["o"].T
        normal = rms_norm(x, w["mlp_norm"])
        x = x + (silu(normal @ w["gate"].T) * (normal @ w["up"].T)) @ w["down"].T
        return rms_norm(x, w["output_norm"])

    def _split(self, x: Floats) -> Floats:
        return x.reshape(len(x), self.heads, self.width)


class EagleCache:
    """The KV cache of a head: m committed pairs (state, next token), then the nodes of a draft.

    One layer reads nothing of earlier pairs but their keys and values, so s' is computed for the last pair alone. A
    query attends to the last `window` places.
    """

    def __init__(self, head: EagleHead) -> None:
        self._head = head
        shape = (0, head.heads, head.width)
        self._keys, self._values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._last = np.empty((0, head.hidden_size), np.float32)
        self._token = 0  # of the last pair: the token before the first nodes
        self.length = 0
        self.clear()

    def keep(self, length: int) -> None:
        """Rewind to the first `length` pairs, and drop the nodes. Raises ValueError for a greater length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"expected a length up to {self.length}, got {length}")
        if length < self.length:
            self.length = length
            self._last = self._last[:0]
        self.clear()

    def append(self, states: Floats, tokens: Sequence[int]) -> None:
        """Add n committed pairs. states float32[n, D]: the target's, after the first n of `tokens` int[n + 1]."""
        self.clear()
        x = self._head.layer_inputs(states, tokens[:-1], tokens[1:])
        end = self.length + len(x)
        self._reserve(end)
        positions = np.arange(self.length, end, dtype=np.int32)
        self._keys[self.length : end], self._values[self.length : end] = self._head.keys_values(x, positions)
        self.length, self._last, self._token = end, x[-1:], tokens[-1]

    def state(self) -> Floats:
        """s' float32[1, D]: the head's state after the last committed pair.

        Raises ValueError if no pair was appended since the last rewind.
        """
        if not len(self._last):
            raise ValueError("expected a pair appended since the last rewind")
        start = max(0, self.length - self._head.window)
        keys, values = self._keys[start : self.length], self._values[start : self.length]
        position = np.array([self.length - 1], np.int32)
        return self._head.forward(self._last, position, keys, values, np.ones((1, len(keys)), np.bool_))

    def clear(self) -> None:
        """Drop the nodes of a draft."""
        self._parents: list[int] = []
        self._tokens: list[int] = []
        self._node_keys, self._node_values = self._keys[:0], self._values[:0]

    def grow(self, states: Floats, tokens: Sequence[int], parents: Sequence[int]) -> Floats:
        """Add n nodes of a draft in one pass. Returns the head's states s' after them, float32[n, D].

        states float32[n, D]: the head's, after each node's parent. tokens int[n]. parents int[n]: nodes that were
        added before, or ROOT.
        """
        first = len(self._parents)
        self._parents += parents
        paths = [self._path(node) for node in range(first, len(self._parents))]
        positions = np.array([self.length + len(path) - 1 for path in paths], np.int32)
        before = [self._token if parent == ROOT else self._tokens[parent] for parent in parents]
        x = self._head.layer_inputs(states, before, tokens)
        self._tokens += tokens
        keys, values = self._head.keys_values(x, positions)
        self._node_keys = np.concatenate([self._node_keys, keys])
        self._node_values = np.concatenate([self._node_values, values])
        start = max(0, self.length + 1 - self._head.window)
        committed = np.arange(start, self.length)
        sees = np.zeros((len(paths), len(committed) + len(self._parents)), np.bool_)
        sees[:, : len(committed)] = committed > positions[:, None] - self._head.window
        for row, path in enumerate(paths):
            sees[row, [len(committed) + node for node in path[: self._head.window]]] = True
        return self._head.forward(
            x,
            positions,
            np.concatenate([self._keys[start : self.length], self._node_keys]),
            np.concatenate([self._values[start : self.length], self._node_values]),
            sees,
        )

    def _path(self, node: int) -> list[int]:
        """The node and its ancestors, upwards."""
        path = []
        while node != ROOT:
            path.append(node)
            node = self._parents[node]
        return path

    def _reserve(self, length: int) -> None:
        if length > len(self._keys):
            more = ((max(length, 2 * len(self._keys)) - len(self._keys)), *self._keys.shape[1:])
            self._keys = np.concatenate([self._keys, np.empty(more, np.float32)])
            self._values = np.concatenate([self._values, np.empty(more, np.float32)])
