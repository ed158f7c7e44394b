"""The commands: JSON documents, traces, settings, and errors in words."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app
from speculatoviz.config import RANGES, Settings
from speculatoviz.models.files.catalogue import CATALOGUE, provenance
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done
from support import environment

PAIR = ("--target", "toy:0", "--draft", "toy:0~7")
DOCUMENT = {
    "text": str,
    "token_ids": list,
    "total_tokens": int,
    "total_accepted": int,
    "total_drafted": int,
    "total_rounds": int,
    "mean_acceptance_length": float,
    "acceptance_rate": float,
    "effective_tps": float,
    "baseline_tps": float,
    "speedup": float,
    "ttft_ms": float,
    "exactness": str,
    "draft_model": str,
    "target_model": str,
    "rounds": list,
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def generate(*arguments: str, prompt: str = "once upon a time", pair: tuple[str, ...] = PAIR) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(call("generate", prompt, "--json", *pair, *arguments).stdout)
    return document


def refused(*arguments: str) -> str:
    """Standard error of a refused command: two sentences or more, no traceback; standard output is empty."""
    result = call(*arguments, code=1)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) >= 2  # what happened, and what to do
    return result.stderr


def test_json_prints_one_document_with_every_figure() -> None:
    document = generate("-k", "3", "--max-tokens", "30", "--temperature", "0.8")

    for name, kind in DOCUMENT.items():
        assert isinstance(document[name], kind), name
    assert document["total_tokens"] == len(document["token_ids"])
    assert len(document["rounds"]) == document["total_rounds"]
    assert (document["target_model"], document["draft_model"]) == ("toy-0", "toy-0~7")
    assert document["exactness"] == "exact"


def test_the_rounds_of_the_document_add_up() -> None:
    document = generate("-k", "3", "--max-tokens", "30", "--seed", "2", "--temperature", "0.8")
    rounds = document["rounds"]

    assert [r["round"] for r in rounds] == list(range(len(rounds)))
    assert sum(r["round_emitted"] for r in rounds) == document["total_tokens"]
    assert sum(r["round_accepted"] for r in rounds) == document["total_accepted"]
    assert sum(r["round_drafted"] for r in rounds) == document["total_drafted"]
    for r in rounds:
        parts = r["draft_ms"] + r["verify_ms"] + r["network_ms"] + r["evidence_ms"] + r["other_ms"]
        assert r["round_ms"] == pytest.approx(parts)
    total_ms = sum(r["round_ms"] for r in rounds)
    assert document["effective_tps"] == pytest.approx(1000 * document["total_tokens"] / total_ms)
    assert document["speedup"] == pytest.approx(document["effective_tps"] / document["baseline_tps"])


def test_the_same_seed_gives_the_same_tokens_and_another_does_not() -> None:
    sampled = ("-k", "3", "--temperature", "1", "--max-tokens", "40")
    first, again, other = (generate(*sampled, "--seed", seed)["token_ids"] for seed in ("5", "5", "6"))

    assert first == again
    assert first != other


def test_greedy_text_is_the_plain_text_at_every_depth() -> None:
    plain = generate("--plain", "--max-tokens", "60")

    assert (plain["total_drafted"], plain["total_rounds"]) == (0, plain["total_tokens"])
    assert (plain["acceptance_rate"], plain["mean_acceptance_length"]) == (None, None)
    for k in ("1", "4", "16"):
        assert generate("-k", k, "--max-tokens", "60")["token_ids"] == plain["token_ids"]
    assert generate("-k", "4", "--drafter", "ngram", "--max-tokens", "60")["token_ids"] == plain["token_ids"]


def test_penalties_change_the_text_alike_with_drafts_and_without() -> None:
    flags = ("--presence-penalty=1.5", "--frequency-penalty=0.5", "--repetition-penalty=1.3", "--max-tokens=30")
    penalised = generate("-k", "3", *flags)["token_ids"]

    assert penalised == generate("--plain", *flags)["token_ids"]
    assert penalised != generate("-k", "3", "--max-tokens=30")["token_ids"]


def test_a_text_follows_a_regular_expression() -> None:
    pattern = "(yes|no)( yes| no){3}"
    for seed in ("1", "2"):
        text = generate("-k", "3", "--temperature", "1", "--seed", seed, "--regex", pattern)["text"]
        assert re.fullmatch(pattern, text)


def test_a_schema_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    schema, binary = tmp_path / "schema.json", tmp_path / "binary"
    schema.write_text('{"type": "integer"}')
    binary.write_bytes(b"\xff")
    asked = ("generate", "a", *PAIR, "--json-schema")

    assert "one of the two" in refused(*asked, str(schema), "--regex", "a")
    assert "cannot be read" in refused(*asked, str(tmp_path / "none"))
    assert "cannot be read" in refused(*asked, str(binary))
    begun = call(*asked, str(schema), code=1)  # the toy has no digits
    assert "No token of the model continues" in begun.stderr
    assert "Traceback" not in begun.stderr


def test_a_prediction_is_drafted_and_changes_no_text(tmp_path: Path) -> None:
    file, asked = tmp_path / "before.txt", ("--max-tokens", "60", "--temperature", "0")
    text = generate(*asked)["text"]
    file.write_text(text)
    run = generate(*asked, "-k", "8", "--prediction", str(file))

    assert (run["text"], run["drafter"]) == (text, "suffix")
    assert run["total_rounds"] < len(run["token_ids"]) / 2
    assert "cannot be read" in refused("generate", "a", *PAIR, "--prediction", str(tmp_path / "none"))


def test_plain_takes_precedence_over_a_depth() -> None:
    assert generate("--plain", "-k", "4")["k"] == 0


def test_without_json_text_legend_and_figures_are_printed() -> None:
    arguments = ("-k", "3", "--max-tokens", "30")
    text = call("generate", "once upon a time", *PAIR, *arguments).stdout

    assert generate(*arguments)["text"] in text
    assert text.startswith("toy-0~7 F64 drafts 3 for toy-0 F64 · exact\n")
    assert "mean acceptance length" in text


def test_without_evidence_the_tokens_are_the_same() -> None:
    sampled = ("-k", "3", "--temperature", "1", "--seed", "3")

    assert generate(*sampled, "--no-evidence")["token_ids"] == generate(*sampled)["token_ids"]


def test_a_trace_holds_the_run_and_replay_prints_it_again() -> None:
    arguments = ("-k", "3", "--max-tokens", "30", "--temperature", "0.9")
    printed = call("generate", "once upon a time", *PAIR, *arguments, "--trace", "run.jsonl").stdout
    replayed = call("replay", "run.jsonl").stdout
    head, events, warning = trace.read(Path("run.jsonl"))

    recorded, _, rest = replayed.partition("\n")
    assert recorded.startswith(f"recorded {head.created} on {head.machine[:20]}")
    assert rest.endswith(printed)
    assert [e.type for e in events][:: len(events) - 1] == ["started", "done"]
    assert isinstance(events[-1], Done)
    assert events[-1].generated_text in printed
    assert warning is None


def test_a_document_and_its_trace_agree() -> None:
    document = generate("-k", "3", "--temperature", "0.9", "--trace", "run.jsonl")
    done = trace.read(Path("run.jsonl"))[1][-1]

    assert isinstance(done, Done)
    assert (done.generated_text, done.token_ids) == (document["text"], document["token_ids"])
    assert done.metrics.speedup == document["speedup"]


def test_replaying_a_damaged_file_names_the_line() -> None:
    generate("-k", "3", "--trace", "run.jsonl")
    lines = Path("run.jsonl").read_text().split("\n")
    Path("damaged.jsonl").write_text("\n".join([*lines[:6], lines[6][:30], *lines[7:]]))

    assert "Line 7 of damaged.jsonl" in refused("replay", "damaged.jsonl")
    assert "missing.jsonl cannot be read" in refused("replay", "missing.jsonl")


def test_a_trace_that_was_cut_off_is_replayed_as_far_as_it_goes() -> None:
    whole = call("generate", "once upon a time", *PAIR, "-k", "3", "--max-tokens", "12", "--trace", "run.jsonl").stdout
    data = Path("run.jsonl").read_bytes()
    Path("cut.jsonl").write_bytes(data[: data.index(b'"type":"done"')])
    replayed = call("replay", "cut.jsonl")

    assert replayed.stdout.startswith("recorded ")
    assert whole.startswith(replayed.stdout.partition("\n")[2].rstrip())
    assert "of cut.jsonl is incomplete and left out" in replayed.stderr


def test_replay_needs_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    generate("-k", "3", "--trace", "run.jsonl")
    monkeypatch.setenv("SPECULATION_K", "17")

    assert "speedup" in call("replay", "run.jsonl").stdout


def test_a_trace_that_cannot_be_written_is_refused_before_anything_is_loaded() -> None:
    assert "nowhere/run.jsonl cannot be written" in refused(
        "generate", "a", "--target", "toy:no", "--trace", "nowhere/run.jsonl"
    )


@pytest.mark.parametrize(
    ("flag", "value", "name"),
    [
        ("-k", "17", "k"),
        ("-k", "-1", "k"),
        ("--temperature", "2.1", "temperature"),
        ("--max-tokens", "4097", "max_tokens"),
        ("--max-tokens", "0", "max_tokens"),
        ("--top-p", "1.1", "top_p"),
        ("--top-k", "1001", "top_k"),
        ("--min-p", "-0.1", "min_p"),
        ("--temperature", "nan", "temperature"),
        ("--temperature", "inf", "temperature"),
        ("--top-p", "nan", "top_p"),
        ("--nodes", "99999999999999999999999999", "nodes"),
    ],
)
def test_a_flag_out_of_range_is_refused_with_the_range(flag: str, value: str, name: str) -> None:
    errors = refused("generate", "a", *PAIR, f"{flag}={value}" if flag.startswith("--") else f"{flag}{value}")

    assert f"{name} is {value}, and allowed are {RANGES[name].minimum:g} to {RANGES[name].maximum:g}." in errors


@pytest.mark.parametrize("seed", ["-1", str(2**63), str(-(2**70)), "9" * 300])
def test_any_integer_is_a_seed(seed: str) -> None:
    sampled = ("-k", "3", "--temperature", "1", "--max-tokens", "20", f"--seed={seed}")
    document = generate(*sampled)

    assert document["seed"] == int(seed)
    assert generate(*sampled)["token_ids"] == document["token_ids"]


def test_a_temperature_just_above_0_is_greedy() -> None:
    almost = generate("-k", "3", "--temperature", "1e-39", "--max-tokens", "20", "--seed", "4")

    assert almost["token_ids"] == generate("--plain", "--max-tokens", "20")["token_ids"]


@pytest.mark.parametrize("command", [("generate", "a"), ("serve",), ("models", "list")], ids=lambda c: c[0])
def test_a_bad_variable_is_refused_by_every_command(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.setenv("SPECULATION_K", "17")
    assert "SPECULATION_K is '17', and allowed are 0 to 16." in refused(*command)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"TEMPERATURE=hot\n", "TEMPERATURE in .env is 'hot', and allowed are 0 to 2."),
        ("TARGET=é".encode("latin-1"), ".env is not text in UTF-8"),
        ("SPECULATION_K=2\n".encode("utf-16"), ".env is not text in UTF-8"),
    ],
    ids=["value", "latin-1", "utf-16"],
)
def test_a_bad_dotenv_is_refused_in_words(content: bytes, words: str) -> None:
    Path(".env").write_bytes(content)

    assert words in refused("generate", "a")


def test_the_short_names_in_dotenv_are_read() -> None:
    Path(".env").write_text("DRAFT_MODEL=toy:0~7\nSPECULATION_K=2\nTEMPERATURE=0.7\nMAX_TOKENS=9\n")
    document = generate("--trace", "run.jsonl", pair=("--target", "toy:0"))
    started = trace.read(Path("run.jsonl"))[1][0]

    assert started.type == "started"
    assert (document["draft_model"], document["k"]) == ("toy-0~7", 2)
    assert (started.sampling.temperature, started.max_tokens) == (0.7, 9)


def test_flags_take_precedence_over_the_environment_and_that_over_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("SPECULATION_K=2\nMAX_TOKENS=9\nSPECULATOVIZ_SEED=3\n")
    monkeypatch.setenv("SPECULATION_K", "3")
    monkeypatch.setenv("MAX_TOKENS", "8")
    document = generate("-k", "4", "--trace", "run.jsonl")
    started = trace.read(Path("run.jsonl"))[1][0]

    assert started.type == "started"
    assert (document["k"], started.max_tokens, document["seed"]) == (4, 8, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "nonsense"), "smollm2-135m-instruct"),
        (("--target", "missing.gguf"), "missing.gguf"),
        (("--target", "toy:zero"), "toy:0"),
        (("--profile", "huge"), "'qwen' or 'smol'"),
        (("--drafter", "oracle"), "'multi' or 'hybrid'"),
        (("--target", "toy:0", "--drafter", "model"), "--draft"),
        (("--target", ""), "target is '': it needs a value."),
        (("--target", "toy:0", "--head", " "), "head is ' ': it needs a value."),
        (tuple(word for _ in range(9) for word in ("--shadow", "ngram")), "at most 8 items"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, tuple) else None,
)
def test_an_unknown_name_is_refused_with_the_known_ones(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused("generate", "a", *arguments)


@pytest.mark.parametrize(
    ("prompt", "words"), [("", "prompt is empty"), (" ", "prompt is empty"), ("Ä", "cannot read"), ("a" * 5000, "5000")]
)
def test_a_prompt_that_cannot_be_used_is_refused(prompt: str, words: str) -> None:
    assert words in refused("generate", prompt, *PAIR)


def test_control_tokens_are_for_raw_prompts() -> None:
    assert "in a raw prompt only" in refused("generate", "a", "--control-tokens", *PAIR)
    assert generate("--raw", "--control-tokens")["token_ids"] == generate("--raw")["token_ids"]


def test_a_draft_model_that_no_drafter_uses_is_not_loaded() -> None:
    document = generate("--drafter", "ngram", pair=("--target", "toy:0", "--draft", "nonsense"))

    assert (document["drafter"], document["draft_model"]) == ("ngram", None)


def test_models_list_names_the_catalogue_and_what_is_here() -> None:
    listed = call("models", "list").stdout

    for name, entry in CATALOGUE.items():
        [row] = [line for line in listed.splitlines() if line.startswith(f"{name} ")]
        assert entry.licence in row
        assert entry.quantisation in row
        assert not row.rstrip().endswith("yes")
    assert "profile qwen" in listed
    assert "profile smol" in listed
    assert provenance() in " ".join(listed.split())


def test_models_list_marks_what_is_here_and_pull_prints_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    name, entry = next(iter(CATALOGUE.items()))
    here = replace(entry, size_bytes=4, sha256=hashlib.sha256(b"GGUF").hexdigest())
    monkeypatch.setitem(CATALOGUE, name, here)
    path = here.path(Settings().cache_dir)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")

    assert call("models", "pull", name).stdout == f"{path}\n"
    marked = [line.split()[0] for line in call("models", "list").stdout.splitlines() if line.rstrip().endswith("yes")]
    assert marked == [name]
    path.write_bytes(b"FGUG")
    assert "SHA-256" in refused("models", "pull", name)


def test_pulling_an_unknown_model_lists_the_known_ones() -> None:
    errors = refused("models", "pull", "nonsense")

    assert all(name in errors for name in CATALOGUE)


@pytest.mark.parametrize("command", [(), ("models",)], ids=["speculatoviz", "models"])
def test_without_a_command_the_help_is_printed(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(command))

    assert "Usage" in result.output
    assert "Commands" in result.output


def test_help_explains_the_flags_and_what_a_seed_repeats() -> None:
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", call("generate", "--help").stdout).split())

    assert "run need not equal a seeded plain run: only their distributions agree" in text
    for name in ("k", "temperature", "max_tokens", "drafter"):
        description = Settings.model_fields[name].description
        assert description is not None
        assert description in text
