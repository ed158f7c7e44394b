"""The comparison of drafters: what it reads, what it runs, what it draws."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from speculatoviz.bench.drafters import DrafterRun, Setting, measure, read_runs
from speculatoviz.bench.questions import read_prompts
from speculatoviz.bench.report import figure, table, tokens_per_round, variants
from speculatoviz.errors import BadRequestError
from support import toy_session

QUESTIONS = [("coding", "sort"), ("coding", "merge"), ("writing", "once upon a time"), ("coding", "search")]


def prompts_file(folder: Path) -> Path:
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps({"category": c, "turns": [text, "and?"]}) + "\n" for c, text in QUESTIONS))
    return file


def run(drafter: str, category: str, tokens: int, nodes: int = 0, speedup: float = 1.0) -> DrafterRun:
    return DrafterRun("smol", 0.0, category, 0, drafter, nodes, 10, tokens, 20, 5, 4.0, 100.0, speedup)


def test_it_takes_the_first_turns_of_so_many_of_each_category(tmp_path: Path) -> None:
    prompts = read_prompts(prompts_file(tmp_path), 2)
    assert [(p.category, p.number, p.text) for p in prompts] == [
        ("coding", 0, "sort"),
        ("coding", 1, "merge"),
        ("writing", 0, "once upon a time"),
    ]


def test_a_file_that_holds_no_prompts_is_refused_in_words(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"question": "?"}\n')
    for file in (other, tmp_path / "missing.jsonl"):
        with pytest.raises(BadRequestError, match="cannot be read as prompts"):
            read_prompts(file, 1)


def test_every_drafter_runs_on_every_prompt_and_what_is_done_is_left_out(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    setting = Setting("toy", k=2, nodes=6, temperature=0.0, max_tokens=12)
    prompt = read_prompts(prompts_file(tmp_path), 1)[0]
    runs = list(measure(session, setting, prompt, set()))
    assert {r.drafter for r in runs} == set(session.drafters)
    assert {r.nodes for r in runs if r.drafter == "model"} == {0, 6}
    assert all(r.rounds <= r.tokens <= r.rounds + r.accepted for r in runs)  # an end token ends a round early
    chain, tree = (next(r for r in runs if (r.drafter, r.nodes) == ("model", nodes)) for nodes in (0, 6))
    assert tree.drafted / tree.rounds > chain.drafted / chain.rounds
    done = {(r.drafter, r.nodes) for r in runs[1:]}
    assert [r.drafter for r in measure(session, setting, prompt, done)] == [runs[0].drafter]
    chosen = replace(setting, drafters=["ngram", "model"])
    assert list(chosen.variants(session)) == [("ngram", 0), ("model", 0), ("model", 6)]
    session.close()


def test_the_table_and_the_figure_hold_what_was_measured(tmp_path: Path) -> None:
    runs = [run("suffix", "coding", 20, 6, 1.5), run("model", "coding", 30), run("model", "writing", 10)]
    assert variants(runs) == [("model", 0), ("suffix", 6)]
    assert tokens_per_round(runs[1:]) == 2.0
    lines = table(runs).splitlines()
    assert lines[2] == "| model | 2.00 | 2.0 | 0.20 | 1.00 (1.00 to 1.00) |"
    assert lines[3] == "| suffix, tree of 6 | 2.00 | 2.0 | 0.20 | 1.50 |"
    figure(runs, "Tokens a round", tmp_path / "figure.svg")
    drawn = (tmp_path / "figure.svg").read_text()
    assert [text for text in re.findall(r">([^<>]+)</text>", drawn) if text.strip()] == [
        *("coding", "writing", "all"),
        *("model", "suffix, tree of 6"),
        *("3.00", "1.00", "2.00", "2.00", "2.00"),
        "Tokens a round",
    ]


def test_a_file_of_runs_begins_with_what_was_measured_on(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    assert read_runs(file) == []
    file.write_text('{"machine": "two cores", "k": 4}\n')
    assert read_runs(file) == []
