"""The test of two samples keeps its level, and finds what it claims that it would find."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.lab.endpoints.two_sample import ALPHA, p_value, two_sample

PROBS = np.array([0.5, 0.25, 0.15, 0.1])


def draws(rng: np.random.Generator, count: int, faulty: float = 0.0, places: int = 6) -> list[list[int]]:
    drawn = rng.choice(len(PROBS), size=(count, places), p=PROBS)
    broken = rng.random((count, places)) < faulty
    return np.where(broken, 0, drawn).tolist()  # type: ignore[no-any-return]


def differs(seed: int, faulty: float = 0.0) -> bool:
    rng = np.random.default_rng(seed)
    return p_value([draws(rng, 60)], [draws(rng, 60, faulty)], rng) < ALPHA


def caught(count: int) -> float | None:
    rng = np.random.default_rng(0)
    return two_sample([draws(rng, count)], [draws(rng, count)], rng).caught


def test_equal_engines_differ_as_rarely_as_the_level_says() -> None:
    false_alarms = sum(differs(seed) for seed in range(40))
    assert false_alarms <= 3  # of 40 at a level of 0.01: more than 3 has a probability below 1 in 1,000


def test_the_fault_that_would_be_found_is_found() -> None:
    """In most samples that have it, and more rarely where it is a quarter of that."""
    share = caught(60)
    assert share is not None
    assert share < 1.0
    found = sum(differs(seed, share) for seed in range(20))
    weaker = sum(differs(seed, share / 4) for seed in range(20))
    assert found >= 12
    assert weaker < found


def test_more_draws_find_smaller_faults() -> None:
    few, many = caught(20), caught(200)
    assert many is not None
    assert few is None or many < few


def test_the_end_of_a_text_is_an_outcome() -> None:
    rng = np.random.default_rng(0)
    short = [[["a"] for _ in range(40)]]
    long = [[["a", "a"] for _ in range(40)]]
    assert two_sample(short, long, rng).p_value < ALPHA


def test_samples_of_one_certain_text_do_not_differ() -> None:
    rng = np.random.default_rng(0)
    same = [[["a", "b"] for _ in range(20)]]
    found = two_sample(same, same, rng)
    assert (found.p_value, found.distance, found.caught) == (1.0, 0.0, None)


def test_samples_of_different_sizes_are_no_samples() -> None:
    with pytest.raises(ValueError, match="as many of both"):
        two_sample([[["a"], ["b"]]], [[["a"]]], np.random.default_rng(0))
