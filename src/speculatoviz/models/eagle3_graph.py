"""What computes an EAGLE-3 head: a graph with a KV cache of its own, whose sequence 0 holds the committed pairs.

D is the length of the head's states, K the number of ids that it can draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from speculatoviz.core.types import Floats

MOST_PAIRS = 64  # of one pass
SEQUENCES = 64  # the committed pairs, and one for every leaf of a draft


class Pair(NamedTuple):
    """One input of the decoder.

    state float32[D]. sequence: the one that sees it. wanted: whether its logits and its own state are computed.
    """

    token: int
    state: Floats
    position: int
    sequence: int
    wanted: bool


class Eagle3Graph(Protocol):
    """A head that is loaded. Every call may raise ModelError."""

    @property
    def hidden_size(self) -> int:
        """D."""

    def fuse(self, features: Floats) -> Floats:
        """g float32[n, D] of the inputs of the target's layers, float32[n, 3 * D of the target]; n up to MOST_PAIRS."""

    def decode(self, pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
        """One pass. Logits float32[w, K] and states float32[w, D] of the w wanted pairs, copied."""

    def branch(self, source: int, sequence: int) -> None:
        """Let `sequence` see all pairs of `source`."""

    def drop(self, sequence: int) -> None:
        """Remove a sequence of a draft."""

    def keep(self, length: int) -> None:
        """Rewind to the first `length` committed pairs, and drop all other sequences."""

    def close(self) -> None:
        """Free its memory; a second call does nothing."""
