"""What computes a DFlash head: a graph with a KV cache of its own, which holds the committed tokens.

K is the number of ids that the head can draft, F that of the numbers that it reads of the target at a token.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from speculatoviz.core.types import Floats

MOST_ROWS = 64  # of one pass
LARGEST_BLOCK = MOST_ROWS


class Places(NamedTuple):
    """The places of a block: the last committed token, and masked ones.

    block: how many. mask: the id at the masked ones. causal: whether a place sees no later ones. anchored: whether the
    first place predicts a token too, the one after the last committed token.
    """

    block: int
    mask: int
    causal: bool
    anchored: bool

    @property
    def drafted(self) -> int:
        """The most tokens of a draft: those that a block predicts."""
        return self.block if self.anchored else self.block - 1


class DflashGraph(Protocol):
    """A head that is loaded. Every call may raise ModelError."""

    @property
    def drafted(self) -> int:
        """B: the tokens that a block predicts."""

    def read(self, features: Floats, position: int) -> None:
        """Add committed tokens from `position` on: the inputs of the target's layers, float32[n, F], n to MOST_ROWS."""

    def block(self, token: int, position: int) -> Floats:
        """Logits float32[B, K] of the B tokens after the last committed one, which is `token` at `position`, copied.

        It sees the committed tokens before `position`, and leaves nothing in the cache.
        """

    def keep(self, length: int) -> None:
        """Rewind to the first `length` committed tokens."""

    def close(self) -> None:
        """Free its memory; a second call does nothing."""
