"""A small engine with speculation whose verification can have a fault, beside one without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from speculatoviz.core.types import Floats, Sampling
from speculatoviz.lab.endpoints.compare import Comparison, Plan, compare_urls
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from support.stand_in import Json, StandIn

CLEAR = 1.0  # nats between the two most probable tokens, where a fault is no near tie

# The token in place of the right one: (engine, prefix, right token, place in the output, sampling, random numbers).
Fault = Callable[["Engine", Sequence[int], int, int, Sampling, np.random.Generator], int]


def none(engine: Engine, prefix: Sequence[int], token: int, place: int, *_: Any) -> int:
    return token


def second_best(engine: Engine, prefix: Sequence[int], token: int, place: int, *_: Any) -> int:
    """Accepts a wrong token, once in a text, where the right one is clearly better."""
    row = np.sort(engine.model.logits(prefix))[::-1]
    if place < 3 or engine.fault_done or row[0] - row[1] < CLEAR:
        return token
    engine.fault_done = True
    return int(np.argsort(-engine.model.logits(prefix))[1])


def too_often(share: float) -> Fault:
    """Keeps the draft, here the most probable token, although it was rejected, at a share of the places."""

    def fault(
        engine: Engine, prefix: Sequence[int], token: int, place: int, sampling: Sampling, rng: np.random.Generator
    ) -> int:
        if sampling.greedy or rng.random() >= share:
            return token
        return int(engine.model.logits(prefix).argmax())

    return fault


@dataclass
class Engine(StandIn):
    """fault: of its verification; a single token is never drafted.

    row_noise: nats by which scores differ in a pass over a whole prompt.
    """

    fault: Fault = none
    row_noise: float = 0.0
    fault_done: bool = field(default=False, init=False)
    _start: int = field(default=0, init=False)
    _alone: bool = field(default=True, init=False)

    async def _chat(self, request: Request) -> Response:
        """Takes no tools."""
        if "tools" in await request.json():
            return self._error(400, "tools are not supported")
        return await super()._chat(request)

    def _grow(self, prompt: Sequence[int], body: Json) -> list[int]:
        self._start, self._alone, self.fault_done = len(prompt), body.get("max_tokens", 16) == 1, False
        return super()._grow(prompt, body)

    def draw(self, prefix: Sequence[int], sampling: Sampling, rng: np.random.Generator) -> int:
        token = super().draw(prefix, sampling, rng)
        if self._alone:
            return token
        return self.fault(self, prefix, token, len(prefix) - self._start, sampling, rng)

    def _scores(self, ids: Sequence[int], place: int, body: Json, *, prompt: bool) -> Any:
        row = super()._scores(ids, place, body, prompt=prompt)
        if row is None or not self._alone or not self.row_noise:
            return row
        return row + self.row_noise * np.random.default_rng(place).uniform(-1.0, 1.0, len(row))


class Tied(ToyModel):
    """A toy whose two most probable tokens are `gap` nats apart after a prefix of `length` tokens; below 0 they change
    places."""

    def __init__(self, seed: int, length: int, gap: float) -> None:
        super().__init__(seed, ALPHABET)
        self._length, self._gap = length, gap

    def logits(self, prefix: Sequence[int]) -> Floats:
        row = np.array(super().logits(prefix), np.float64)
        if len(prefix) == self._length:
            first, second = np.argsort(-row)[:2]
            row[first] = row[second] + self._gap
        return row


def compared(plain: StandIn, speculating: StandIn, prompts: Sequence[str], plan: Plan | None = None) -> Comparison:
    """The comparison of two engines without a socket."""
    transports = (httpx2.ASGITransport(app=plain.app()), httpx2.ASGITransport(app=speculating.app()))
    chosen = plan or Plan(tokens=16, samples=0)
    return compare_urls(
        "http://plain:1", "http://speculating:2", prompts, chosen, lambda line: None, transports=transports
    )
