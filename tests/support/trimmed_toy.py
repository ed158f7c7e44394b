"""A toy draft model that lacks some tokens, as one with a trimmed vocabulary does, and its broken twin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.sampling import support
from speculatoviz.core.types import Draft, Floats, Request
from speculatoviz.models.runtimes.toy import ToyModel
from support.toy_pair import model_drafter
from support.twins import Breaking


class TrimmedToy(ToyModel):
    """Has the logits of another toy model, but minus infinity for the tokens that it lacks. It reads every token."""

    def __init__(self, whole: ToyModel, lacks: Collection[int]) -> None:
        self.__dict__.update(whole.__dict__)
        self._whole, self._lacks = whole, list(lacks)

    def logits(self, prefix: Sequence[int]) -> Floats:
        logits = self._whole.logits(prefix).copy()
        logits[self._lacks] = -np.inf
        return logits


class DeclaringTheWhole(Breaking):
    """Draws from the q of the kept tokens, and declares the q that the whole model has."""

    def __init__(self, whole: ToyModel, target: ToyModel, lacks: Collection[int]) -> None:
        super().__init__(model_drafter(TrimmedToy(whole, lacks), target))
        self._whole = whole

    def begin(self, request: Request) -> None:
        self._sampling = request.sampling
        super().begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        tokens = draft.tokens.tolist()
        declared = [support(self._whole.logits([*prefix, *tokens[:n]]), self._sampling, 64) for n in range(len(draft))]
        return replace(draft, q=tuple(declared))
