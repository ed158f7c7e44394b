"""A draft that is the first layers of its target, and writes after the committed tokens of the target's own cache.

The target computes these layers anyway, so their keys and values of all committed tokens are there: the draft has no
prompt to read and nothing to catch up on. What it writes after them is overwritten by the target's next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from speculatoviz.models.base import Context, LanguageModel
from speculatoviz.models.window import Window


class SharedContext(Context, Protocol):
    """A context in the cells of another one."""

    def adopt(self, length: int) -> None:
        """Hold the first `length` tokens of the other context, and nothing else."""


class FirstLayers(LanguageModel, Protocol):
    """The first layers of a model with its own output matrix."""

    def open(self, size: int) -> SharedContext:
        """The context beside the one that the layers were taken for."""


@runtime_checkable
class EarlyExitModel(Protocol):
    """A model whose first layers can be computed alone, on the same weights and in the same cells."""

    def first_layers(self, count: int, context: Context) -> FirstLayers:
        """The first `count` layers, beside a context of the whole model. Raises ModelError if there are not as many."""


class SharedWindow(Window):
    """A window in the cells of `owner`, whose ids it takes over whenever they have changed."""

    context: SharedContext

    def __init__(self, model: FirstLayers, owner: Window) -> None:
        super().__init__(model, owner.context.size)
        self._owner = owner
        self._adopted: list[int] | None = None

    def forget(self) -> None:
        """Take over the owner's ids anew: a pass of the owner may have overwritten what was drafted."""
        self._adopted = None

    def common(self, ids: Sequence[int]) -> int:
        """See `Window.common`."""
        self._adopt()
        return super().common(ids)

    def align(self, ids: Sequence[int]) -> list[int]:
        """See `Window.align`."""
        self._adopt()
        return super().align(ids)

    def keep(self, length: int) -> None:
        """See `Window.keep`. The owner is rewound too where its cells will be written."""
        if length < len(self._owner.ids):
            self._owner.keep(length)
            self._adopted = list(self._owner.ids)
        super().keep(length)

    def _adopt(self) -> None:
        owner, context = self._owner, self.context
        if owner.ids == self._adopted or owner.context.tree is not None:
            return
        context.adopt(len(owner.ids))
        self._adopted, self.ids = list(owner.ids), list(owner.ids)
        self._last = None
