"""Greedy speculative text against plain text, and the diagnosis where a quantised model departs.

Quantised kernels are not batch-invariant: a batched pass and a single step can disagree in near ties. A departure is
excused only if teacher-forcing the same ids, one by one and in the run's own shapes, reproduces both choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import ROOT, Limits, Need, Request, Rule, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import decode
from speculatoviz.models.window import Window
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.layout import layout
from speculatoviz.targets.local import LocalTarget


@dataclass(frozen=True)
class Departure:
    """Where the two texts part. margin: between the top two logits of the one-by-one pass."""

    position: int
    plain_token: int
    speculative_token: int
    margin: float
    reproduced: bool


def greedy_rounds(
    target: LocalTarget,
    drafter: Drafter | None,
    ids: list[int],
    depth: int,
    tokens: int,
    nodes: int = 0,
    rule: Rule = "token",
    *,
    fresh: bool = True,
) -> list[Round]:
    """The rounds of one greedy run. fresh: begin with an empty context, whatever it holds."""
    limits = Limits(tokens, stop_ids=target.tokenizer.eos_ids)
    needs = drafter.needs if drafter else frozenset[Need]()
    request = Request(tuple(ids), Sampling(), limits, rule=rule, evidence=False, needs=needs)
    drafters = {drafter.name: drafter} if drafter else {}
    policy = FixedPolicy(drafter.name if drafter else "none", depth if drafter else 0, nodes)
    if fresh:
        target.window.keep(0)
    return decode(request, target, drafters, policy, seeded(0), lambda: 0.0)


def emitted(rounds: list[Round]) -> list[int]:
    return [token for round in rounds for token in round.emitted]


def departure(window: Window, ids: list[int], plain: list[int], rounds: list[Round]) -> Departure | None:
    """The first place where the texts differ, diagnosed; None where they are equal."""
    speculative = emitted(rounds)
    at = next((i for i, (a, b) in enumerate(zip(plain, speculative, strict=False)) if a != b), None)
    if at is None:
        return None if len(plain) == len(speculative) else Departure(len(plain), -1, -1, float("inf"), False)
    single = _row_one_by_one(window, ids, plain[:at])
    batched = _row_in_shapes(window, ids, rounds, at)
    top = np.sort(single)[-2:]
    reproduced = int(single.argmax()) == plain[at] and int(batched.argmax()) == speculative[at]
    return Departure(at, plain[at], speculative[at], float(top[1] - top[0]), reproduced)


def _row_one_by_one(window: Window, ids: list[int], output: list[int]) -> np.ndarray:
    window.keep(0)
    window.prefill(ids[:-1], lambda: False)
    for token in [ids[-1], *output]:
        row = window.feed([token])[0].copy()
    return row


def _row_in_shapes(window: Window, ids: list[int], rounds: list[Round], at: int) -> np.ndarray:
    """The logits after output[:at], fed in the very passes of the run and rewound as it was, cell layout included."""
    window.keep(0)
    window.prefill(ids[:-1], lambda: False)
    committed = list(ids)
    for round in rounds:
        rows, path = layout(committed[-1], round.draft), [ROOT, *round.verdict.path]
        logits = window.feed(rows.tokens, "all", rows.parents)
        before = len(committed) - len(ids)
        if before <= at < before + len(round.emitted):
            return logits[rows.row(path[at - before])].copy()
        window.accept([rows.row(node) for node in path])
        committed += round.emitted
    raise AssertionError("the position lies after the end of the run")
