"""EAGLE's head: one decoder layer that goes on where the target's hidden states end (Li et al. 2024, section 3.1).

From the target's state behind token i and the embeddings of the tokens i and i + 1 it predicts the state behind token
i + 1, and from there on it goes on with states of its own. Token i is there so that a place knows what it follows: a
layer alone can then look up what came behind an earlier occurrence of the last token (the induction of two layers,
Olsson et al. 2022, in one). Inputs are normalised and the head's own steps were trained as they are used
(training-time test, Li et al. 2025, section 3.1). Its logits are the target's own output rows of frequent tokens.
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
    """Of a head with `heads` attention heads of `width` numbers and a feed-forward of `inner`."""
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
    """The weights, shared by the caches opened on it. Raises HeadError where they do not have their shapes."""

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
        return EagleCache(self)

    def logits(self, states: Floats) -> Floats:
        """float32[n, K] over `vocabulary`, of states float32[n, D]."""
        return states @ self._output.T

    def joined(self, states: Floats, own: Sequence[int], following: Sequence[int]) -> Floats:
        """float32[n, D]: the layer's input for states float32[n, D], the tokens they stand behind and the next ones."""
        w = self.weights
        parts = [rms_norm(self._rows.embed(tokens), w["embedding_norm"]) for tokens in (following, own)]
        return np.concatenate([rms_norm(states, w["state_norm"]), *parts], axis=1) @ w["fc"].T

    def keys_values(self, x: Floats, positions: Ints) -> tuple[Floats, Floats]:
        """Of inputs x float32[n, D]: float32[n, H, W] each."""
        normal = rms_norm(x, self.weights["attention_norm"])
        keys, values = (self._split(normal @ self.weights[name].T) for name in ("k", "v"))
        return rotated(keys, positions, self.theta), values

    def forward(self, x: Floats, positions: Ints, keys: Floats, values: Floats, sees: npt.NDArray[np.bool_]) -> Floats:
        """States float32[n, D] of inputs x: keys, values float32[m, H, W]; sees bool[n, m]: what each attends to."""
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
    """Keys and values of committed pairs (state, next token), and behind them those of a draft's nodes.

    A layer alone needs of earlier pairs nothing but these: what lies further back than the head's window is not kept
    for ever, and only the last pair's state is ever computed.
    """

    def __init__(self, head: EagleHead) -> None:
        self._head = head
        shape = (0, head.heads, head.width)
        self._keys, self._values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._last = np.empty((0, head.hidden_size), np.float32)
        self._token = 0  # the last pair's, from which a draft goes on
        self.length = 0
        self.clear()

    def keep(self, length: int) -> None:
        """Rewind to the first `length` pairs; nodes are forgotten."""
        if not 0 <= length <= self.length:
            raise ValueError(f"expected a length up to {self.length}, got {length}")
        if length < self.length:
            self.length = length
            self._last = self._last[:0]
        self.clear()

    def append(self, states: Floats, tokens: Sequence[int]) -> None:
        """Add committed pairs: the target's states float32[n, D] behind the first n of n + 1 tokens."""
        self.clear()
        x = self._head.joined(states, tokens[:-1], tokens[1:])
        end = self.length + len(x)
        self._reserve(end)
        positions = np.arange(self.length, end, dtype=np.int32)
        self._keys[self.length : end], self._values[self.length : end] = self._head.keys_values(x, positions)
        self.length, self._last, self._token = end, x[-1:], tokens[-1]

    def state(self) -> Floats:
        """float32[1, D]: the head's state behind the last committed pair. Append one after a rewind first."""
        if not len(self._last):
            raise ValueError("expected a pair appended since the last rewind")
        start = max(0, self.length - self._head.window)
        keys, values = self._keys[start : self.length], self._values[start : self.length]
        position = np.array([self.length - 1], np.int32)
        return self._head.forward(self._last, position, keys, values, np.ones((1, len(keys)), np.bool_))

    def clear(self) -> None:
        """Forget the nodes of a draft."""
        self._parents: list[int] = []
        self._tokens: list[int] = []
        self._node_keys, self._node_values = self._keys[:0], self._values[:0]

    def grow(self, states: Floats, tokens: Sequence[int], parents: Sequence[int]) -> Floats:
        """Add nodes of a draft, in one pass: the head's states behind them, float32[n, D].

        states float32[n, D]: the head's own behind each one's parent; parents: nodes added before, or ROOT.
        """
        first = len(self._parents)
        self._parents += parents
        lines = [self._line(node) for node in range(first, len(self._parents))]
        positions = np.array([self.length + len(line) - 1 for line in lines], np.int32)
        before = [self._token if parent == ROOT else self._tokens[parent] for parent in parents]
        x = self._head.joined(states, before, tokens)
        self._tokens += tokens
        keys, values = self._head.keys_values(x, positions)
        self._node_keys = np.concatenate([self._node_keys, keys])
        self._node_values = np.concatenate([self._node_values, values])
        start = max(0, self.length + 1 - self._head.window)
        committed = np.arange(start, self.length)
        sees = np.zeros((len(lines), len(committed) + len(self._parents)), np.bool_)
        sees[:, : len(committed)] = committed > positions[:, None] - self._head.window
        for row, line in enumerate(lines):
            sees[row, [len(committed) + node for node in line[: self._head.window]]] = True
        return self._head.forward(
            x,
            positions,
            np.concatenate([self._keys[start : self.length], self._node_keys]),
            np.concatenate([self._values[start : self.length], self._node_values]),
            sees,
        )

    def _line(self, node: int) -> list[int]:
        """The node and its ancestors, upwards."""
        line = []
        while node != ROOT:
            line.append(node)
            node = self._parents[node]
        return line

    def _reserve(self, length: int) -> None:
        if length > len(self._keys):
            more = ((max(length, 2 * len(self._keys)) - len(self._keys)), *self._keys.shape[1:])
            self._keys = np.concatenate([self._keys, np.empty(more, np.float32)])
            self._values = np.concatenate([self._values, np.empty(more, np.float32)])
