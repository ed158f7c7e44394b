"""`certify`: the words, the JSON document and the exit code of a certificate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app
from speculatoviz.core.rules import RULES
from support import twins

TOYS = ["--target", "toy:0", "--draft", "toy:0~7", "--drafter", "model", "--max-tokens", "16"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"category": name, "turns": [name]}) + "\n" for name in ("coding", "qa")))
    return file


def certify(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["certify", *TOYS, "--samples", "100", *arguments])


def test_a_certificate_states_what_was_tested_and_what_would_have_been_caught(prompts: Path) -> None:
    shown = certify(str(prompts))

    assert shown.exit_code == 0, shown.output
    assert "Passed: nothing was found that speculation changes." in shown.output
    assert "T=0: 2 of 2 texts are equal, " in shown.output
    assert "100 speculative and as many plain runs, 4 tokens each." in shown.output
    assert shown.output.count("is caught with probability 0.9") == 2


def test_json_has_the_verdict_of_each_part(prompts: Path) -> None:
    shown = certify(str(prompts), "--json")
    found = json.loads(shown.stdout)

    assert (found["verdict"], found["greedy"]["verdict"], found["sampled"]["verdict"]) == ("passed",) * 3
    assert found["greedy"]["prompts"] == 2
    assert found["sampled"]["plain"]["p_value"] >= found["level"] == 0.001


@pytest.mark.parametrize(
    ("flags", "depth"),
    [([], 4), (["-k", "2"], 2), (["-k", "2", "--policy", "fixed"], 2), (["--policy", "auto"], None)],
)
def test_json_has_the_depth_that_was_tested(prompts: Path, flags: list[str], depth: int | None) -> None:
    found = json.loads(certify(str(prompts), "--json", *flags).stdout)

    assert found["plan"]["k"] == depth


def test_a_passport_takes_in_the_certificate_of_its_pair(prompts: Path, tmp_path: Path) -> None:
    file, trace, out = (str(tmp_path / name) for name in ("certificate.json", "run.jsonl", "pair.json"))
    Path(file).write_text(certify(str(prompts), "--json").stdout)
    drafted = ["generate", "once upon a time", *TOYS, "--max-tokens", "64", "-k", "3", "--store", "none"]
    assert CliRunner().invoke(app, [*drafted, "--trace", trace]).exit_code == 0
    written = CliRunner().invoke(app, ["passport", trace, "--out", out, "--certificate", file])
    assert written.exit_code == 0, written.output
    shown = CliRunner().invoke(app, ["passports", out, "--format", "markdown"])
    assert "| certificate |" in shown.stdout
    assert "| passed |" in shown.stdout

    Path(file).write_text(Path(file).read_text().replace('"passed"', '"failed"'))
    refused = CliRunner().invoke(app, ["passport", trace, "--out", out, "--certificate", file])
    assert refused.exit_code == 1
    assert "changed after it was written" in refused.output


def test_a_broken_rule_ends_with_exit_code_1(prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES["token"]._replace(verify=twins.accept_when_equal)
    monkeypatch.setattr("speculatoviz.targets.local.RULES", {"token": rule})
    shown = certify(str(prompts), "--samples", "200")

    assert shown.exit_code == 1
    assert "Failed: speculation changes what the target alone would write." in shown.output


def test_sampled_runs_need_a_temperature(prompts: Path) -> None:
    shown = certify(str(prompts), "--temperature", "0")

    assert shown.exit_code != 0
    assert "Sampled runs need a temperature above 0." in shown.output
