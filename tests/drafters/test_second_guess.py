"""The likeliest rejection of a draft, on which the next round can be drafted while the draft is verified."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.models.base import Feed
from speculatoviz.models.runtimes.toy import ToyModel
from support.toy_pair import no_clock

PLAN = Plan("model", 3)


def begun(model: ToyModel, sampling: Sampling, prompt: tuple[int, ...], *, ends: frozenset[int]) -> ModelDrafter:
    drafter = ModelDrafter(model, model.tokenizer, 64, no_clock)
    drafter.begin(Request(prompt, sampling, Limits(32, stop_ids=ends)))
    return drafter


def probabilities(model: ToyModel, prefix: list[int], temperature: float) -> list[float]:
    context = model.open(64)
    row = model.forward([Feed(context, prefix, rows="last")])[0].logits[0].astype(np.float64)
    weights = np.exp((row - row.max()) / temperature)
    return list(weights / weights.sum())


def likeliest_rejection(model: ToyModel, prefix: list[int], drafted: list[int], temperature: float) -> list[int]:
    """By its definition: the path up to a position, and another token there, of the highest probability."""
    found, reach = list[tuple[float, list[int]]](), 1.0
    for place, token in enumerate(drafted):
        probs = probabilities(model, [*prefix, *drafted[:place]], temperature)
        others = [(reach * prob, [*prefix, *drafted[:place], i]) for i, prob in enumerate(probs) if i != token]
        found += others
        reach *= probs[token]
    return max(found)[1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_it_is_the_likeliest_rejection(temperature: float) -> None:
    model, chance = ToyModel(7), seeded(3)
    for first in range(model.tokenizer.n_vocab):
        prefix = [first, 1]
        drafter = begun(model, Sampling(temperature), tuple(prefix), ends=frozenset())
        drafter.draft(prefix, 0, PLAN, chance("draft", 0))
        drafter.prepare([*prefix, 0, 0, 0], 1, PLAN, chance("draft", 1), lambda _ms: True)  # it asks for second choices
        draft = drafter.draft(prefix, 0, PLAN, chance("draft", 0))
        expected = likeliest_rejection(model, prefix, draft.tokens.tolist(), temperature or 1.0)

        assert drafter.prepare_other(1, PLAN, chance("draft", 1), lambda _ms: True)
        used = drafter.draft(expected, 1, PLAN, chance("draft", 1))

        assert used.ahead == len(used) == PLAN.depth
        fresh = begun(model, Sampling(temperature), tuple(expected), ends=frozenset())
        assert used.tokens.tolist() == fresh.draft(expected, 1, PLAN, chance("draft", 1)).tokens.tolist()


def test_both_guesses_are_kept_and_a_third_outcome_drops_them() -> None:
    model, chance = ToyModel(7), seeded(3)
    for outcome in ("first", "second", "third"):
        drafter = begun(model, Sampling(0.0), (2, 1), ends=frozenset())
        drafter.prepare([2, 1], 0, PLAN, chance("draft", 0), lambda _ms: True)
        draft = drafter.draft([2, 1], 0, PLAN, chance("draft", 0)).tokens.tolist()
        whole = [2, 1, *draft]
        assert drafter.prepare(whole, 1, PLAN, chance("draft", 1), lambda _ms: True)
        assert drafter.prepare_other(1, PLAN, chance("draft", 1), lambda _ms: True)
        after = int(np.argmax(probabilities(model, whole, 1.0)))
        rejected = likeliest_rejection(model, [2, 1], draft, 1.0)
        third = [*whole, (after + 1) % model.tokenizer.n_vocab]
        prefix = {"first": [*whole, after], "second": rejected, "third": third}[outcome]

        assert (drafter.draft(prefix, 1, PLAN, chance("draft", 1)).ahead > 0) == (outcome != "third")


def test_nothing_is_drafted_after_an_end_token_or_without_second_choices() -> None:
    model, chance = ToyModel(7), seeded(3)
    every = frozenset(range(model.tokenizer.n_vocab))
    ends = begun(model, Sampling(0.0), (2, 1), ends=every)
    ends.prepare([2, 1], 0, PLAN, chance("draft", 0), lambda _ms: True)
    ends.draft([2, 1], 0, PLAN, chance("draft", 0))
    assert not ends.prepare_other(1, PLAN, chance("draft", 1), lambda _ms: True)

    unasked = begun(model, Sampling(0.0), (2, 1), ends=frozenset())
    unasked.draft([2, 1], 0, PLAN, chance("draft", 0))
    assert not unasked.prepare_other(1, PLAN, chance("draft", 1), lambda _ms: True)
