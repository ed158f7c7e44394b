"""The commands of the benchmarks answer mistakes in two sentences, and measure toys."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speculatoviz.bench.drafters import DrafterRun
from speculatoviz.cli.app import app
from support import environment


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    environment.clean(monkeypatch, tmp_path)
    (tmp_path / "here.jsonl").write_text('{"category": "coding", "turns": ["sort"]}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code", "happened", "to_do"),
    [
        ("pair --profile huge", "bad_request", "profile is 'huge': Input should be", "Correct it and try again."),
        ("drafters nowhere.jsonl --out runs", "bad_request", "nowhere.jsonl cannot be read", "Give a JSON Lines"),
        ("drafters here.jsonl --out runs --profile huge", "bad_request", "profile is 'huge'", "Correct it"),
        ("models --one nobody", "model", "There is no model 'nobody'", "Known names:"),
        ("report nowhere.jsonl", "bad_request", "nowhere.jsonl holds no runs.", "Measure some:"),
        ("rules --drafter nobody", "bad_request", "drafter is 'nobody'", "Correct it and try again."),
        ("sessions --profile huge", "bad_request", "profile is 'huge'", "Correct it and try again."),
    ],
)
def test_what_a_user_can_correct_is_answered_in_two_sentences(
    command: str, code: str, happened: str, to_do: str
) -> None:
    result = CliRunner().invoke(app, ["bench", *command.split()])
    assert result.exit_code == 1
    first, second = result.stderr.strip().split("\n", 1)
    assert first.startswith(f"{code}: {happened}")
    assert second.startswith(to_do)


def test_a_report_is_printed_and_drawn(folder: Path) -> None:
    run = DrafterRun("smol", 0.0, "coding", 0, "ngram", 0, 10, 15, 8, 5, 4.0, 100.0, 1.2)
    (folder / "runs.jsonl").write_text(json.dumps(asdict(run)) + "\n")
    result = CliRunner().invoke(app, ["bench", "report", "runs.jsonl", "--svg", "figure.svg"])
    assert result.exit_code == 0
    assert "| ngram | 1.50 |" in result.stdout
    assert (folder / "figure.svg").read_text().startswith("<?xml")


@pytest.mark.smol
def test_a_pair_is_measured(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(cache_dir))
    result = CliRunner().invoke(
        app, ["bench", "pair", "--profile", "smol", "-k", "2", "--repeats", "1", "--max-tokens", "6"]
    )
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    assert measured["k"] == 2
    assert set(measured["speedup"]) == {"code", "summary", "translation", "chat"}
    for figures in measured["speedup"].values():
        assert figures["speedup_lowest"] <= figures["speedup_median"] <= figures["speedup_highest"]
        assert 1.0 <= figures["tokens_per_round"] <= 3.0
    assert 0.0 < measured["overhead"]["overhead_share"] < 1.0
