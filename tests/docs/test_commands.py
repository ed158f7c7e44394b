"""Every command that README and documentation show is executed, or is named here with the test that covers it.

Commands of this program run in the order of their page, on toy models in place of the models that the page names. Those
that need another machine, a network, a compiler or hours are
compared with what they name: flags, targets, extras, files.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from speculatoviz.lab import player
from support import environment
from support.documented import PAGES, ROOT, Documented, mentioned, shell_commands

OURS = [command for page in PAGES for command in shell_commands(page) if command.words[0] == "speculatoviz"]
OTHERS = [command for page in PAGES for command in shell_commands(page) if command.words[0] != "speculatoviz"]
SPANS = [command for page in PAGES for command in mentioned(page)]

# Commands that are not executed on toy models, by their beginning or a word of them, and the test that covers each.
COVERED = {
    "serve": "tests/docs/test_services.py",
    "verifier": "tests/docs/test_services.py",
    "train": "tests/train/test_run.py",
    "train eagle3": "tests/train/test_eagle3_run.py",
    "models pull": "tests/cli/test_cli.py",
    "probe": "tests/targets/hosted/test_probe.py",
    "compare": "tests/cli/test_engines.py",
    "bench models": "tests/bench/test_models.py",
    "bench peers": "tests/bench/peers/test_runs.py",
    "bench drafts": "tests/bench/test_drafts.py",
    "http://127.0.0.1:8000/metrics": "tests/cli/test_engines.py",
    "--ray": "tests/lab/sweep/test_ray_cluster.py",
    "bytegram:docs/exactness.md": "tests/models/runtimes/test_tutorial.py",
    "verifier:ws://there:8100": "tests/docs/test_services.py",
    "--prompt-tokens": "tests/lab/test_certificate.py",  # the toy's context is too short for it
}
# Programs of others, and the test that covers what the documentation asks of them.
PROGRAMS = {
    "docker": "tests/deploy/test_manifests.py",
    "kubectl": "tests/deploy/test_manifests.py",
    "systemctl": "tests/deploy/test_manifests.py",
    "systemd-run": "tests/deploy/test_manifests.py",
    "journalctl": "tests/deploy/test_manifests.py",
    "cp": "tests/deploy/test_manifests.py",
    "git": "tests/test_install.py",
    "cd": "tests/test_install.py",
    ".": "tests/test_install.py",
    "ray": "tests/lab/sweep/test_ray_cluster.py",
    "serve": "tests/deploy/test_ray_serve.py",
    "curl": "tests/docs/test_programs.py",
    "vllm": "tests/lab/test_round_costs.py",  # reads what it prints
    "for": "tests/lab/test_round_costs.py",
    "done": "tests/lab/test_round_costs.py",
}
TOYS = {"TARGET": "toy:0", "DRAFT": "toy:0~7", "DRAFTER": "model", "MAX_TOKENS": "16", "STORE": "runs.db"}
MODELS = [("qwen2.5-coder-1.5b-instruct", "toy:0"), (r"(ik|hf):\S*0\.5b\S*|qwen2.5-coder-0.5b-instruct", "toy:0~7")]


def covered(words: tuple[str, ...]) -> list[str]:
    """The keys of COVERED that a command has."""
    begin = " ".join(words[1:])
    return [key for key in COVERED if f"{begin} ".startswith(f"{key} ") or key in words]


def own(command: Documented) -> tuple[str, ...]:
    """The arguments of a command with toy models, texts that these can read, and an id of a run that there is."""
    words = list(command.words[1:])
    if words[0] == "generate":
        words[1] = "once upon a time"
    for index in range(len(words)):
        if words[index - 1] == "--prompt":
            words[index] = "once upon"
        for pattern, name in MODELS:
            words[index] = re.sub(pattern, name, words[index], flags=re.IGNORECASE)
        words[index] = {"3f9ac2": "last"}.get(words[index], words[index])
    if words[0] == "certify":  # its own prompts are beyond the toy's letters
        words[1:] = ["prompts.jsonl", *(word for word in words[1:] if word != "prompts.jsonl"), "--samples", "60"]
    return tuple(words)


def parsed(words: tuple[str, ...]) -> Any:
    """The command's context after its arguments were parsed. Raises what the parser raises."""
    command, rest = typer.main.get_command(app), list(words[1:])
    while inner := getattr(command, "commands", None):
        command = inner[rest.pop(0)]
    return command.make_context(command.name, rest)


def unknown(words: tuple[str, ...]) -> list[str]:
    """The words of a mentioned command that name no command and no flag."""
    command, rest = typer.main.get_command(app), list(words[1:])
    while rest and rest[0] in (inner := getattr(command, "commands", {})):
        command = inner[rest.pop(0)]
    below = list(getattr(command, "commands", {}).values()) or [command]
    flags = {name for one in below for option in one.params for name in option.opts}
    wrong = [word for word in rest if word.startswith("-") and word not in flags]
    return wrong + (rest[:1] if hasattr(command, "commands") and rest and not rest[0].startswith("-") else [])


@pytest.mark.parametrize("command", OURS, ids=str)
def test_a_command_is_one_that_the_program_reads(command: Documented) -> None:
    parsed(command.words)


@pytest.mark.parametrize("command", SPANS, ids=str)
def test_a_mentioned_command_and_its_flags_exist(command: Documented) -> None:
    assert unknown(command.words) == []


def test_wrong_commands_are_found() -> None:
    for words in (("speculatoviz", "serve", "--prot", "1"), ("speculatoviz", "bench", "sweep", "a", "-k")):
        with pytest.raises(Exception, match=r"(?i)no such option|requires an argument|unexpected"):
            parsed(words)
    assert unknown(("speculatoviz", "bench", "sweeps")) == ["sweeps"]
    assert unknown(("speculatoviz", "serve", "--prot")) == ["--prot"]


def test_what_is_not_executed_is_covered_by_a_test_that_exists() -> None:
    for name, file in {**COVERED, **PROGRAMS}.items():
        assert (ROOT / file).exists(), f"{name}: {file}"
    used = {key for command in OURS for key in covered(command.words)}
    assert set(COVERED) == used, "a command that no page shows any more"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that pages take for granted, among them recorded runs, a sweep and a store of runs."""
    folder = tmp_path_factory.mktemp("documented")
    lines = [{"prompt": "once upon a time"}, {"turns": ["sing", "more"], "category": "song"}]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sizes = [f"|  16 | 1 | {n} | 17 | 0.1 | 9.0 | {0.02 + n / 500:.3f} | 9.0 | 0.2 | 9.0 |" for n in (1, 2, 4, 8, 72)]
    header = "| PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |\n|----|----|\n"
    (folder / "bench.txt").write_text(header + "\n".join(sizes) + "\n")
    timings = {"timings": {"predicted_n": 30, "draft_n": 12, "draft_n_accepted": 6}}
    (folder / "answer.json").write_text(json.dumps(timings))
    with pytest.MonkeyPatch.context() as patch:
        in_workspace(patch, folder)
        recorded = ["generate", "once upon a time", "-k", "3", "--record-depth", "8", "--max-tokens", "32"]
        run(*recorded, "--trace", "run.jsonl")
        run("generate", "sing", "-k", "3")
        run(
            "bench",
            "sweep",
            "prompts.jsonl",
            "--drafter",
            "model",
            "-k",
            "1,2,4",
            "--temperature",
            "0",
            "--out",
            "sweep",
        )
    for name in ("run1", "run2", "a", "b", "c"):
        shutil.copy(folder / "run.jsonl", folder / f"{name}.jsonl")
    return folder


def in_workspace(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Toy models as the default, and everything that is written in this folder."""
    environment.clean(patch, folder)
    for name, value in TOYS.items():
        patch.setenv(f"SPECULATOVIZ_{name}", value)
    patch.setenv("SPECULATOVIZ_KEYS_FILE", "keys.json")


@pytest.fixture
def workspace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with these files."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    in_workspace(monkeypatch, tmp_path)
    if not player.PLAYER.exists():  # the page may not be built
        (tmp_path / "player.html").write_text("<title>{{title}}</title><script id=trace>{{trace}}</script>")
        monkeypatch.setattr(player, "PLAYER", tmp_path / "player.html")
    return tmp_path


def run(*words: str, stdin: str | None = None) -> str:
    """Standard output of a command that ended without an error. `lint` ends with 1 if it found one."""
    result = CliRunner().invoke(app, list(words), input=stdin)
    assert result.exit_code == 0 or (words[0] == "lint" and result.exit_code == 1), f"{words}: {result.output}"
    assert "Traceback" not in result.output
    return result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_in_its_order(page: Path, request: pytest.FixtureRequest) -> None:
    commands = [command for command in shell_commands(page) if command in OURS and not covered(command.words)]
    if not commands:
        return
    folder: Path = request.getfixturevalue("workspace")
    for command in commands:
        prepare(command.words)
        printed = run(*own(command), stdin="llama-server -m a.gguf -md b.gguf --draft-max 8\n")
        if "--json" in command.words and "certify" in command.words:
            (folder / "certificate.json").write_text(printed)


def prepare(words: tuple[str, ...]) -> None:
    """What a command needs that another page makes."""
    if "certificate.json" in words and not Path("certificate.json").exists():
        Path("certificate.json").write_text(run("certify", "prompts.jsonl", "-k", "2", "--samples", "60", "--json"))
    if "other.json" in words:
        shutil.copy("pair.json", "other.json")


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_other_programs_are_asked_for_what_there_is(command: Documented) -> None:
    program, *rest = command.words
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if program == "make":
        asked = [word for word in rest if "=" not in word]
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        settings = re.findall(r"^([A-Z]+) =", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(asked) <= set(targets)
        assert {word.partition("=")[0] for word in rest if "=" in word} <= set(settings)
    elif program == "pip":
        named = re.search(r"speculatoviz\[([\w,-]+)\]", rest[1])
        assert named is not None
        assert set(named[1].split(",")) <= set(extras)
    elif program == ".venv/bin/python":
        modules = {"pytest", "ruff", "mypy"}
        assert rest[1] in modules
        assert all((ROOT / word).exists() for word in rest if word.startswith("tests") and "test_" in word)
    else:
        assert program in PROGRAMS
        files = [word for word in rest if word.startswith("deploy/")]
        assert all(list(ROOT.glob(file)) for file in files)


def test_make_lists_the_targets_that_pages_name() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE))
    shown = {word for command in OTHERS if command.words[0] == "make" for word in command.words[1:] if "=" not in word}
    assert shown <= listed
