"""A head that accepts far less than its card states is reported, and a right one is not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb

import pytest

from speculatoviz.core.sampling import support
from speculatoviz.core.types import Sampling
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.telemetry.events import Event, RunWarning
from speculatoviz.telemetry.mapping import Stamp
from speculatoviz.telemetry.parts import HeadInfo
from speculatoviz.telemetry.wiring import LEVEL, OTHER_TEXT, at_most, watched
from support.explained import PIECES, Proposal, Proposing, events, exactly
from support.toy_pair import pair

TARGET, DRAFT = pair()
WRONG = ToyModel(9, PIECES[:4])  # a head that reads states of something else
CARD = HeadInfo(drafter="toy", file="toy.eagle.safetensors", acceptance=[0.95, 0.9], depth=4)


def drafting(model: ToyModel, sampling: Sampling) -> Proposing:
    def propose(prefix: Sequence[int], position: int) -> Proposal:
        return Proposal(support(model.logits(prefix), sampling, 64))

    return Proposing(propose)


def warnings(run: list[Event]) -> list[RunWarning]:
    return [event for event in watched(run, lambda: Stamp("r", 1, 0.0)) if isinstance(event, RunWarning)]


@pytest.mark.parametrize("bound", [0, 3, 10])
def test_the_bound_is_the_binomial_sum(bound: int) -> None:
    by_hand = sum(comb(12, k) * Fraction(3, 10) ** k * Fraction(7, 10) ** (12 - k) for k in range(bound + 1))

    assert at_most(bound, 12, 0.3) == pytest.approx(float(by_hand))


def test_the_bound_at_its_edges() -> None:
    assert at_most(12, 12, 0.3) == 1.0
    assert at_most(0, 12, 0.0) == 1.0
    assert at_most(11, 12, 1.0) == 0.0


def test_a_head_of_other_states_is_reported_once_with_what_to_check() -> None:
    (warning,) = warnings(events(drafting(WRONG, Sampling()), Sampling(), tokens=200, heads=[CARD]))

    assert "toy.eagle.safetensors" in warning.message
    assert "95 %" in warning.message
    for what in ("target", "layers", "vocabulary"):
        assert what in warning.hint


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_right_head_is_not_reported_even_where_its_card_promises_more(temperature: float) -> None:
    """The other draft model accepts half to three quarters of what the card states, over many rounds."""
    sampling = Sampling(temperature)
    assert warnings(events(Proposing(exactly(TARGET, sampling)), sampling, tokens=600, heads=[CARD])) == []
    assert warnings(events(drafting(DRAFT, sampling), sampling, tokens=600, heads=[CARD])) == []


def test_few_rounds_prove_nothing() -> None:
    run = events(drafting(WRONG, Sampling()), Sampling(), tokens=12, heads=[CARD])

    assert warnings(run) == []


def test_without_a_card_there_is_nothing_to_compare_with() -> None:
    run = events(drafting(WRONG, Sampling()), Sampling(), tokens=200)

    assert warnings(run) == []
    assert warnings([run[0].model_copy(update={"heads": [CARD.model_copy(update={"acceptance": []})]}), *run[1:]]) == []


def test_a_head_that_reaches_what_is_allowed_is_seldom_reported() -> None:
    """Looks after 16, 32, ... rounds, each at LEVEL: exactly, over all numbers of accepted tokens at the first look."""
    prob = OTHER_TEXT * CARD.acceptance[0]
    false = sum(comb(16, k) * prob**k * (1 - prob) ** (16 - k) for k in range(17) if at_most(k, 16, prob) <= LEVEL)
    assert 0.0 < false <= LEVEL


def test_the_warning_comes_after_the_round_that_shows_it() -> None:
    run = events(drafting(WRONG, Sampling()), Sampling(), tokens=200, heads=[CARD])
    seen = list(watched(run, lambda: Stamp("r", 1, 0.0)))
    place = next(i for i, event in enumerate(seen) if isinstance(event, RunWarning))

    assert [event for event in seen if not isinstance(event, RunWarning)] == run
    warning = seen[place]
    assert isinstance(warning, RunWarning)
    assert warning.round + 1 in {16, 32}
