"""What heads share that predict all places of a draft at once: `medusa` and `dflash`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from speculatoviz.core.types import ROOT, Floats, Ints
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.heads.states import States


class ParallelDrafter(HeadDrafter):
    """One pass gives the distribution of each of the next `block` tokens, whatever the tokens between them are.

    So every node of a level has the same logits, known before anything is drawn, and a draft is at most `block` deep.
    """

    _at_once: ClassVar[bool] = True

    def __init__(
        self,
        block: int,
        states: States,
        vocabulary: Ints,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(states, vocabulary, clock, width, support_size, alternatives)
        self._block = block
        self._rows = np.empty((0, len(vocabulary)), np.float32)  # float32[block, K]
        self._levels: list[int] = []  # of each node

    @property
    def block(self) -> int:
        return self._block

    @abstractmethod
    def _all_rows(self, prefix: list[int]) -> Floats | None:
        """Logits float[block, K] of the tokens after `prefix`, whose states are known; None if there are none."""

    def _first(self, prefix: list[int]) -> Floats | None:
        rows, self._levels = self._all_rows(prefix), []
        if rows is None:
            return None
        self._rows = rows
        row: Floats = rows[0]
        return row

    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        del tokens  # the head does not read them
        level = 1 if parents[0] == ROOT else self._levels[parents[0]] + 1
        self._levels += [level] * len(parents)
        if level >= len(self._rows):
            return None
        row = self._rows[level]
        return np.broadcast_to(row, (len(parents), len(row)))
