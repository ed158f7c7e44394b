"""Answers in Spec-Bench's format: what its evaluation scripts read, for every choice of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.questions import Prompt, Source, read_source
from speculatoviz.lab.sweep.measuring import measure_all
from speculatoviz.lab.sweep.records import Folder
from speculatoviz.lab.sweep.spec_bench import wall_time_s, write_answers
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done
from support.spread_sweeps import settings, shortened, watch
from support.sweeps import SUFFIX, folder_of, plain, run

SOURCE = Source([Prompt("coding", 0, "a", question_id=81), Prompt("coding", 1, "b")], "prompts.jsonl", "0" * 64)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_answers_of_a_real_sweep_have_its_texts_and_counts(tmp_path: Path) -> None:
    plan, folder = shortened(2, traces=True), Folder(tmp_path / "out")
    measure_all(settings(tmp_path), plan, folder, watch())
    written = write_answers(folder, plan.source)

    cells = {(run.cell, run.temperature) for run in folder.runs}
    assert len(written) == len({file.name for file in written}) == len(cells)
    answers = {(line["model_id"], line["question_id"]): line for file in written for line in lines(file)}
    for one in folder.runs:
        model = f"{folder.abouts[-1].target.name}, {one.cell.label}, temperature {one.temperature:g}"
        found = answers[model, one.prompt + 1]
        [choice] = found["choices"]
        text = next(e.generated_text for e in trace.read(folder.path / one.trace).events if isinstance(e, Done))
        assert choice["turns"] == [text]
        assert choice["accept_lengths"] == list(one.emitted)
        assert choice["decoding_steps"] == [len(one.emitted)]
        assert choice["new_tokens"] == [sum(choice["accept_lengths"])] == [one.tokens]
        assert choice["index"] == 0
        if not one.cell.plain:
            assert choice["wall_time"] == [pytest.approx(wall_time_s(one))]
    assert len({line["answer_id"] for line in answers.values()}) == len(answers)


def test_the_time_is_that_of_the_whole_run_and_a_mean_of_plain_runs() -> None:
    one = run(SUFFIX, 2.0)  # four rounds of 10 ms after 60 ms to the first token, which contain the first round
    assert wall_time_s(one) == pytest.approx(0.060 + 3 * one.round_ms[0] / 1000)


def test_a_question_has_its_own_id_else_its_place(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    given = [{"question_id": 81, "turns": ["x", "y"]}, {"prompt": "z", "question_id": [1]}, {"prompt": "z"}]
    file.write_text("\n".join(map(json.dumps, given)))
    assert [prompt.question_id for prompt in read_source(file, None).prompts] == [81, None, None]


def test_what_cannot_be_written_truly_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [plain(), run(SUFFIX, 2.0)])
    with pytest.raises(BadRequestError, match="without traces"):
        write_answers(folder, SOURCE._replace(sha256=folder.abouts[-1].prompts_sha256))
    with pytest.raises(BadRequestError, match="measured on other prompts"):
        write_answers(folder, SOURCE._replace(sha256="f" * 64))
