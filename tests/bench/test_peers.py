"""The benchmark against other engines: what it runs in which order, what it repeats, and what it computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from speculatoviz.bench.drafters import Prompt
from speculatoviz.bench.peers import (
    PLAIN,
    PeerRun,
    Timing,
    geometric_mean,
    interval,
    measure_all,
    measure_prompt,
    own_ways,
    read_runs,
    summary,
    table,
)
from speculatoviz.errors import BadRequestError
from support import toy_session

PROMPTS = [Prompt("coding", 0, "sort"), Prompt("coding", 1, "merge"), Prompt("writing", 0, "once upon a time")]


@dataclass
class Scripted:
    """A way that takes the next time of its script for ten tokens."""

    way: str
    times_ms: list[float]
    log: list[str] = field(default_factory=list)
    name: str = "speculatoviz"

    def decode(self, prompt: Prompt, ids: Sequence[int], max_tokens: int, temperature: float) -> Timing:
        self.log.append(self.way)
        if prompt.text == "too long":
            raise BadRequestError("The prompt has too many tokens.", "Shorten it.")
        return Timing(10, self.times_ms.pop(0), 4, 2)


def encode(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_ratios_are_to_the_plain_runs_around_them() -> None:
    log: list[str] = []
    ways = [Scripted(PLAIN, [100.0, 50.0], log), Scripted("auto", [40.0], log)]
    plain, auto = measure_prompt(ways, PROMPTS[0], [1], 10, 0.0)

    assert log == [PLAIN, "auto", PLAIN]
    assert auto.ratio == pytest.approx(250.0 / 150.0)
    assert plain.ratio == pytest.approx(200.0 / 150.0)


def test_what_is_measured_is_not_repeated(tmp_path: Path) -> None:
    out, log = tmp_path / "runs.jsonl", list[str]()
    for prompts in (PROMPTS[:1], PROMPTS):
        ways = [Scripted(PLAIN, [10.0] * 9, log), Scripted("auto", [5.0] * 9, log)]
        measure_all(ways, encode, prompts, 10, 0.0, out, log.append)

    assert log == [
        PLAIN,
        PLAIN,
        "auto",
        PLAIN,
        "coding 0",
        PLAIN,
        *([PLAIN, "auto", PLAIN, "coding 1"]),
        *([PLAIN, "auto", PLAIN, "writing 0"]),
    ]
    assert [(run.category, run.prompt, run.way) for run in read_runs(out)] == [
        (p.category, p.number, way) for p in PROMPTS for way in (PLAIN, "auto")
    ]


def test_a_prompt_that_does_not_fit_is_left_out_with_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    ways = [Scripted(PLAIN, [10.0] * 9), Scripted("auto", [5.0] * 9)]
    measure_all(ways, encode, [PROMPTS[0], Prompt("rag", 0, "too long")], 10, 0.0, tmp_path / "runs", said.append)

    assert said[0] == "coding 0"
    assert "too many tokens" in said[1]
    assert {run.category for run in read_runs(tmp_path / "runs")} == {"coding"}


def runs(**ratios: list[float]) -> list[PeerRun]:
    """The ratios of each way on as many prompts, the even ones of coding and the odd ones of writing."""
    made = []
    for key, values in ratios.items():
        engine, way = ("llama.cpp", key[5:]) if key.startswith("peer_") else ("speculatoviz", key)
        made += [
            PeerRun(engine, way, ("coding", "writing")[i % 2], i, 0.0, 10, 1.0, 0, 0, ratio)
            for i, ratio in enumerate(values)
        ]
    return made


def test_the_summary_compares_auto_with_hindsight_and_with_the_best_peer() -> None:
    found = summary(runs(plain=[1.0, 1.0], deep=[2.0, 0.5], auto=[1.8, 0.9], peer_plain=[0.9, 0.9]))

    assert found["auto_share_of_hindsight"] == pytest.approx({"coding": 0.9, "writing": 0.9})
    assert found["auto_lowest_category"] == pytest.approx(0.9)
    assert found["auto_against_best_peer"] == pytest.approx((1.8 * 0.9) ** 0.5 / 0.9)
    json.dumps(found)


def test_means_are_geometric_and_intervals_hold_them() -> None:
    ratios = [0.5, 2.0, 1.0, 1.5, 0.8]
    low, high = interval(ratios)

    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert low < geometric_mean(ratios) < high
    assert interval([1.3] * 5) == pytest.approx((1.3, 1.3))


def test_the_table_has_a_row_for_each_way() -> None:
    lines = table(runs(plain=[1.0, 1.0], auto=[2.0, 0.5])).splitlines()

    assert lines[0] == "| engine | way | all (95 %) | coding | writing |"
    assert lines[3].startswith("| speculatoviz | auto | 1.00 (")
    assert lines[3].endswith("| 2.00 | 0.50 |")


def test_this_engine_s_ways_run(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    try:
        ways = own_ways(session)
        found = list(measure_prompt(ways, PROMPTS[2], [1], 12, 0.0))
    finally:
        session.close()

    assert [run.way for run in found] == [way.way for way in ways]
    assert {"plain", "model, depth 3", "suffix, depth 3", "adaptive", "auto"} <= {run.way for run in found}
    assert next(run for run in found if run.way == PLAIN).drafted == 0
    assert next(run for run in found if run.way == "model, depth 3").drafted > 0
