"""An EAGLE head drafts: it continues the target's hidden states (Li et al. 2024, "EAGLE"; trees as in EAGLE-2)."""

from __future__ import annotations

from collections.abc import Callable

from speculatoviz.drafters.pairs import PairsDrafter
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.states import States


class EagleDrafter(PairsDrafter):
    """Drafts with a cache of its own on a head, which several drafters can share. states: the target's hidden states.

    After a prompt of one token there is no state to start from, so the draft is empty.
    """

    name = "eagle"

    def __init__(
        self,
        head: EagleHead,
        states: States,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(head.open(), states, head.vocabulary, None, clock, width, support_size, alternatives)
