"""`generate --record-depth` records, `whatif` answers from the trace alone, and `replay --trace` copies it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app

TOYS = ["--target", "toy:0", "--draft", "toy:0~7", "--drafter", "model", "--k", "3", "--max-tokens", "90"]
# A long answer of the toy, which may end its text at any token.
PROMPTS = ["once upon a time", "a", "zz", "the end", "what if", "b", "in the", "toy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded runs of several prompts."""
    made = tmp_path_factory.mktemp("runs")
    for number, prompt in enumerate(PROMPTS):
        done = generate(made, prompt, f"{number}.jsonl", "--record-depth", "5")
        assert done.exit_code == 0, done.output
        assert "recorded what is drafted after each of" in done.output
    return made


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


def generate(folder: Path, prompt: str, name: str, *flags: str) -> Result:
    environment = {"SPECULATOVIZ_CACHE_DIR": str(folder / "cache")}
    return CliRunner(env=environment).invoke(app, ["generate", prompt, *TOYS, "--trace", str(folder / name), *flags])


def whatif(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["whatif", *map(str, arguments)])


def test_a_table_with_the_best_depth_first(folder: Path) -> None:
    shown = whatif(*sorted(folder.glob("*.jsonl")), "--passes", "1:100,2:101,4:103,6:104", "--draft-ms", "1")

    assert shown.exit_code == 0, shown.output
    first, *rows = shown.output.splitlines()
    assert first.startswith("k ")
    assert "is the fastest" in first
    assert "% of resamples" in first
    assert [row.split()[0] for row in rows[1:7]] == ["0", "1", "2", "3", "4", "5"]
    assert all("accepted tokens exact, times computed" in row for row in rows[2:7])
    assert "~" in rows[3], "a pass over three tokens was not measured"
    assert "Computed from the given pass times." in shown.output


def test_json_is_the_answer(folder: Path) -> None:
    file = folder / "0.jsonl"
    shown = whatif(file, "--k", "1,3", "--rtt-ms", "20", "--policy", "adaptive", "--json")
    answer = json.loads(shown.stdout)
    done = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])

    assert [choice["depth"] for choice in answer["choices"]] == [1, 3]
    assert answer["tokens"] == done["total_tokens"]
    assert answer["policy"] == "adaptive"
    assert answer["passes"] == "run"
    assert answer["choices"][0]["verify_ms"] > 20


def test_a_plain_pass_that_is_cheapest_is_the_verdict(folder: Path) -> None:
    shown = whatif(folder / "0.jsonl", "--passes", "1:10,2:100", "--k", "1,4")
    assert "Plain decoding is the fastest: " in shown.output
    assert "Left out: k 4" in shown.output


def test_the_record_is_in_the_json_of_generate(folder: Path) -> None:
    done = generate(folder, "a toy", "json.trace", "--record-depth", "2", "--json")
    values = json.loads(done.stdout)
    assert values["record"]["tokens"] == values["total_tokens"]
    assert values["record"]["draft_ms"] > 0
    bare = json.loads(generate(folder, "a toy", "bare.trace", "--json").stdout)
    assert bare["record"] is None


def test_what_cannot_be_answered_ends_in_words(folder: Path) -> None:
    bare = folder / "bare"
    assert generate(folder, "a toy", "bare", "--max-tokens", "8").exit_code == 0
    for arguments, message in [
        ((bare,), "no record"),
        ((folder / "0.jsonl", "--k", "1,two"), "no list of depths"),
        ((folder / "0.jsonl", "--k", "9"), "recorded has depth 5"),
        ((folder / "0.jsonl", "--passes", "fast"), "neither a table of pass times nor a file"),
        ((folder / "0.jsonl", "--rule", "typical"), "changes the output"),
        ((folder / "missing.jsonl",), "cannot be read"),
    ]:
        shown = whatif(*arguments)
        assert shown.exit_code == 1, shown.output
        assert message in shown.output
        assert "Traceback" not in shown.output


@pytest.mark.parametrize("command", ["replay", "why", "autopsy", "whatif"])
def test_every_command_opens_a_trace_that_was_cut_off_and_says_so(command: str, folder: Path, tmp_path: Path) -> None:
    """The same reader: the cut is in the record, which comes last."""
    data = (folder / "0.jsonl").read_bytes()
    whole = data[: data.rindex(b'"type":"record"') + 40]
    file = tmp_path / "cut.jsonl"
    file.write_bytes(whole)
    shown = CliRunner().invoke(app, [command, str(file)])

    assert shown.exit_code == 0, shown.output
    assert f"Line {whole.count(bytes([10])) + 1} of" in shown.output
    assert "cut off there" in shown.output
    if command == "whatif":
        assert "The record ends before the output does" in shown.output


@pytest.mark.parametrize("command", ["replay", "why", "autopsy", "whatif"])
def test_every_command_refuses_a_newer_version_in_words(command: str, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "newer.jsonl"
    file.write_bytes((folder / "0.jsonl").read_bytes().replace(b'"version":2', b'"version":9', 1))
    shown = CliRunner().invoke(app, [command, str(file)])

    assert shown.exit_code == 1
    assert "version 9" in shown.output
    assert "Install a newer SpeculatoViz." in shown.output


def test_replay_writes_a_copy(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    shown = CliRunner().invoke(app, ["replay", str(folder / "0.jsonl"), "--trace", str(copy)])
    assert shown.exit_code == 0, shown.output
    lines = [json.loads(line) for line in copy.read_text(encoding="utf-8").splitlines()]
    assert lines == [json.loads(line) for line in (folder / "0.jsonl").read_text(encoding="utf-8").splitlines()]
