"""The figures of a sweep, by hand; and a choice in hindsight is not taken for a gain."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.token_classes import TOKEN_CLASSES
from speculatoviz.lab.statistics import geometric_mean
from speculatoviz.lab.sweep.cells import PLAIN, Cell
from speculatoviz.lab.sweep.summary import (
    CONTEXTS,
    ENTROPIES,
    PlainRound,
    Summary,
    acceptance_of,
    drafted_token_ms,
    expected_speedup,
    plain_round,
)
from support.sweeps import AUTO, MODEL, SUFFIX, plain, run


def test_speedups_are_geometric_means_over_prompts_and_categories_are_apart() -> None:
    summary = Summary(
        [
            *(plain("coding", 0), plain("writing", 0)),
            *(run(SUFFIX, 2.0), run(SUFFIX, 0.5, prompt=1), run(SUFFIX, 3.0, "writing")),
            run(SUFFIX, 9.0, temperature=0.7),
        ]
    )

    assert summary.temperatures == [0.0, 0.7]
    assert summary.categories == ["coding", "writing"]
    assert summary.of(SUFFIX, 0.0, "coding").speedup.value == pytest.approx(1.0)
    assert summary.of(SUFFIX, 0.0).speedup.value == pytest.approx(3.0 ** (1 / 3))
    assert math.isnan(summary.of(SUFFIX, 0.0, "writing").speedup.low)
    assert summary.of(SUFFIX, 0.7).speedup.value == pytest.approx(9.0)


def test_acceptance_is_of_what_was_tested_or_of_every_round_that_drafted() -> None:
    first = run(
        SUFFIX, 1.0, drafted=(2, 2, 2, 0), accepted=(2, 1, 0, 0), emitted=(3, 2, 1, 1),
        tested_position=(0, 1, 0, 1, 0), tested_accepted=(True, True, True, False, False),
        tested_context_tokens=(20, 21, 130, 131, 5000), tested_entropy=(0.05, 0.7, 1.5, None, 9.0),
        tested_token_class=("word start", "number", "number", None, "number"),
    )  # fmt: skip
    summary = Summary([first])
    found = summary.positions(SUFFIX, 0.0)

    assert [mark.value for mark in found.unconditional] == pytest.approx([2 / 3, 1 / 3])
    assert [mark.value for mark in found.conditional] == pytest.approx([2 / 3, 1 / 2])
    assert summary.of(SUFFIX, 0.0).acceptance.value == pytest.approx(3 / 6)
    assert summary.of(SUFFIX, 0.0).tokens_per_round.value == pytest.approx(7 / 4)
    entropies = [mark.value for mark in summary.by_entropy(SUFFIX, 0.0)]
    assert entropies == pytest.approx([1.0, math.nan, 1.0, 1.0, 0.0], nan_ok=True)
    contexts = [mark.value for mark in summary.by_context(SUFFIX, 0.0)]
    assert contexts == pytest.approx([1.0, 0.5, *[math.nan] * 3, 0.0], nan_ok=True)
    assert (len(entropies), len(contexts)) == (len(ENTROPIES), len(CONTEXTS))
    classes = dict(zip(TOKEN_CLASSES, summary.by_token_class(SUFFIX, 0.0), strict=True))
    assert classes["word start"].value == 1.0
    assert classes["number"].value == pytest.approx(2 / 3)
    assert not classes["whitespace"].known
    older = Summary([replace(first, tested_token_class=())])  # measured before the classes existed
    assert not any(mark.known for mark in older.by_token_class(SUFFIX, 0.0))


def test_bursts_count_as_they_arrive() -> None:
    summary = Summary([run(SUFFIX, 1.0), plain()])  # four rounds of two tokens in 20 ms each; tokens of 10 ms each
    speculative, alone = summary.latency(SUFFIX, 0.0), summary.latency(PLAIN, 0.0)

    assert [mark.value for mark in speculative.gaps_ms] == [0.0, 20.0, 20.0]  # of 0 20 0 20 0 20 0
    assert [mark.value for mark in alone.gaps_ms] == [10.0, 10.0, 10.0]
    assert (speculative.ttft_ms.value, alone.ttft_ms.value) == (60.0, 50.0)


def test_the_parts_of_a_token_add_up_to_its_time() -> None:
    summary = Summary([run(SUFFIX, 2.0), run(SUFFIX, 1.0, prompt=1), plain()])

    assert sum(summary.of(SUFFIX, 0.0).parts_ms.values()) == pytest.approx((5.0 + 10.0) / 2)
    assert sum(summary.of(PLAIN, 0.0).parts_ms.values()) == pytest.approx(10.0)


def test_the_drafters_prefill_counts_against_it() -> None:
    late = run(SUFFIX, 2.0, draft_prefill_ms=40.0)  # 40 ms of rounds, where plain decoding takes 80
    summary = Summary([late])

    assert summary.of(SUFFIX, 0.0).speedup.value == pytest.approx(1.0)
    assert sum(summary.of(SUFFIX, 0.0).parts_ms.values()) == pytest.approx(10.0)
    assert drafted_token_ms([late]) == pytest.approx(10.0 / 8)


def test_the_best_choice_ran_on_every_prompt_and_may_be_plain_decoding() -> None:
    runs = [run(SUFFIX, 0.9, prompt=number) for number in range(3)]
    part = run(MODEL, 5.0)
    assert Summary([*runs, part]).best(0.0).cell == PLAIN

    faster = [run(AUTO, 1.2, prompt=number) for number in range(3)]
    best = Summary([*runs, part, *faster]).best(0.0)
    assert best.cell == AUTO
    assert (best.speedup.value, best.held_out.value) == pytest.approx((1.2, 1.2))


def test_the_best_of_many_choices_that_differ_by_noise_alone_gains_nothing_on_other_prompts() -> None:
    chance, cells = np.random.default_rng(0), [Cell("suffix", k=k) for k in range(1, 13)]
    hindsight, held_out = list[float](), list[float]()
    for _ in range(20):
        runs = [run(cell, math.exp(chance.normal(0.0, 0.3)), prompt=number) for cell in cells for number in range(10)]
        best = Summary(runs).best(0.0)
        hindsight.append(best.speedup.value)
        held_out.append(best.held_out.value)

    assert geometric_mean(hindsight) > 1.1  # what the twin without held-out prompts reports
    assert 0.93 < geometric_mean(held_out) < 1.05


def test_the_formula_is_the_papers_with_measured_passes() -> None:
    runs = [run(MODEL, 1.0)]  # of eight tested tokens four are accepted; eight drafted tokens in 20 ms
    passes = {1: 10.0, 3: 15.0}

    assert acceptance_of(runs) == 0.5
    assert drafted_token_ms(runs) == pytest.approx(2.5)
    quiet = PlainRound(10.0, 0.0)
    assert expected_speedup(0.5, 2, 2.5, passes, quiet) == pytest.approx((1 - 0.5**3) / 0.5 * 10.0 / (2 * 2.5 + 15.0))
    assert math.isnan(expected_speedup(0.5, 3, 2.5, passes, quiet))
    assert math.isnan(expected_speedup(math.nan, 2, 2.5, passes, quiet))
    assert math.isnan(expected_speedup(0.5, 2, 2.5, passes, plain_round([])))


def test_on_a_slower_machine_passes_grow_with_the_plain_pass_and_the_rest_of_a_round_does_not() -> None:
    slower = PlainRound(20.0, 8.0)  # twice the time of the table, and 8 ms beside the pass
    found = expected_speedup(0.5, 2, 2.5, {1: 10.0, 3: 15.0}, slower)

    assert found == pytest.approx((1 - 0.5**3) / 0.5 * 28.0 / (2 * 2.5 + 30.0 + 8.0))
    runs = [replace(run(PLAIN, 1.0), round_ms=(9.0, 11.0), verify_ms=16.0, draft_ms=0.0, network_ms=1.0, other_ms=3.0)]
    assert plain_round(runs) == PlainRound(8.0, 2.0)
