"""The target drafts for itself with a cheaper version of itself (Zhang et al. 2024, "Draft & Verify")."""

from __future__ import annotations

from collections.abc import Callable

from speculatoviz.core.types import Request
from speculatoviz.drafters.base import BaseDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.base import LanguageModel, Tokenizer
from speculatoviz.models.joint_pass import Passes
from speculatoviz.models.prefix_cache import PrefixCache
from speculatoviz.models.shared_window import FirstLayers, SharedWindow
from speculatoviz.models.window import Window


class SelfDrafter(ModelDrafter):
    """A draft model made from the target's own file: with a smaller quantisation, or with fewer layers."""

    name = "selfspec"


class ExitDrafter(SelfDrafter):
    """The target's first layers with its own output matrix (Elhoushi et al. 2024, "LayerSkip").

    They share the target's weights and cells: no prompt is read, and what the target has verified is not computed
    again. owner: the target's window. Other arguments as for `ModelDrafter`.
    """

    begins_at_no_cost = True

    def __init__(
        self,
        model: FirstLayers,
        target: Tokenizer,
        owner: Window,
        clock: Callable[[], float],
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        self._shared = SharedWindow(model, owner)
        super().__init__(model, target, owner.context.size, clock, support_size, alternatives)

    def _open(self, model: LanguageModel, size: int, prefixes: PrefixCache | None, passes: Passes | None) -> Window:
        del model, size, prefixes, passes
        return self._shared

    def begin(self, request: Request) -> None:
        BaseDrafter.begin(self, request)
        self._ahead, self._guesses = [], False
        self._shared.forget()

    def forget_prompts(self) -> None:
        """The cells are the target's and stay."""
        BaseDrafter.forget_prompts(self)
