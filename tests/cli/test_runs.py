"""The commands about kept runs, and the commands that take a run's id; disks that fill up, stores that do not open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app
from speculatoviz.lab import player
from speculatoviz.telemetry import trace
from support import environment, program

PAIR = ("--target", "toy:0", "--draft", "toy:0~7", "-k", "3", "--max-tokens", "24")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)
    monkeypatch.setenv("SPECULATOVIZ_STORE", "runs.db")


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result


def listed(*arguments: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(call("runs", "list", "--json", *arguments).stdout)["runs"]
    return runs


@pytest.fixture
def run() -> dict[str, Any]:
    """The entry of a run that was just generated."""
    call("generate", "once upon a time", *PAIR)
    [entry] = listed()
    return entry


def test_a_generated_run_is_kept_with_its_figures() -> None:
    document = json.loads(call("generate", "once upon a time", "--json", *PAIR).stdout)
    call("generate", "another", *PAIR, "--store", "none")
    call("generate", "a third", *PAIR, "--temperature", "0.8")

    third, first = listed()
    assert (first["prompt"], third["prompt"]) == ("once upon a time", "a third")
    summary = first["summary"]
    assert (summary["tokens"], summary["ended"]) == (document["total_tokens"], document["finish_reason"])
    assert (summary["speedup"], summary["drafter"]) == (document["speedup"], document["drafter"])
    assert third["summary"]["sampling"]["temperature"] == 0.8
    assert [entry["id"] for entry in listed("THIRD")] == [third["id"]]
    assert [entry["id"] for entry in listed("--limit", "1", "--after", third["id"])] == [first["id"]]


def test_an_empty_list_says_why_it_is_empty() -> None:
    assert call("runs", "list").stdout == "No run is kept yet.\n"
    call("generate", "once upon a time", *PAIR)
    assert call("runs", "list", "twice").stdout == "No kept run contains 'twice'.\n"
    assert call("runs", "list", "--after", listed()[0]["id"]).stdout == "There are no further runs.\n"


def test_the_list_and_a_run_are_printed_as_text(run: dict[str, Any]) -> None:
    table = call("runs", "list").stdout
    assert run["id"] in table
    assert "once" in table
    shown = call("runs", "show", run["id"][:6]).stdout
    for word in ("toy-0", "model, k 3", "seed 0", "once upon a time", "recorded by"):
        assert word in shown, word
    assert json.loads(call("runs", "show", "last", "--json").stdout)["id"] == run["id"]


def test_a_run_gets_a_name_and_loses_it(run: dict[str, Any]) -> None:
    call("runs", "name", run["id"], " my [red] run ")
    assert listed()[0]["name"] == "my [red] run"
    assert "my [red] run" in call("runs", "list").stdout
    call("runs", "name", "last", "")
    assert listed()[0]["name"] is None


def test_an_exported_trace_is_one(run: dict[str, Any], tmp_path: Path) -> None:
    call("runs", "export", run["id"], "out.jsonl")
    read = trace.read(tmp_path / "out.jsonl")

    assert (read.warning, read.events[0].run) == (None, run["id"])
    assert call("runs", "export", run["id"]).stdout == (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert "cannot be written" in call("runs", "export", run["id"], "no/such/folder.jsonl", code=1).stderr


def test_a_run_is_exported_as_a_page(run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = tmp_path / "player.html"
    built.write_text("<title>{{title}}</title><script id=trace>{{trace}}</script>")
    monkeypatch.setattr(player, "PLAYER", built)
    call("runs", "export", run["id"], "out.jsonl")
    said = call("export", "out.jsonl", "--html", "a.html").stdout
    assert said.startswith("a.html: ")
    assert (tmp_path / "a.html").read_text().startswith("<title>once upon a time</title>")
    call("export", run["id"][:6], "--html", "b.html")
    assert (tmp_path / "b.html").read_bytes() == (tmp_path / "a.html").read_bytes()
    assert "cannot be written" in call("export", "last", "--html", "no/such/folder.html", code=1).stderr
    assert "There is no run 'abcdabcd'" in call("export", "abcdabcd", "--html", "c.html", code=1).stderr
    assert not (tmp_path / "c.html").exists()


def test_the_commands_that_read_a_trace_take_a_run_too(run: dict[str, Any], tmp_path: Path) -> None:
    call("runs", "export", run["id"], "out.jsonl")
    for command in (["replay"], ["why", "--json"], ["autopsy", "--json"]):
        assert call(*command, run["id"]).stdout == call(*command, "out.jsonl").stdout, command
        assert call(*command, "last").stdout == call(*command, "out.jsonl").stdout, command
    (tmp_path / "last").write_text("a file goes before an id")
    assert "does not begin like a trace" in call("replay", "last", code=1).stderr


def test_runs_are_removed_one_by_one_and_all_at_once(run: dict[str, Any]) -> None:
    call("runs", "rm", code=1)
    call("runs", "rm", run["id"], "--all", code=1)
    assert call("runs", "rm", run["id"]).stdout == f"{run['id']} removed\n"
    assert listed() == []
    call("generate", "another", *PAIR)
    assert call("runs", "rm", "--all").stdout == "1 runs removed\n"


@pytest.mark.parametrize("command", [["runs", "show"], ["runs", "export"], ["runs", "rm"], ["replay"], ["why"]])
def test_an_unknown_run_is_refused_in_words(run: dict[str, Any], command: list[str]) -> None:
    assert "There is no run 'abcdabcd'" in call(*command, "abcdabcd", code=1).stderr


def test_without_a_store_nothing_is_kept_and_the_commands_state_so(tmp_path: Path) -> None:
    call("generate", "once", *PAIR, "--store", "none")
    assert not (tmp_path / "runs.db").exists()
    assert "switched off" in call("runs", "list", "--store", "none", code=1).stderr


def test_a_store_that_is_named_must_open_before_the_run_begins(tmp_path: Path) -> None:
    refused = call("generate", "once", *PAIR, "--store", str(tmp_path), code=1)
    assert refused.stdout == ""
    assert "is a folder" in refused.stderr


def test_the_default_store_is_announced_once_and_its_failure_costs_no_run(tmp_path: Path) -> None:
    place = {"SPECULATOVIZ_STORE": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    for announced in (True, False):
        said = program.ended(program.run(tmp_path, "generate", "once", *PAIR, **place), 0)
        assert ("Runs are kept in" in said) is announced, said
    assert (tmp_path / "data" / "speculatoviz" / "runs.db").exists()
    (tmp_path / "file").write_text("no folder")
    broken = program.run(tmp_path, "generate", "once", *PAIR, **place | {"XDG_DATA_HOME": str(tmp_path / "file")})
    assert "Runs are not recorded" in program.ended(broken, 0)
    assert broken.stdout


def test_a_disk_that_fills_up_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    arguments = ("generate", "once upon a time", *PAIR, "--temperature", "1.5", "--seed", "3", "--json")
    whole = program.run(tmp_path, *arguments)
    call("runs", "list")  # makes the store
    full = program.run(tmp_path, *arguments, file_bytes=32_900, SPECULATOVIZ_STORE="runs.db")

    assert "is not recorded from here on" in program.ended(full, 0)
    assert json.loads(full.stdout)["token_ids"] == json.loads(whole.stdout)["token_ids"]
