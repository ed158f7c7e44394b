"""The tables and the JSON of a measurement."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from speculatoviz.bench.peers.runs import OWN, PLAIN, PeerRun, Way
from speculatoviz.bench.peers.summary import summary, tables
from support.peers import LLAMA_CPP, REFERENCE, about, runs

AUTO = Way(OWN, "auto", "llamacpp")
FAILED = PeerRun(Way(LLAMA_CPP, "ngram_mod"), "coding", 0, 0.0, error="It has ended. Start it again.")
RUNS = [
    *runs(REFERENCE, [1.0, 1.0]),
    *runs(AUTO, [1.5, 0.98]),
    *runs(Way(LLAMA_CPP, PLAIN), [0.9, 0.9]),
    FAILED,
    *runs(AUTO, [1.2], temperature=0.7),
]


def test_the_tables_have_a_row_for_each_way_and_each_category() -> None:
    measured = about(llamacpp={1: 20.0, 2: 24.0})
    text = tables(RUNS, replace(measured, outside_passes={"llamacpp": {0.0: 0.012, 0.7: None}}))
    lines = text.splitlines()

    assert "| way | all (95 %) | coding | writing |" in lines
    assert "| speculatoviz on llamacpp: auto | 1.21 (0.98 to 1.50) | 1.50 | 0.98 |" in lines
    assert "| llama.cpp: ngram_mod | failed | – | – |" in lines
    assert "llama.cpp: ngram_mod failed: It has ended. Start it again." in lines
    assert "auto on llamacpp at T=0: 1.35 times the rate of llama.cpp's fastest way of each category" in text
    assert "auto on llamacpp at T=0.7: llama.cpp was not measured." in lines
    assert "| coding | 1.50 | 1.50 | 1.50 | plain | 1.00 | 1.00 | 1.50 | 1.67 | 1.67 | plain |" in lines
    assert "Outside forward passes on llamacpp, of a round at depth 8: 1.2% at T=0, – at T=0.7." in lines
    assert lines[0] == "T=0. Rates relative to speculatoviz on llamacpp: plain, geometric means."


def test_the_summary_is_json_and_has_the_aims() -> None:
    found = json.loads(json.dumps(summary(RUNS, about(llamacpp={1: 20.0})), allow_nan=False))
    cold = found["temperatures"]["0"]["runtimes"]["llamacpp"]

    assert cold["auto_against_plain_lowest"] == pytest.approx(0.98)
    assert cold["auto_against_fixed_lowest"] == pytest.approx(0.98)
    assert cold["auto_against_llamacpp"]["ratio"] == pytest.approx((1.5 * 0.98) ** 0.5 / 0.9)
    assert cold["categories"]["coding"]["auto_against_llamacpp"] == pytest.approx(1.5 / 0.9)
    assert found["temperatures"]["0"]["failed"] == {"llama.cpp: ngram_mod": FAILED.error}
    assert found["temperatures"]["0.7"]["runtimes"]["llamacpp"]["auto_against_llamacpp"]["ratio"] is None
    assert found["reference"] == REFERENCE.label
    assert found["waiting_processor_share"] == 0.0
    assert found["foreign_processor_share"] is None


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([0.0, 0.02], "Other programs used 1.0% of the processor time."),
        ([0.3, 0.5], "Other programs used 40.0% of the processor time. That slows down some engines more than others"),
        ([], "How busy the machine was with other programs is not known here."),
    ],
)
def test_a_busy_machine_is_reported(shares: list[float], said: str) -> None:
    measured = [replace(run, foreign_share=share) for run, share in zip(RUNS, shares, strict=False)]

    assert said in tables([*measured, *RUNS[len(shares) :]], about())
