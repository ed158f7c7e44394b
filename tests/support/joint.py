"""Runs at the same time on toy models, in the order of their start; and broken ways of sharing their passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from speculatoviz.core.chance import ChanceSource, seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Floats, Request
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import speculate
from speculatoviz.models.base import Feed, LanguageModel, Rows
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.models.turns import Turns
from speculatoviz.models.window import Window
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support.live_server import PATIENCE_S, poll
from support.toy_pair import no_clock

T = TypeVar("T")
SIZE = 128  # tokens of a context
DrafterMaker = Callable[[ToyModel, ToyModel, Turns], Drafter]


class ReusedRows(ToyModel):
    """Its results are views that are lost at its next pass, as those of real runtimes are.

    batches: contexts and tokens of each pass. poison: tokens after the first of a feed that make its whole pass fail.
    """

    def __init__(self, *arguments: Any, size_bytes: int = 0, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.description = replace(self.description, size_bytes=size_bytes)
        self.batches: list[tuple[int, int]] = []
        self.poison: list[int] | None = None
        self._given: list[Floats] = []

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        for rows in self._given:
            rows[...] = np.nan
        if any(list(feed.tokens[1:]) == self.poison for feed in feeds):
            raise RuntimeError("poisoned")
        results = super().forward(feeds)
        self._given = [rows.logits for rows in results]
        self.batches.append((len(feeds), sum(len(feed.tokens) for feed in feeds)))
        return results


class SwappedTurns(Turns):
    """Broken: two jobs of a pass receive each other's rows."""

    def _pass(self, jobs: Sequence[Any]) -> list[list[Rows]]:
        rows = super()._pass(jobs)
        if len(rows) > 1 and [len(r.logits) for r in rows[0]] == [len(r.logits) for r in rows[1]]:
            rows[0], rows[1] = rows[1], rows[0]
        return rows


class HastyTurns(Turns):
    """Broken: a job's rows are read only after another pass of the same model."""

    def _pass(self, jobs: Sequence[Any]) -> list[list[Rows]]:
        rows = super()._pass(jobs)
        model = jobs[0].model
        context = model.open(4)
        model.forward([Feed(context, [0])])
        return rows


def together(turns: Turns, works: Sequence[Callable[[], T]]) -> list[T]:
    """The result of each work, each in a thread of its own with its turns. They begin in this order.

    Raises the first error.
    """
    results: dict[int, T | BaseException] = {}

    def run(number: int) -> None:
        with turns.turn():
            try:
                results[number] = works[number]()
            except BaseException as error:
                results[number] = error

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(len(works))]
    with turns.turn():  # until all of them wait for their first turn
        for number, thread in enumerate(threads):
            thread.start()
            poll(lambda number=number: turns.runs == number + 2, "a thread waits for its turn")  # type: ignore[misc]
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a run never got its turn"
    for found in results.values():
        if isinstance(found, BaseException):
            raise found
    return [results[number] for number in range(len(works))]  # type: ignore[misc]


def model_drafter(draft: LanguageModel, target: LanguageModel, turns: Turns) -> ModelDrafter:
    return ModelDrafter(draft, target.tokenizer, SIZE, no_clock, passes=turns)


class Run:
    """A run of the engine with contexts of its own, fed through `turns`. It can be decoded again and again."""

    def __init__(
        self,
        request: Request,
        target: LanguageModel,
        draft: LanguageModel,
        turns: Turns,
        chance: ChanceSource | None = None,
    ) -> None:
        self.request, self.chance = request, chance or seeded(request.seed)
        window = Window(target, SIZE, passes=turns)
        self.target = LocalTarget(target, SIZE, no_clock, lambda _seed: self.chance, window=window)
        self.drafter = model_drafter(draft, target, turns)

    def tokens(self, depth: int) -> tuple[int, ...]:
        """The emitted ids, from empty contexts."""
        for window in (self.target.window, self.drafter.window):
            window.keep(0)
        policy = FixedPolicy(self.drafter.name, depth)
        steps = speculate(self.request, self.target, {self.drafter.name: self.drafter}, policy, self.chance, no_clock)
        return tuple(token for step in steps if isinstance(step, Round) for token in step.emitted)
