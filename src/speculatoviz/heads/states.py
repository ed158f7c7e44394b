"""The target's hidden states, as drafters with heads read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from speculatoviz.core.types import Floats
from speculatoviz.models.window import Window


class States(Protocol):
    """The hidden states that the target has computed for the committed text."""

    @property
    def ids(self) -> Sequence[int]:
        """The committed ids without the last one, which has not been fed yet."""

    @property
    def states(self) -> Floats:
        """float32[len(ids), D]: states[i] is the hidden state after ids[i], as the output matrix multiplies it."""


class LayerInputs:
    """The inputs of the inner layers that a window records, for heads that read these instead of hidden states."""

    def __init__(self, window: Window) -> None:
        self._window = window

    @property
    def ids(self) -> Sequence[int]:
        """The committed ids without the last one."""
        return self._window.ids

    @property
    def states(self) -> Floats:
        """float32[len(ids), L * D]: states[i] holds the inputs of the L layers at ids[i]."""
        return self._window.layer_inputs
