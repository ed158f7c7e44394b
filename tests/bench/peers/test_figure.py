"""The figure holds the marks of given runs, and can be drawn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from speculatoviz.bench.peers.comparison import Comparison
from speculatoviz.bench.peers.figure import figure, series
from speculatoviz.bench.peers.runs import OWN, PLAIN, Way
from support.peers import LLAMA_CPP, REFERENCE, about, runs

AUTO, DEEP = Way(OWN, "auto", "ik"), Way(OWN, "model, depth 2", "ik", "model", 2)
RUNS = [
    *runs(REFERENCE, [1.0, 1.0, 1.0, 1.0]),
    *runs(Way(OWN, PLAIN, "ik"), [1.2, 1.1, 1.2, 1.1]),
    *runs(DEEP, [2.0, 0.5, 0.9, 0.6]),
    *runs(AUTO, [1.8, 1.0, 1.5, 1.1]),
    *runs(Way(LLAMA_CPP, PLAIN), [0.9, 0.95, 0.9, 0.95]),
    *runs(Way(LLAMA_CPP, "ngram_mod"), [1.2, 0.5, 1.2, 0.5]),
]
PASS_MS = {1: 20.0, 2: 24.0, 3: 30.0}


def test_the_series_are_the_ways_that_are_compared_with_the_best_in_hindsight() -> None:
    found = {one.label: one.marks for one in series(Comparison(RUNS, REFERENCE), about(ik=PASS_MS))}

    assert list(found) == [
        "speculatoviz on llamacpp: best fixed choice",
        "speculatoviz on ik: plain",
        "speculatoviz on ik: best fixed choice",
        "speculatoviz on ik: auto",
        "speculatoviz on ik: bound",
        "llama.cpp: plain",
        "llama.cpp: best way",
    ]
    best = found["speculatoviz on ik: best fixed choice"]
    assert [mark.value for mark in best] == pytest.approx([(2.0 * 0.9) ** 0.5, 1.1, (2.0 * 0.9 * 1.1**2) ** 0.25])
    assert (best[0].low, best[0].high) == pytest.approx((0.9, 2.0))
    theirs = found["llama.cpp: best way"]
    assert [mark.value for mark in theirs] == pytest.approx([1.2, 0.95, (1.2 * 0.95) ** 0.5])
    assert math.isnan(found["speculatoviz on ik: bound"][0].low)


def test_the_figure_has_a_panel_for_each_temperature_and_is_the_same_each_time(tmp_path: Path) -> None:
    both = [*RUNS, *runs(AUTO, [1.4], temperature=0.7)]
    for name in ("one.svg", "two.svg"):
        figure(both, about(ik=PASS_MS), tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text()

    assert drawn == (tmp_path / "two.svg").read_text()
    for text in ("a target, T=0<", "a target, T=0.7<", ">coding<", ">writing<", ">all<", "speculatoviz on ik: auto"):
        assert text in drawn
