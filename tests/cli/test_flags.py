"""Every flag is a field of the settings model, and says, takes and passes on what the field does."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import pytest
import typer
from dotenv import dotenv_values
from typer.testing import CliRunner

from speculatoviz.cli.flags import DRAFTING, GROUPS, SAMPLING, settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.config import Settings
from support import environment
from support.commands import commands, options

EXAMPLE = Path(__file__).parents[2] / ".env.example"
FIELDS = Settings.model_fields
# Settings for the environment and `.env` alone.
NO_FLAG = {
    "cache_dir",
    "cerebras_api_key",
    "cerebras_target_model",
    "corpus_tokens",
    "lookahead_guesses",
    "lookahead_ngram",
    "lookahead_window",
    "ngram_max",
    "ngram_min",
    "openai_api_key",
    "suffix_longest",
    "support_size",
}
# `bench sweep` takes several values of these; the others ask about recorded runs, or state what requests have.
OWN = {
    ("bench sweep", "drafter"),
    ("bench sweep", "k"),
    ("bench sweep", "nodes"),
    ("bench sweep", "policy"),
    ("bench sweep", "temperature"),
    ("export-config", "drafter"),
    ("export-config", "k"),
    ("export-config", "temperature"),
    ("lint", "temperature"),
    ("passport", "drafter"),
    ("passport", "k"),
    ("passport", "temperature"),
    ("whatif", "k"),
    ("whatif", "policy"),
    ("whatif", "rule"),
}
FLAGS = [
    (name, field)
    for name, command in commands().items()
    for field in options(command)
    if field in FIELDS and (name, field) not in OWN
]
# These commands have depths and lengths of their own, whatever the environment says.
DEFAULTS = {
    "bench pair": {"max_tokens": 96, "temperature": 0.0},
    "bench sweep": {"max_tokens": 128},
    "bench concurrency": {"k": 4, "max_tokens": 64},
    "bench drafts": {"max_tokens": 64},
    "bench edit": {"max_tokens": 384},
    "bench peers": {"max_tokens": 64},
    "bench prompts": {"max_tokens": 48},
    "bench rules": {"k": 5, "max_tokens": 96, "drafter": "model"},
    "bench remote": {"k": 3, "max_tokens": 48},
    "bench sessions": {"k": 3},
    "certify": {"max_tokens": 64, "temperature": 1.0},
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


def test_every_setting_is_in_one_group_or_has_no_flag() -> None:
    grouped = Counter(field for group in GROUPS for field in group.fields)

    assert set(grouped.values()) == {1}
    assert grouped.keys() | NO_FLAG == FIELDS.keys()
    assert not grouped.keys() & NO_FLAG
    assert {field for _, field in FLAGS} == grouped.keys()


@pytest.mark.parametrize(("command", "field"), FLAGS, ids=lambda name: name)
def test_a_flag_is_its_settings_field(command: str, field: str) -> None:
    option, info = options(commands()[command])[field], FIELDS[field]
    own = DEFAULTS.get(command, {})
    assert option.help.startswith(info.description.partition("; default: ")[0] if field in own else info.description)
    assert option.default is None
    assert not option.required
    assert f"--{field.replace('_', '-')}" in option.opts
    assert option.secondary_opts == ([f"--no-{field.replace('_', '-')}"] if kind(field) == "bool" else [])
    assert option.rich_help_panel in {group.title for group in GROUPS if field in group.fields}
    default = own.get(field, info.default)
    assert option.help.count("default: ") <= 1
    assert option.help.endswith("]") == (default not in {None, ""})
    if not isinstance(default, bool) and default not in {None, ""}:
        assert option.help.endswith(f"[default: {default}]")
    if isinstance(default, bool):
        assert option.help.endswith(f"[default: {(option.opts if default else option.secondary_opts)[0][2:]}]")


def invoke(*arguments: str, **defaults: object) -> tuple[int, list[Settings]]:
    """Exit code, and what a command with all flags, and a flag and an argument of its own, was called with."""
    got: list[Settings] = []

    @settings_flags(*GROUPS, **defaults)
    def command(settings: Settings, word: str, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        assert (word, loud) == ("a word", True)
        got.append(settings)

    app = program()
    add(app, command)
    return CliRunner().invoke(app, ["a word", "--loud", *arguments]).exit_code, got


def received(*arguments: str, **defaults: object) -> Settings:
    code, got = invoke(*arguments, **defaults)
    assert (code, len(got)) == (0, 1)
    return got[0]


def example() -> dict[str, str]:
    """{field: a value that is allowed}, as the example of `.env` gives them."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    Path("example").write_text("\n".join(line.removeprefix("# ") for line in lines if "=" in line), encoding="utf-8")
    given = dotenv_values("example")
    return {field: given[name] or "" for field in FIELDS for name in environment.names_of(field) if name in given}


def test_every_flag_sets_its_field_and_no_other() -> None:
    for group in GROUPS:
        for field in group.fields:
            value, no = example()[field], Settings(_env_file=None)
            arguments = [f"--{field.replace('_', '-')}", value]
            if kind(field) == "bool":
                value = str(not FIELDS[field].default).lower()
                arguments = [f"--{'' if value == 'true' else 'no-'}{field.replace('_', '-')}"]
            expected = Settings(_env_file=None, **{field: value})
            assert received(*arguments) == expected, field
            assert {name for name in FIELDS if getattr(expected, name) != getattr(no, name)} <= {field}


def kind(field: str) -> str:
    """bool, int, float, or str for all that is neither."""
    if "Literal" in str(FIELDS[field].annotation):
        return "str"
    found = re.search(r"\b(bool|int|float)\b", str(FIELDS[field].annotation))
    return found[1] if found else "str"


@pytest.mark.parametrize("field", [field for group in GROUPS for field in group.fields if kind(field) != "bool"])
def test_a_flag_refuses_what_is_not_of_its_kind_as_wrong_usage(field: str) -> None:
    flag = f"--{field.replace('_', '-')}"

    assert (invoke(f"{flag}=many")[0] == 2) == (kind(field) != "str")
    assert (invoke(f"{flag}=3.5")[0] == 2) == (kind(field) == "int")


def test_a_flag_that_is_not_given_leaves_the_setting_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECULATION_K", "5")

    assert received().k == 5
    assert received("-k", "3").k == received("--k", "3").k == 3


def test_a_default_of_the_command_stands_until_its_flag_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECULATION_K", "5")

    assert received(k=2, temperature=0.5).k == 2
    assert received(k=2, temperature=0.5).temperature == 0.5
    assert received("-k", "3", k=2).k == 3
    assert received("--temperature", "0", temperature=0.5).temperature == 0.0


def test_a_command_names_groups_and_single_fields() -> None:
    @settings_flags(SAMPLING, "k")
    def command(settings: Settings) -> None: ...

    app = program()
    add(app, command)
    found = {name: option for name, option in options(typer.main.get_command(app)).items() if name in FIELDS}
    assert set(found) == {*SAMPLING.fields, "k"}
    assert found["k"].rich_help_panel == DRAFTING.title
    with pytest.raises(KeyError):
        settings_flags("kay")
