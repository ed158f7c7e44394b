"""The bound by hand-computed values: expected ratios, shallower depths of measured drafts, and hindsight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from speculatoviz.bench.peers.bound import bounds, cut, expected_ratio
from speculatoviz.bench.peers.runs import OWN, PLAIN, PeerRun, Timing, Way
from support.peers import runs

PLAIN_WAY = Way(OWN, PLAIN, "ik")
COSTS = {1: 1.0, 2: 1.2, 3: 1.5, 4: 2.0}.__getitem__  # of passes, in passes over one token
PASS_MS = {1: 20.0, 2: 24.0, 3: 30.0, 4: 40.0}


def fixed(drafter: str, depth: int) -> Way:
    return Way(OWN, f"{drafter}, depth {depth}", "ik", drafter, depth)


def each(cost: float) -> Callable[[int], float]:
    """Of n drafted tokens."""
    return lambda n: n * cost


def test_the_expected_ratio_is_tokens_by_plain_passes() -> None:
    # 10 rounds of 3 drafted tokens; 0, 1, 2 and 3 of them accepted in 1, 2, 3 and 4 rounds: tau = 1 + 20 / 10 = 3.
    # A round costs 3 * 0.25 + 2 = 2.75 plain passes.
    assert expected_ratio((0, 0, 0, 10), (1, 2, 3, 4), each(0.25), COSTS) == pytest.approx(3.0 / 2.75)
    # A match in half of the rounds, of 2 tokens, of which one is accepted: tau = 1.5, cost = (1 + 1.5) / 2.
    assert expected_ratio((4, 0, 4), (4, 4), each(0.0), COSTS) == pytest.approx(1.5 / 1.25)
    # Without drafts it is plain decoding.
    assert expected_ratio((5,), (5,), each(9.0), COSTS) == pytest.approx(1.0)
    assert math.isnan(expected_ratio((), (), each(0.0), COSTS))
    # The drafter's prefill costs 0.5 plain passes for each emitted token, so 1.5 for the 3 tokens of a round.
    assert expected_ratio((0, 0, 0, 10), (1, 2, 3, 4), each(0.25), COSTS, 0.5) == pytest.approx(3.0 / (2.75 + 1.5))


def test_counts_are_cut_at_a_depth() -> None:
    assert cut((1, 2, 3, 4), 2) == (1, 2, 7)
    assert cut((1, 2, 3, 4), 3) == (1, 2, 3, 4)
    assert cut((1, 2), 5) == (1, 2)


def test_the_bound_of_given_runs() -> None:
    plain = runs(PLAIN_WAY, [1.0, 1.0], [Timing(10, 200.0), Timing(10, 200.0)])
    # coding: 4 rounds of 2 drafted tokens, all accepted; a drafted token takes 2 ms, a tenth of a plain one.
    coding = Timing(12, 999.0, 8, 8, 16.0, (0, 0, 4), (0, 0, 4))
    # writing: 8 rounds of 2 drafted tokens, none accepted.
    writing = Timing(8, 999.0, 16, 0, 32.0, (0, 0, 8), (8,))
    found = bounds([*plain, *runs(fixed("model", 2), [1.0, 1.0], [coding, writing])], PASS_MS)

    # Depth 2: tau = 3, cost = 2 * 0.1 + 30 / 20. Depth 1, cut from it: tau = 2, cost = 0.1 + 24 / 20.
    assert found["coding"].choice == ("model", 2)
    assert found["coding"].fixed == pytest.approx(3.0 / 1.7)
    assert found["coding"].hindsight == pytest.approx(3.0 / 1.7)
    # Nothing is accepted: plain decoding is best.
    assert found["writing"].choice == ("", 0)
    assert found["writing"].fixed == found["writing"].hindsight == 1.0


def test_the_bound_counts_the_drafters_prefill_at_every_depth() -> None:
    plain = runs(PLAIN_WAY, [1.0], [Timing(10, 200.0)])
    # 4 rounds of 2 drafted tokens, all accepted, after a prefill that takes as long as 6 plain tokens: 0.5 a token.
    model = Timing(12, 999.0, 8, 8, 16.0, (0, 0, 4), (0, 0, 4), draft_prefill_ms=120.0)
    found = bounds([*plain, *runs(fixed("model", 2), [1.0], [model])], PASS_MS)["coding"]

    # Depth 2: 3 tokens for 0.2 + 1.5 + 3 * 0.5. Depth 1, cut from it: 2 tokens for 0.1 + 1.2 + 2 * 0.5, which is less.
    # Both lose, so nothing is drafted.
    assert found.choice == ("", 0)
    cheaper = replace(model, draft_prefill_ms=60.0)
    found = bounds([*plain, *runs(fixed("model", 2), [1.0], [cheaper])], PASS_MS)["coding"]
    assert found.choice == ("model", 2)
    assert found.fixed == pytest.approx(3.0 / (1.7 + 3.0 * 0.25))


def test_a_draft_of_one_pass_costs_the_same_at_every_depth() -> None:
    plain = runs(PLAIN_WAY, [1.0], [Timing(10, 200.0)])
    # 4 rounds of 2 drafted tokens, half of them accepted, and one without a draft. A draft takes 8 ms, 0.4 of a token.
    blocks = Timing(9, 999.0, 8, 4, 32.0, (1, 0, 4), (1, 4), one_pass=True)
    found = bounds([*plain, *runs(fixed("dflash", 2), [1.0], [blocks])], PASS_MS)["coding"]

    # tau = 1.8. Depth 1, cut from it, costs 0.2 + 0.8 (0.4 + 1.2), not 0.2 + 0.8 (0.2 + 1.2).
    assert found.choice == ("dflash", 1)
    assert found.fixed == pytest.approx(1.8 / (0.2 + 0.8 * 1.6))
    each_token = bounds([*plain, *runs(fixed("model", 2), [1.0], [replace(blocks, one_pass=False)])], PASS_MS)
    assert each_token["coding"].fixed == pytest.approx(1.8 / (0.2 + 0.8 * 1.4))


def test_a_depth_between_measured_ones_is_cut_from_the_next_deeper_one() -> None:
    plain = runs(PLAIN_WAY, [1.0], [Timing(10, 200.0)])
    # 10 rounds: 2 tokens accepted in all of them, a third one in none.
    deep = runs(fixed("suffix", 3), [1.0], [Timing(30, 999.0, 30, 20, 0.0, (0, 0, 0, 10), (0, 0, 10))])
    shallow = runs(fixed("suffix", 1), [1.0], [Timing(10, 999.0, 10, 0, 0.0, (0, 10), (10,))])
    found = bounds([*plain, *shallow, *deep], PASS_MS)

    assert found["coding"].choice == ("suffix", 2)
    assert found["coding"].fixed == pytest.approx(3.0 / (30 / 20))


def test_hindsight_by_prompt_is_at_least_the_best_choice_of_the_category() -> None:
    good, bad = Timing(0, 1.0, 4, 4, 0.0, (0, 4), (0, 4)), Timing(0, 1.0, 4, 0, 0.0, (0, 4), (4,))
    plain = runs(PLAIN_WAY, [1.0] * 4, [Timing(10, 200.0)] * 4)
    one = runs(fixed("model", 1), [1.0] * 4, [good, good, bad, bad])
    other = runs(fixed("suffix", 1), [1.0] * 4, [bad, bad, good, good])
    found = bounds([*plain, *one, *other], PASS_MS)["coding"]

    right, wrong = 2.0 / 1.2, 1.0 / 1.2
    assert found.fixed == pytest.approx((right * wrong) ** 0.5)
    assert found.hindsight == pytest.approx(right)


def test_the_draft_of_a_tree_counts_at_its_own_depth_only() -> None:
    plain = runs(PLAIN_WAY, [1.0], [Timing(10, 200.0)])
    # 10 trees of 3 nodes with depth 2: one token is accepted in all of them.
    tree = runs(fixed("multi", 2), [1.0], [Timing(20, 999.0, 30, 10, 0.0, (0, 0, 0, 10), (0, 10))])
    found = bounds([*plain, *tree], {**PASS_MS, 4: 30.0})

    assert found["coding"].choice == ("multi", 2)  # not depth 1 with a pass over two tokens: 2 / 1.2
    assert found["coding"].fixed == pytest.approx(2.0 / 1.5)


def test_drafts_whose_cost_is_not_known_are_left_out() -> None:
    costly = Timing(20, 999.0, 10, 10, 50.0, (0, 10), (0, 10))
    (run,) = runs(fixed("model", 1), [1.0], [costly])
    failed = replace(run, timing=None)

    assert bounds([run, failed], PASS_MS)["coding"].choice == ("", 0)
    assert bounds(list[PeerRun](), PASS_MS) == {}
