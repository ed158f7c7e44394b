"""DFlash's head: a small decoder that fills in a block of masked places in one pass (Chen et al. 2026, "DFlash").

Notation: t_i is token i, e(t) its embedding, f_i float32[L * D] the inputs of L of the target's layers at t_i, m the
mask token, n the index of the last committed token, whose f is not known yet, b the tokens of a block.

    g_i      = norm(W f_i)                                       float32[D], of a committed token, i < n
    x_n      = e(t_n),  x_n+1 .. x_n+b-1 = e(m)                  float32[b, D], the block

    and in each layer of the head, with keys and values of g_0 .. g_n-1 and of the block itself:

    a_j      = x_j + attention(norm(x_j) given g_0 .. g_n-1, norm(x_n) .. norm(x_n+b-1))
    x_j      = a_j + mlp(norm(a_j))

    logits_j = norm(x_j) @ output.T                              float32[K], of t_j, for j = n+1 .. n+b-1

The places of a block see each other, later ones too, unless the head was trained otherwise (`causal`). Where the file
says so (`anchored`), logits_j are those of t_j+1, and the first place counts. No place sees a drafted token: the
distribution of each is known before anything is drawn, and is the same on every branch of a tree. Kernels compute this
(`models.dflash_graph`).
"""

from __future__ import annotations

from speculatoviz.core.types import Floats
from speculatoviz.models.dflash_graph import DflashGraph


class DflashCache:
    """The committed tokens that a graph has read. length: how many."""

    def __init__(self, graph: DflashGraph) -> None:
        self._graph = graph
        self.length = 0

    def keep(self, length: int) -> None:
        """Rewind to the first `length` tokens. Raises ValueError for a greater length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"expected a length up to {self.length}, got {length}")
        self._graph.keep(length)
        self.length = length

    def append(self, features: Floats) -> None:
        """Read the next committed tokens: features float32[n, L * D], n from 1 to MOST_ROWS."""
        self._graph.read(features, self.length)
        self.length += len(features)

    def block(self, token: int) -> Floats:
        """Logits float32[B, K] of the B tokens after `token`, the committed one after those that were read."""
        return self._graph.block(token, self.length)
