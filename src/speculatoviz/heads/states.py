"""The target's hidden states, as drafters with heads read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from speculatoviz.core.types import Floats


class States(Protocol):
    """The hidden states that the target has computed for the committed text."""

    @property
    def ids(self) -> Sequence[int]:
        """The committed ids without the last one, which has not been fed yet."""

    @property
    def states(self) -> Floats:
        """float32[len(ids), D]: states[i] is the hidden state after ids[i], as the output matrix multiplies it."""
