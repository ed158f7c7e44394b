"""The commands of a sweep, from prompts to a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from support import environment


def test_a_sweep_is_measured_continued_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.clean(monkeypatch, tmp_path)
    lines = [{"prompt": "once upon a time"}, {"turns": ["sing", "more"], "category": "song"}]
    Path("prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    toys = ["--target", "toy:0", "--draft", "toy:0~7", "--max-tokens", "16"]
    sweep = ["bench", "sweep", "prompts.jsonl", *toys, "--drafter", "model", "-k", "1,3", "--out", "out"]
    runner = CliRunner()
    first = runner.invoke(app, sweep)

    assert first.exit_code == 0, first.stderr
    kept = Path("out/runs.jsonl").read_bytes()
    assert "| category | prompts | choice |" in first.stdout
    found = json.loads(first.stdout.splitlines()[-1])
    assert found["temperatures"].keys() == {"0"}
    assert found["runs"] == 2 * (3 + 2)  # k 1, k 3, auto on model, and two plain runs
    assert Path("out/runs.parquet").exists()

    again = runner.invoke(app, sweep)
    assert again.exit_code == 0, again.stderr
    assert Path("out/runs.jsonl").read_bytes() == kept

    answers = runner.invoke(app, [*sweep, "--spec-bench", "--store", "runs.db"])
    assert answers.exit_code == 0, answers.stderr
    assert Path("out/runs.jsonl").read_bytes() == kept
    assert len(list(Path("out/spec-bench").glob("*.jsonl"))) == 4  # plain, k 1, k 3, auto
    [entry] = json.loads(runner.invoke(app, ["runs", "list", "--json", "--store", "runs.db"]).stdout)["runs"]
    assert entry["summary"]["sweep"]["prompts"] == 2
    assert " sweep " in runner.invoke(app, ["runs", "list", "--store", "runs.db"]).stdout
    shown = runner.invoke(app, ["runs", "show", entry["id"], "--store", "runs.db"]).stdout
    assert "3 choices on 2 prompts" in shown
    refused = runner.invoke(app, ["why", entry["id"], "--store", "runs.db"])
    assert refused.exit_code == 1
    assert "is a sweep: its runs are in" in refused.stderr

    other = runner.invoke(app, [*sweep, "--max-tokens", "17", "--temperature", "0.5"])
    assert other.exit_code == 1
    assert "another value of tokens" in other.stderr

    page = runner.invoke(app, ["report", "out"])
    assert page.exit_code == 0, page.stderr
    assert page.stdout.strip() == "out/report.html"
    assert Path("out/report.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    empty = runner.invoke(app, ["report", "nowhere"])
    assert empty.exit_code == 1
    assert "nowhere holds no runs of a sweep." in empty.stderr
