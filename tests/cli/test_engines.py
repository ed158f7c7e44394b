"""The commands about other engines, from a recorded run to what a user reads."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app
from speculatoviz.lab.engines.evidence import NamedTrace
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.records import SweepRun
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from support import environment, sweeps
from support.hosted import listening
from support.recorded import HEAD, traced
from support.two_engines import Engine, second_best

ROUNDS = [(3, 3), (3, 1), (3, 0), (3, 2)]
ANSWER = '{"timings": {"predicted_n": 10, "draft_n": 12, "draft_n_accepted": 6}}'


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def call(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def write(named: NamedTrace, folder: Path, name: str) -> str:
    file = folder / name
    lines = [HEAD.model_dump_json(), *(event.model_dump_json() for event in named.trace.events)]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(file)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(traced(ROUNDS), tmp_path, "run.jsonl")


def test_a_recorded_run_becomes_settings(tmp_path: Path) -> None:
    run = str(tmp_path / "real.jsonl")
    toys = ["--target", "toy:0", "--draft", "toy:0~7", "--drafter", "model", "-k", "3", "--max-tokens", "60"]
    assert call("generate", "a time", *toys, "--temperature", "0.9", "--seed", "5", "--trace", run).exit_code == 0
    shown = call("export-config", run, "--for", "vllm", "--draft-weights", "o/d")
    values = call("export-config", run, "--for", "vllm", "--draft-weights", "o/d", "--json")

    assert shown.exit_code == values.exit_code == 0, shown.output
    (flag, text, *_) = shlex.split("\n".join(line for line in shown.output.splitlines() if not line.startswith("#")))
    assert flag == "--speculative-config"
    assert json.loads(text) == {
        "method": "draft_model",
        "model": "o/d",
        "num_speculative_tokens": 3,
        "draft_sample_method": "probabilistic",
    }
    document = json.loads(values.stdout)
    rates = document["synthetic_acceptance_rates"]
    assert document["nextn_accepted"] == pytest.approx(sum(rates), abs=1e-3)
    assert document["drafts"] > 5


def test_what_an_engine_lacks_is_refused(tmp_path: Path) -> None:
    refused = call("export-config", write(traced(ROUNDS, drafter="suffix"), tmp_path, "s.jsonl"), "--for", "sglang")

    assert refused.exit_code == 1
    assert "SGLang has no drafter like suffix" in refused.output
    assert "--drafter ngram" in refused.output


def test_lint_prints_what_to_write_and_fails_for_ci(file: str) -> None:
    wrong = call("lint", "llama-server -m t -md d --spec-type draft-simple --draft-max 8 --temp 0")
    right = call(
        "lint", "llama-server -m t -md d --spec-type draft-simple --spec-draft-n-max 3 --temp 0", "--trace", file
    )

    assert (wrong.exit_code, right.exit_code) == (1, 0), right.output
    assert "error: --draft-max:" in wrong.output
    assert "instead: write --spec-draft-n-max" in wrong.output
    assert "Nothing to change" in right.output


def test_lint_reads_standard_input_and_can_be_strict(file: str) -> None:
    text = "vllm serve m \\\n --spec-method ngram --spec-tokens 9\n"
    lenient = call("lint", "-", "--trace", file, stdin=text)
    strict = call("lint", "-", "--trace", file, "--strict", "--json", stdin=text)

    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "warning: num_speculative_tokens" in lenient.output
    assert json.loads(strict.stdout)["findings"][0]["level"] == "warning"


def test_statistics_of_a_file_are_shown_with_what_they_cannot_show(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text(ANSWER, encoding="utf-8")
    shown, values = call("stats", str(file)), call("stats", str(file), "--json")

    assert shown.exit_code == 0, shown.output
    for words in ("llama.cpp, timings", "50.0 %", "2.50", "It cannot show: the number of drafts"):
        assert words in shown.output
    (record,) = json.loads(values.stdout)["statistics"]
    assert (record["num_draft_tokens"], record["tokens_per_pass"]) == (12, 2.5)


@pytest.mark.parametrize("name", ["missing.json", "http://127.0.0.1:9/metrics"])
def test_statistics_that_cannot_be_read_are_refused_in_words(name: str) -> None:
    refused = call("stats", name)

    assert refused.exit_code == 1
    assert "cannot be read" in refused.output


def test_passports_are_written_checked_and_put_into_a_table(tmp_path: Path) -> None:
    code = write(traced(ROUNDS), tmp_path, "a=b.jsonl")
    chat = write(traced([(3, 1)] * 4), tmp_path, "chat.jsonl")
    out = tmp_path / "pair.json"
    written = call("passport", code, f"chat={chat}", "--out", str(out))
    shown = call("passports", str(out))
    page = call("passports", str(out), "--format", "html")

    assert (written.exit_code, shown.exit_code, page.exit_code) == (0, 0, 0), written.output
    assert [one["category"] for one in json.loads(out.read_text())["measurements"]] == ["other", "chat"]
    assert "Target-7B (Q4_K_M)" in shown.output
    assert page.output.startswith("<!doctype html>")

    out.write_text(out.read_text().replace("Target-7B", "Target-8B"))
    refused = call("passports", str(out))
    assert refused.exit_code == 1
    assert "changed after it was written" in refused.output


def swept(folder: Path) -> str:
    """A sweep of two categories: a model at two depths, of which k 3 is the faster one, and a lookup."""
    deep, shallow, lookup = Cell("model", k=3), Cell("model", k=1), Cell("suffix", k=3)
    (folder / "traces").mkdir(parents=True)
    runs = list[SweepRun]()
    for number, (cell, category, rounds, speedup) in enumerate(
        [
            (deep, "code", ROUNDS, 1.5),
            (deep, "chat", [(3, 1)] * 4, 1.2),
            (shallow, "code", [(1, 1)] * 4, 1.1),
            (lookup, "code", [(3, 3)] * 4, 2.0),
        ]
    ):
        write(traced(rounds, drafter=cell.drafter), folder / "traces", f"{number}.jsonl")
        runs.append(sweeps.run(cell, speedup, category, trace=f"traces/{number}.jsonl"))
    sweeps.folder_of(folder, runs)
    return str(folder)


def test_a_sweep_gives_the_settings_of_its_fastest_chain(tmp_path: Path) -> None:
    folder = swept(tmp_path / "sweep")
    fastest = call("export-config", folder, "--for", "vllm")
    model = call("export-config", folder, "--for", "llama.cpp", "--drafter", "model", "--draft-weights", "d.gguf")
    lacking = call("export-config", folder, "--for", "vllm", "-k", "7")

    assert "suffix, k 3, temperature 0, 2.00× there" in fastest.output
    assert '"method": "suffix"' in fastest.output
    assert "--spec-draft-n-max 3" in model.output
    assert "2 runs, 8 drafts" in model.output
    assert lacking.exit_code == 1
    assert "model, k 1 at temperature 0" in lacking.output


def test_a_passport_of_a_sweep_has_its_categories(tmp_path: Path) -> None:
    out = tmp_path / "pair.json"
    written = call("passport", swept(tmp_path / "sweep"), "--drafter", "model", "--out", str(out))

    assert written.exit_code == 0, written.output
    measurements = json.loads(out.read_text())["measurements"]
    assert [(one["category"], one["accepted_at"]) for one in measurements] == [("code", [3, 2, 1]), ("chat", [4, 0, 0])]


def test_a_trace_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, file: str) -> None:
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[: len(whole) - 40])
    shown = call("export-config", file, "--for", "llama.cpp", "--draft-weights", "d.gguf")

    assert shown.exit_code == 0, shown.output
    assert "cut off" in shown.output


def test_two_engines_are_compared_over_sockets(tmp_path: Path) -> None:
    """One of them accepts a wrong token: the command names it, and fails."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"category": "story", "turns": ["once upon"]}\n', encoding="utf-8")
    plain, broken = Engine(ToyModel(30, ALPHABET)), Engine(ToyModel(30, ALPHABET), fault=second_best)
    asked = ["--prompts", str(prompts), "--tokens", "16", "--samples", "0"]
    with listening(plain.app()) as one, listening(broken.app()) as other:
        urls = [f"http://127.0.0.1:{one}", f"http://127.0.0.1:{other}"]
        equal, wrong = call("compare", urls[0], urls[0], *asked), call("compare", *urls, *asked, "--json")

    assert equal.exit_code == 0, equal.output
    assert "1 of 1 greedy texts are equal" in equal.output
    assert wrong.exit_code == 1, wrong.output
    assert json.loads(wrong.stdout)["texts"][0]["verdict"]["kind"] == "verifier wrong"
    assert call("compare", *urls, "--samples", "1").exit_code == 1
