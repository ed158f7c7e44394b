"""This engine in a process of its own: its ways, what it reports of itself, and a measurement with the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speculatoviz.bench.peers.measuring import measure_prompt
from speculatoviz.bench.peers.own import DEEP, DEPTHS, OwnEngine, SessionWorker, on_runtime, timing
from speculatoviz.bench.peers.runs import PLAIN, Question
from speculatoviz.cli.app import app
from speculatoviz.config import Settings
from speculatoviz.lab.decode import decode_prompt
from speculatoviz.lab.questions import Prompt
from speculatoviz.telemetry.messages import Start
from support import environment, toy_session
from support.real_servers import lacking
from support.tiny_gguf import write_tiny
from support.wide_vocabulary import write_wide

QUESTION = Question(Prompt("writing", 0, "once upon a time"), (1,), 12, 0.0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    folder = str(tmp_path_factory.mktemp("cache"))
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=folder)
    with closing(OwnEngine("llamacpp", settings, lambda _: None)) as own:
        yield own


def test_the_ways_are_plain_every_drafter_at_every_depth_and_the_policies(engine: OwnEngine) -> None:
    ways = [own.way for own in engine.ways((), DEPTHS)]

    assert ways[0].name == PLAIN
    assert [(way.drafter, way.depth) for way in ways if way.depth] == [
        (drafter, depth) for drafter in ("model", "suffix", "hybrid") for depth in DEPTHS
    ]
    assert [way.name for way in ways[-2:]] == ["adaptive", "auto"]
    assert [own.way.name for own in engine.ways(("ngram", "eagle"), (2,))] == [
        PLAIN,
        "ngram, depth 2",
        "adaptive",
        "auto",
    ]


def test_every_way_decodes_and_reports_its_rounds(engine: OwnEngine) -> None:
    found = {own.way.name: own.decode(QUESTION) for own in engine.ways((), (3,))}

    assert all(0 < run.tokens <= 12 and run.ms > 0.0 for run in found.values())
    assert found[PLAIN].drafted == 0
    assert found[PLAIN].drafts == found[PLAIN].paths == (12,)
    drafted = found["model, depth 3"]
    assert drafted.drafted == sum(n * count for n, count in enumerate(drafted.drafts)) > 0
    assert drafted.accepted == sum(n * count for n, count in enumerate(drafted.paths))
    assert drafted.tokens == sum(drafted.drafts) + drafted.accepted
    assert 0.0 < drafted.draft_ms < drafted.ms


def test_the_process_decodes_what_a_session_decodes_here(engine: OwnEngine, tmp_path: Path) -> None:
    start = {"prompt": "once upon a time", "max_tokens": 12, "drafter": "model", "k": 3, "policy": "fixed"}
    there = engine.decode(start)
    with closing(toy_session.load(tmp_path)) as session:
        here = timing(decode_prompt(session, Start(**start)))  # type: ignore[arg-type]

    assert (there.drafts, there.paths) == (here.drafts, here.paths)


def test_it_reports_a_table_that_reaches_the_depth_of_the_last_aim(engine: OwnEngine) -> None:
    assert set(range(1, DEEP + 2)) <= engine.pass_ms().keys()
    share = engine.outside_passes(24, 0.0)
    assert share is not None
    assert 0.0 < share < 1.0
    assert engine.outside_passes(1, 0.0) is None  # a single round
    assert engine.facts.drafter == "model"
    assert engine.facts.target_path is None  # a toy has no file


def test_an_engine_that_is_killed_fails_with_all_its_ways_and_the_others_go_on(
    engine: OwnEngine, tmp_path: Path
) -> None:
    settings = Settings(_env_file=None, target="toy:0", draft="none", cache_dir=str(tmp_path))
    with closing(OwnEngine("ik", settings, lambda _: None)) as other:
        ways = [*engine.ways(("model",), (2,)), *other.ways(("suffix",), (2,))]
        assert other.pid is not None
        os.kill(other.pid, signal.SIGKILL)
        found = {run.way.label: run for run in measure_prompt(ways[0], ways, QUESTION)}

    failed = {label: run.error for label, run in found.items() if run.error is not None}
    names = (PLAIN, "suffix, depth 2", "adaptive", "auto")
    assert set(failed) == {f"speculatoviz on ik: {name}" for name in names}
    assert all("The process of speculatoviz on ik has ended (by signal 9)." in str(error) for error in failed.values())
    assert len(found) == 2 * len(names)
    assert all(run.ratio is not None for label, run in found.items() if label not in failed)


def test_on_ik_matches_in_the_text_replace_a_trained_head() -> None:
    smol, qwen = (Settings(_env_file=None, profile=name) for name in ("smol", "qwen"))

    assert on_runtime(smol, "llamacpp").resolved().drafter == "eagle"
    assert on_runtime(smol, "ik").resolved().drafter == "suffix"
    assert on_runtime(qwen, "ik").resolved().drafter == "model"


def test_a_measurement_with_the_command_continues_and_ends_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.clean(monkeypatch, tmp_path)
    (tmp_path / "here.jsonl").write_text('{"category": "coding", "turns": ["sort"]}\n')
    command = "bench peers here.jsonl --out runs.jsonl --target toy:0 --draft toy:0~7 --no-llamacpp --max-tokens 8"
    options = "--runtimes llamacpp --drafters model --depths 2 --temperatures 0,0.7"
    first = CliRunner().invoke(app, [*command.split(), *options.split()])
    assert first.exit_code == 0, first.stderr
    assert "coding 0 at T=0.7; 0 prompts left" in first.stderr
    written = (tmp_path / "runs.jsonl").read_bytes()
    again = CliRunner().invoke(app, [*command.split(), *options.split()])

    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "runs.jsonl").read_bytes() == written
    assert again.stdout == first.stdout
    found = json.loads(first.stdout.splitlines()[-1])
    assert found["temperatures"].keys() == {"0", "0.7"}
    assert found["outside_passes"]["llamacpp"].keys() == {"0.0", "0.7"}
    ways = found["temperatures"]["0.7"]["ways"]
    assert set(ways) == {f"speculatoviz on llamacpp: {way}" for way in (PLAIN, "model, depth 2", "adaptive", "auto")}


@pytest.mark.parametrize("vocabulary", [None, 512])
def test_other_engines_load_a_draft_model_with_its_whole_vocabulary(tmp_path: Path, vocabulary: int | None) -> None:
    target, draft = write_wide(tmp_path / "target.gguf"), write_wide(tmp_path / "draft.gguf", seed=4)
    settings = Settings(
        _env_file=None,
        target=f"llamacpp:{target}",
        draft=f"llamacpp:{draft}",
        draft_vocabulary=vocabulary,
        threads=1,
        cache_dir=str(tmp_path / "cache"),
    )
    with closing(SessionWorker(settings, lambda _: None)) as worker:
        facts = worker.facts()

    assert facts.target_path == target
    assert facts.draft_path == draft
    trimmed = [file for file in (tmp_path / "cache").rglob("*.gguf") if "vocabulary" in file.name]
    assert bool(trimmed) == (vocabulary is not None)


NO_ENGINE = lacking("xllamacpp", "torch", "transformers", "gguf", "llama_cpp")


@pytest.mark.skipif(NO_ENGINE is not None, reason=NO_ENGINE or "")
def test_all_engines_are_measured_on_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.clean(monkeypatch, tmp_path)
    write_tiny(Path("target.gguf"))
    write_tiny(Path("draft.gguf"), seed=1)
    Path("here.jsonl").write_text('{"category": "coding", "turns": ["the a b the a b"]}\n')
    command = "bench peers here.jsonl --out runs.jsonl --target ./target.gguf --draft ./draft.gguf --threads 1"
    options = "--runtimes llamacpp --depths 2 --temperatures 0.7 --max-tokens 8 --transformers"
    result = CliRunner().invoke(app, [*command.split(), *options.split()])

    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])["temperatures"]["0.7"]
    assert found["failed"] == {}
    assert len(found["ways"]) == 6 + 15 + 6
    assert {name.split(":")[0] for name in found["ways"]} == {"speculatoviz on llamacpp", "llama.cpp", "transformers"}
    standing = found["runtimes"]["llamacpp"]["categories"]["coding"]
    assert standing["llamacpp"] >= standing["llamacpp_plain"] > 0.0
    assert standing["bound"] >= standing["bound_fixed"] >= 1.0


@pytest.mark.parametrize(
    ("options", "happened", "to_do"),
    [
        (
            "--depths two",
            "--depths is 'two', and has to be a list of numbers from 1 to 16.",
            "Separate them by commas.",
        ),
        ("--depths 0", "--depths is '0'", "Separate them"),
        ("--temperatures ,", "--temperatures is ','", "Separate them"),
        ("--temperatures 0,3", "--temperatures is '0,3', and has to be a list of numbers from 0 to 2.", "Separate"),
        ("--runtimes nowhere", "There is no runtime named 'nowhere'.", "Choose from: auto, llamacpp, ik"),
        ("--target ik:here.gguf", "The name ik:here.gguf fixes the runtime", "Leave out `ik:`, or --runtimes."),
        ("--target verifier:ws://localhost:1", "The target is remote", "Name a model with --target."),
        ("--drafters nobody", "There is no drafter named 'nobody'.", "Choose from: ngram, suffix"),
        ("--drafters eagle", "Heads share the matrices of a GGUF file", "Choose from: ngram, suffix"),
        ("--no-llamacpp --transformers", "transformers needs a GGUF target", "Leave it out with --no-transformers."),
        ("", "llama.cpp's server needs a GGUF target.", "Leave it out with --no-llamacpp."),
    ],
)
def test_what_cannot_be_compared_is_told_in_two_sentences(
    options: str, happened: str, to_do: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.clean(monkeypatch, tmp_path)
    (tmp_path / "here.jsonl").write_text('{"category": "coding", "turns": ["sort"]}\n')
    command = f"bench peers here.jsonl --out runs --target toy:0 --runtimes llamacpp {options}"
    result = CliRunner().invoke(app, command.split())

    assert result.exit_code == 1
    first, second = result.stderr.strip().splitlines()[-2:]
    assert happened in first
    assert to_do in second
