"""`autopsy` explains a trace, a trace that was cut off, and prompts that it runs itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app

TOYS = ["--target", "toy:0", "--draft", "toy:0~7", "--drafter", "model", "--k", "3", "--max-tokens", "60"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(tmp_path / "cache"))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    file = tmp_path / "run.jsonl"
    done = call("generate", "once upon", *TOYS, "--temperature", "0.9", "--seed", "5", "--trace", str(file))
    assert done.exit_code == 0, done.output
    return file


def test_a_trace_is_explained_in_a_table(recorded: Path) -> None:
    shown = call("autopsy", str(recorded))

    assert shown.exit_code == 0, shown.output
    assert "tested tokens were rejected" in shown.output
    assert "draft differs" in shown.output
    assert "A draft that is closer to the target" in shown.output


def test_json_is_the_autopsy_that_the_trace_ends_with(recorded: Path) -> None:
    shown = call("autopsy", str(recorded), "--json")
    done = json.loads(recorded.read_text(encoding="utf-8").splitlines()[-1])

    assert json.loads(shown.stdout) == done["autopsy"]
    assert done["autopsy"]["rejected"] > 0


def test_a_trace_that_was_cut_off_is_read_as_far_as_it_goes(recorded: Path) -> None:
    whole = recorded.read_bytes()
    recorded.write_bytes(whole[: len(whole) * 2 // 3])
    shown = call("autopsy", str(recorded))

    assert shown.exit_code == 0, shown.output
    assert "cut off" in shown.output


def test_prompts_are_decoded_and_explained_together() -> None:
    one = call("autopsy", "--prompt", "once", *TOYS, "--json")
    two = call("autopsy", "--prompt", "once", "--prompt", "upon", *TOYS, "--json")

    assert one.exit_code == two.exit_code == 0, two.output
    first, both = json.loads(one.stdout), json.loads(two.stdout)
    assert both["tested"] > first["tested"] > 0
    assert both["missing"] == []


@pytest.mark.parametrize("arguments", [[], ["--prompt", "a", "run.jsonl"]])
def test_either_a_trace_or_prompts_are_needed(arguments: list[str]) -> None:
    refused = call("autopsy", *arguments)

    assert refused.exit_code == 1
    assert "either a recorded run or prompts" in refused.output


def test_a_run_without_draft_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "plain.jsonl"
    assert call("generate", "once", *TOYS, "--plain", "--trace", str(file)).exit_code == 0
    refused = call("autopsy", str(file))

    assert refused.exit_code == 1
    assert "No drafted token was tested" in refused.output
