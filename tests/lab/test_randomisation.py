"""Tests by simulation: they hold where nothing differs, and catch the distance that they state."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.lab.randomisation import POWER, goodness_of_fit, two_samples

PROBS = np.array([0.35, 0.25, 0.15, 0.1, 0.05, 0.04, 0.03, 0.02, 0.007, 0.003])
LEVEL = 0.01
SAMPLES = 400


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def shifted(distance: float) -> Floats:
    """Probabilities at a total variation of `distance` from PROBS, in the direction that is hardest to see."""
    signs = np.where(np.arange(len(PROBS)) % 2 == 0, 1.0, -1.0)
    up, down = PROBS[signs > 0].sum(), PROBS[signs < 0].sum()
    return PROBS * (1.0 + np.where(signs > 0, distance / up, -distance / down))


def test_counts_of_the_probabilities_themselves_are_rarely_rejected() -> None:
    drawn = rng(1).multinomial(SAMPLES, PROBS, size=60)
    values = [goodness_of_fit(counts, PROBS, LEVEL, rng(2)).p_value for counts in drawn]

    assert sum(value < 0.1 for value in values) <= 13  # 6 to be expected; more than 13 in one of 500 cases
    assert min(values) > 1e-4


def test_two_samples_of_one_distribution_are_rarely_rejected() -> None:
    generator = rng(3)
    values = []
    for _ in range(10):
        first, second = (generator.choice(len(PROBS), p=PROBS, size=(SAMPLES, 2)) for _ in range(2))
        values.append(two_samples(first, second, LEVEL, rng(4)).p_value)

    assert sum(value < 0.1 for value in values) <= 5
    assert min(values) > 1e-4


def test_the_stated_distance_is_caught_about_as_often_as_stated() -> None:
    distance = goodness_of_fit(rng(5).multinomial(SAMPLES, PROBS), PROBS, LEVEL, rng(6)).distance
    assert distance is not None
    drawn = rng(7).multinomial(SAMPLES, shifted(distance), size=50)
    caught = np.mean([goodness_of_fit(counts, PROBS, LEVEL, rng(8)).p_value < LEVEL for counts in drawn])

    assert caught >= POWER - 0.1
    third = rng(9).multinomial(SAMPLES, shifted(distance / 3), size=50)
    assert np.mean([goodness_of_fit(counts, PROBS, LEVEL, rng(8)).p_value < LEVEL for counts in third]) < 0.5


def test_the_stated_distance_between_two_samples_is_caught() -> None:
    generator = rng(10)

    def drawn(probs: Floats) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        return generator.choice(len(PROBS), p=probs, size=(SAMPLES, 1))

    distance = two_samples(drawn(PROBS), drawn(PROBS), LEVEL, rng(11)).distance
    assert distance is not None
    assert distance < 0.4
    found = [two_samples(drawn(PROBS), drawn(shifted(distance)), LEVEL, rng(12)).p_value for _ in range(10)]

    assert np.mean([value < LEVEL for value in found]) >= POWER - 0.2


def test_positions_that_belong_together_differently_are_caught() -> None:
    """Each position has the same distribution in both samples; only one of them repeats its first token."""
    first = rng(13).integers(0, 4, size=(SAMPLES, 2))
    second = rng(14).integers(0, 4, size=(SAMPLES, 1)).repeat(2, axis=1)

    assert two_samples(first, second, LEVEL, rng(15)).p_value < LEVEL


def test_an_outcome_without_probability_is_rejected() -> None:
    probs = np.array([0.5, 0.5, 0.0])

    assert goodness_of_fit(np.array([200, 199, 1]), probs, LEVEL, rng(16)).p_value < LEVEL


@pytest.mark.parametrize("size", [1, 3])
def test_one_outcome_alone_catches_nothing(size: int) -> None:
    same = np.zeros((SAMPLES, size), np.int64)
    found = two_samples(same, same, LEVEL, rng(17))

    assert found.p_value == 1.0
    assert found.distance is None
    assert goodness_of_fit(np.array([SAMPLES]), np.ones(1), LEVEL, rng(18)).distance is None
