"""The commands of the benchmarks answer mistakes in two sentences, and measure toys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

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
        ("pair --profile huge", "bad_request", "profile is 'huge': it must be 'qwen'", "Correct it and try again."),
        ("sweep nowhere.jsonl --out runs", "bad_request", "nowhere.jsonl cannot be read", "Give a JSON Lines"),
        ("sweep here.jsonl --out runs --profile huge", "bad_request", "profile is 'huge'", "Correct it"),
        ("sweep here.jsonl --out runs --drafter nobody", "bad_request", "'nobody' is no drafter", "Write one of"),
        ("sweep here.jsonl --out runs --drafter ngram=x", "bad_request", "'ngram=x' is no drafter", "Write one of"),
        ("sweep here.jsonl --out runs -k 1,99", "bad_request", "-k is '1,99', and has to be", "Separate them"),
        ("sweep here.jsonl --out runs --policy best", "bad_request", "--policy is 'best'", "Choose from: auto"),
        (
            "sweep here.jsonl --out runs --target vllm:http://h#m",
            "bad_request",
            "The target is remote",
            "Load the target",
        ),
        ("models --one nobody", "model", "There is no model 'nobody'", "Known names:"),
        ("rules --drafter nobody", "bad_request", "drafter is 'nobody'", "Correct it and try again."),
        ("concurrency --target vllm:http://h#m", "bad_request", "The target is remote", "Name a model"),
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
