"""When drafting ahead pays: a clock by hand, and the sums beside it."""

from __future__ import annotations

import pytest

from speculatoviz.policies.draft_ahead import DraftAhead


class Hands:
    """A clock that is set."""

    ms = 0.0

    def __call__(self) -> float:
        return self.ms / 1000


def estimator(flight_ms: float, right: int, wrong: int) -> tuple[DraftAhead, Hands]:
    clock = Hands()
    known = DraftAhead(clock)
    known.answered(flight_ms)
    for _ in range(right):
        known.guessed(True)
    for _ in range(wrong):
        known.guessed(False)
    known.submitted()
    return known, clock


def test_before_anything_is_known_it_is_tried() -> None:
    assert DraftAhead(Hands()).pays(1e6)


@pytest.mark.parametrize("failed", [0, 1000])
def test_what_fits_into_the_flight_always_pays(failed: int) -> None:
    known, clock = estimator(100.0, 0, failed)
    clock.ms += 60
    assert known.pays(40.0)


def test_a_pass_may_be_late_by_its_length_times_the_chance_that_it_is_of_use() -> None:
    known, clock = estimator(100.0, 2, 0)  # three of four, with the hope
    clock.ms += 89.9
    assert known.pays(40.0)  # 29.9 late, 30 to win
    clock.ms += 0.2
    assert not known.pays(40.0)


def test_guesses_that_fail_make_it_careful() -> None:
    known, clock = estimator(100.0, 0, 98)
    clock.ms += 61
    assert not known.pays(40.0)


def test_second_guesses_are_judged_by_themselves() -> None:
    known, clock = estimator(100.0, 98, 0)
    for _ in range(98):
        known.guessed(False, 1)
    clock.ms += 61
    assert known.pays(40.0)
    assert not known.pays(40.0, 1)


def test_the_flight_is_expected_to_be_as_long_as_the_last_ones() -> None:
    known, clock = estimator(1000.0, 0, 98)
    for _ in range(8):
        known.answered(50.0)
    clock.ms += 11
    assert not known.pays(40.0)
    assert known.pays(39.0)


def test_every_flight_begins_anew() -> None:
    known, clock = estimator(100.0, 0, 98)
    clock.ms += 5000
    assert not known.pays(40.0)
    known.submitted()
    assert known.pays(40.0)
