"""What is run in which order, what is not repeated, and what becomes of a way that fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from speculatoviz.bench.peers.measuring import Measurement, measure_all, measure_prompt
from speculatoviz.bench.peers.runs import PLAIN, About, Peer, Way, latest, read_entries
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.lab.questions import Prompt
from support.peers import Scripted, about, question, scripted

PROMPTS = [Prompt("coding", 0, "sort"), Prompt("coding", 1, "merge"), Prompt("writing", 0, "once upon a time")]


def measurement(ways: Sequence[Peer], progress: list[str], **changes: object) -> Measurement:
    seconds = count()
    usual = Measurement(
        reference=scripted("reference", [10.0] * 99, []),
        ways=lambda _temperature: ways,
        encode=lambda text: [ord(letter) for letter in text],
        prompts=PROMPTS,
        temperatures=[0.0],
        max_tokens=10,
        clock=lambda: float(next(seconds)),
        progress=progress.append,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_ratios_are_to_the_runs_of_the_reference_around_them() -> None:
    log: list[str] = []
    reference = scripted(PLAIN, [100.0, 50.0], log)
    (run,) = measure_prompt(reference, [scripted("auto", [40.0], log)], question(PROMPTS[0]))

    assert log == [PLAIN, "auto", PLAIN]
    assert run.ratio == pytest.approx(250.0 / 150.0)


def test_the_reference_comes_again_after_every_few_ways() -> None:
    log: list[str] = []
    reference = scripted(PLAIN, [100.0, 50.0, 25.0], log)
    ways = [scripted(f"way {number}", [50.0], log) for number in range(8)]
    found = list(measure_prompt(reference, ways, question(PROMPTS[0])))

    places = [place for place, name in enumerate(log) if name == PLAIN]
    assert places == [0, 7, 10]
    assert [run.ratio for run in found] == pytest.approx([200 / 150] * 6 + [200 / 300] * 2)
    assert sorted(log[1:7] + log[8:10]) == sorted(way.way.name for way in ways)


def test_the_order_of_the_ways_differs_between_prompts_and_is_the_same_each_time() -> None:
    orders = []
    for prompt in (PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[2]):
        log: list[str] = []
        ways = [scripted(f"way {number}", [50.0], log) for number in range(6)]
        list(measure_prompt(scripted(PLAIN, [9.0, 9.0], []), ways, question(prompt)))
        orders.append(log)

    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_what_is_measured_is_not_repeated(tmp_path: Path) -> None:
    out, log, lines = tmp_path / "runs.jsonl", list[str](), list[str]()
    for prompts in (PROMPTS[:1], PROMPTS, PROMPTS):
        ways = [scripted("auto", [5.0] * 9, log)]
        measure_all(measurement(ways, lines, prompts=prompts), about(), dict, out)

    assert log == ["auto"] * 3
    runs = latest(read_entries(out))
    assert [(run.category, run.prompt) for run in runs] == [(p.category, p.number) for p in PROMPTS]
    assert f"{out} holds 1 of 3 prompts already" in lines
    assert f"{out} holds 3 of 3 prompts already" in lines


def test_a_way_that_is_added_later_is_measured_on_the_prompts_that_are_known(tmp_path: Path) -> None:
    out, log = tmp_path / "runs.jsonl", list[str]()
    ways = [scripted("auto", [5.0] * 9, log)]
    measure_all(measurement(ways, []), about(), dict, out)
    measure_all(measurement([*ways, scripted("adaptive", [5.0] * 9, log)], []), about(), dict, out)

    assert log == ["auto"] * 3 + ["adaptive"] * 3
    kinds = [isinstance(entry, About) for entry in read_entries(out)]
    assert kinds == [True, *[False] * 3, True, *[False] * 3]


@pytest.mark.parametrize(
    "change",
    [
        {"target": "another"},
        {"draft": "another"},
        {"max_tokens": 11},
        {"machine": "another"},
        {"reference": Way("speculatoviz", PLAIN, "ik")},
    ],
    ids=str,
)
def test_runs_that_cannot_be_compared_are_not_mixed_in_one_file(tmp_path: Path, change: dict[str, object]) -> None:
    out = tmp_path / "runs"
    ways = [scripted("auto", [5.0] * 9, [])]
    measure_all(measurement(ways, [], prompts=PROMPTS[:1]), about(), dict, out)
    written = out.read_bytes()

    with pytest.raises(BadRequestError, match=r"holds runs of a target, 10 tokens") as refused:
        measure_all(measurement(ways, []), replace(about(), **change), dict, out)  # type: ignore[arg-type]
    assert refused.value.hint == "Name another file with --out."
    assert out.read_bytes() == written


def test_every_temperature_is_measured_with_its_own_ways(tmp_path: Path) -> None:
    log: list[str] = []
    auto, drawn = scripted("auto", [5.0] * 9, log), scripted("drawn", [5.0] * 9, log)
    asked = replace(
        measurement([], [], temperatures=[0.0, 0.7], prompts=PROMPTS[:1]),
        ways=lambda temperature: [auto, drawn] if temperature else [auto],
    )
    measure_all(asked, about(), dict, tmp_path / "runs")

    runs = latest(read_entries(tmp_path / "runs"))
    assert {(run.way.name, run.temperature) for run in runs} == {("auto", 0.0), ("auto", 0.7), ("drawn", 0.7)}


def test_the_remaining_prompts_and_minutes_are_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    seconds = iter([0.0, 60.0, 120.0, 180.0])
    ways = [scripted("auto", [5.0] * 9, [])]
    measure_all(measurement(ways, lines, clock=lambda: next(seconds)), about(), dict, tmp_path / "runs")

    assert lines == [
        "coding 0 at T=0; 2 prompts left, about 2 minutes",
        "coding 1 at T=0; 1 prompts left, about 1 minutes",
        "writing 0 at T=0; 0 prompts left, about 0 minutes",
    ]


def test_a_prompt_that_does_not_fit_is_left_out_with_a_word(tmp_path: Path) -> None:
    lines: list[str] = []
    prompts = [Prompt("rag", 0, "too long"), PROMPTS[0]]
    ways = [scripted("auto", [5.0] * 9, [])]
    measure_all(measurement(ways, lines, prompts=prompts), about(), dict, tmp_path / "runs")

    assert "rag 0 at T=0 is left out: The prompt has too many tokens." in lines[0]
    assert {run.category for run in latest(read_entries(tmp_path / "runs"))} == {"coding"}


def test_a_way_that_dies_leaves_the_others_alone_and_its_line_has_the_reason(tmp_path: Path) -> None:
    out, log, lines = tmp_path / "runs", list[str](), list[str]()
    ways = [scripted("auto", [5.0] * 9, log), scripted("dying", [5.0, None], log)]
    measure_all(measurement(ways, lines), about(), dict, out)

    runs = latest(read_entries(out))
    assert [run.category + str(run.prompt) for run in runs if run.way.name == "auto"] == [
        "coding0",
        "coding1",
        "writing0",
    ]
    first, second = [run for run in runs if run.way.name == "dying"]
    assert first.error is None
    assert second.error == "The process has ended. Start it again."
    assert second.ratio is None
    assert log.count("dying") == 2  # not asked for the third prompt
    assert "speculatoviz on llamacpp: dying failed: The process has ended. Start it again." in lines

    alive = [scripted("auto", [5.0] * 9, log), scripted("dying", [5.0] * 9, log)]
    measure_all(measurement(alive, lines), about(), dict, out)
    assert {run.error for run in latest(read_entries(out))} == {None}


def test_a_reference_that_dies_ends_the_measurement_and_keeps_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    reference = scripted(PLAIN, [5.0, 5.0, 5.0, None], [])
    ways = [scripted("auto", [5.0] * 9, [])]
    with pytest.raises(TargetError):
        measure_all(measurement(ways, [], reference=reference), about(), dict, out)

    assert [run.prompt for run in latest(read_entries(out))] == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not give processor times")
def test_the_processor_time_of_others_is_recorded() -> None:
    waiting = Scripted(Way("speculatoviz", "waiting"), [10.0], pid=os.getpid())
    (run,) = measure_prompt(scripted(PLAIN, [5.0] * 2, []), [waiting], question(PROMPTS[0]))

    assert run.waiting_ms == 0.0  # its own process does not count
    assert run.foreign_share is not None
    assert 0.0 <= run.foreign_share <= 1.0
