"""Hindsight, shares and the headline, by hand-computed values."""

from __future__ import annotations

import math

import pytest

from speculatoviz.bench.peers.comparison import ALL, Comparison
from speculatoviz.bench.peers.runs import OWN, PLAIN, PeerRun, Timing, Way
from speculatoviz.lab.statistics import geometric_mean, interval
from support.peers import LLAMA_CPP, REFERENCE, runs

AUTO = Way(OWN, "auto", "ik")
PLAIN_IK = Way(OWN, PLAIN, "ik")
DEEP = Way(OWN, "model, depth 2", "ik", "model", 2)
THEIR_PLAIN, THEIR_DRAFT = Way(LLAMA_CPP, PLAIN), Way(LLAMA_CPP, "draft model, n_max 2")
PASS_MS = {1: 20.0, 2: 24.0, 3: 30.0}


def compared(*more: PeerRun) -> Comparison:
    """Two prompts, one of coding and one of writing."""
    accepted = Timing(12, 999.0, 8, 8, 0.0, (0, 0, 4), (0, 0, 4))  # bound: 3 / 1.5
    rejected = Timing(4, 999.0, 8, 0, 0.0, (0, 0, 4), (4,))
    return Comparison(
        [
            *runs(REFERENCE, [1.01, 0.98]),
            *runs(PLAIN_IK, [1.2, 1.1]),
            *runs(DEEP, [2.0, 0.5], [accepted, rejected]),
            *runs(AUTO, [1.8, 1.045]),
            *runs(THEIR_PLAIN, [0.9, 0.95]),
            *runs(THEIR_DRAFT, [1.0, 0.6]),
            *more,
        ],
        REFERENCE,
    )


def test_auto_is_compared_with_plain_hindsight_the_bound_and_llama_cpp() -> None:
    standings = compared().standings("ik", PASS_MS)
    coding, writing = standings["coding"], standings["writing"]

    assert coding.against_plain == pytest.approx(1.8 / 1.2)
    assert (coding.fixed_way, coding.against_fixed) == ("model, depth 2", pytest.approx(0.9))
    assert coding.bound == pytest.approx(2.0)
    assert coding.share_of_bound == pytest.approx(1.5 / 2.0)
    assert (coding.llamacpp_way, coding.against_llamacpp) == ("draft model, n_max 2", pytest.approx(1.8))
    assert (writing.fixed_way, writing.against_fixed) == (PLAIN, pytest.approx(0.95))
    assert writing.share_of_bound == pytest.approx(0.95)
    assert (writing.llamacpp_way, writing.against_llamacpp) == (PLAIN, pytest.approx(1.1))
    assert standings[ALL].against_llamacpp == pytest.approx((1.8 * 1.1) ** 0.5)
    assert standings[ALL].bound == pytest.approx(2.0**0.5)


def test_the_headline_is_the_geometric_mean_over_the_fastest_ways_of_llama_cpp() -> None:
    mean, low, high = compared().headline("ik")

    assert mean == pytest.approx((1.8 * 1.1) ** 0.5)
    assert (low, high) == pytest.approx((1.1, 1.8))
    assert math.isnan(compared().headline("llamacpp")[0])  # auto was not measured there


def test_the_plain_runs_of_the_reference_are_one_by_definition() -> None:
    assert compared().standings("llamacpp", {})["coding"].plain == 1.0


def test_without_pass_times_there_is_no_bound_and_without_llama_cpp_no_headline() -> None:
    alone = Comparison([*runs(PLAIN_IK, [1.2, 1.1]), *runs(AUTO, [1.8, 1.0])], REFERENCE)
    standing = alone.standings("ik", {})["coding"]

    assert math.isnan(standing.bound)
    assert math.isnan(standing.against_llamacpp)
    assert standing.against_plain == pytest.approx(1.5)


def test_ways_are_listed_by_engine_runtime_and_kind() -> None:
    ways = [
        Way(LLAMA_CPP, PLAIN),
        Way(LLAMA_CPP, "draft model, n_max 2"),
        Way(LLAMA_CPP, "draft model, n_max 16"),
        AUTO,
        DEEP,
        PLAIN_IK,
        Way(OWN, "auto", "llamacpp"),
        REFERENCE,
    ]
    listed = Comparison([run for way in ways for run in runs(way, [1.0])], REFERENCE).ways

    assert listed == [REFERENCE, ways[6], PLAIN_IK, DEEP, AUTO, *ways[:3]]


def test_a_way_that_failed_is_named_and_does_not_count() -> None:
    failed = PeerRun(Way(LLAMA_CPP, "ngram_mod"), "coding", 0, 0.0, error="It has ended.")
    comparison = compared(failed)

    assert comparison.failures == {failed.way: "It has ended."}
    assert comparison.standings("ik", PASS_MS) == compared().standings("ik", PASS_MS)


def test_means_are_geometric_and_intervals_hold_them() -> None:
    ratios = [0.5, 2.0, 1.0, 1.5, 0.8]
    low, high = interval(ratios)

    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert low < geometric_mean(ratios) < high
    assert interval([1.3] * 5) == pytest.approx((1.3, 1.3))
    assert all(map(math.isnan, (geometric_mean([]), *interval([]), *interval([1.3]))))
