"""One settings model: names, precedence, ranges, and errors in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from speculatoviz.config import PROFILES, RANGES, Settings, in_words
from speculatoviz.errors import BadRequestError
from support import environment

EXAMPLE = Path(__file__).parents[1] / ".env.example"
SHORT_NAMES = {"draft": "DRAFT_MODEL", "k": "SPECULATION_K", "temperature": "TEMPERATURE", "max_tokens": "MAX_TOKENS"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


def words(**settings: Any) -> BadRequestError:
    """The error that these settings are refused with."""
    with pytest.raises(ValidationError) as refused:
        Settings(**settings)
    return in_words(refused.value)


def test_without_anything_set_the_qwen_pair_runs_here() -> None:
    settings = Settings()

    assert (settings.host, settings.k, settings.temperature, settings.max_tokens) == ("127.0.0.1", None, 0.0, 256)
    assert settings.resolved().target == "qwen2.5-coder-1.5b-instruct"
    assert settings.resolved().draft == "qwen2.5-coder-0.5b-instruct"


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [("draft", "toy:1", "toy:1"), ("k", "5", 5), ("temperature", "0.5", 0.5), ("max_tokens", "99", 99)],
)
def test_a_flag_wins_over_the_environment_and_that_over_dotenv(
    monkeypatch: pytest.MonkeyPatch, field: str, text: str, value: Any
) -> None:
    for in_file in environment.names_of(field):
        for in_environment in environment.names_of(field):
            monkeypatch.delenv(in_environment, raising=False)
            Path(".env").write_text(f"{in_file}={text}\n")
            assert getattr(Settings(), field) == value
            monkeypatch.setenv(in_environment, "1")
            assert str(getattr(Settings(), field)) in {"1", "1.0"}
            assert getattr(Settings(**{field: value}), field) == value
            monkeypatch.delenv(in_environment)


def test_the_short_names_are_read() -> None:
    for field, name in SHORT_NAMES.items():
        assert name in environment.names_of(field)


@pytest.mark.parametrize("name", ["K", "DRAFT", "TARGET", "PROFILE", "SEED", "PORT", "HOST", "TOP_P"])
def test_names_that_belong_to_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    Path(".env").write_text(f"{name}=8\n")

    assert Settings() == Settings(_env_file=None)
    assert str(getattr(Settings(), name.lower())) not in {"7", "8"}


@pytest.mark.parametrize("field", sorted(set(Settings.model_fields) - {"cache_dir"}))
def test_every_setting_can_be_given_in_the_environment(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    given = {"profile": "smol", "drafter": "ngram", "evidence": "false", "context_tokens": "200", "top_p": "0.5"}
    given |= {
        "ngram_min": "3",
        "ngram_max": "9",
        "dtype": "float32",
        "target_mode": "match",
        "overlap": "false",
        "rule": "block",
        "lookahead_ngram": "5",
    }
    monkeypatch.setenv(f"SPECULATOVIZ_{field.upper()}", given.get(field, "1"))

    assert getattr(Settings(), field) != Settings.model_fields[field].default
    value = getattr(Settings(), field)
    if isinstance(value, SecretStr):
        assert "1" not in repr(Settings())[repr(Settings()).index(f"{field}=") :].partition(",")[0]
        value = value.get_secret_value()
    assert str(value).lower().removesuffix(".0") == given.get(field, "1")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECULATION_K", "")
    monkeypatch.setenv("SPECULATOVIZ_SEED", "")

    assert (Settings().k, Settings().seed) == (None, 0)


@pytest.mark.parametrize("name", sorted(set(RANGES)))
def test_a_setting_out_of_range_is_refused_with_the_range(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    allowed = RANGES[name]
    expected = f"{name} is {{}}, and allowed are {allowed.minimum:g} to {allowed.maximum:g}."
    beyond = int(allowed.maximum + 1)

    assert words(**{name: beyond}).message == expected.format(beyond)
    for variable in environment.names_of(name):
        monkeypatch.setenv(variable, str(beyond))
        assert words().message == expected.format(repr(str(beyond)))
        monkeypatch.setenv(variable, "many")
        assert words().message == expected.format("'many'")
        monkeypatch.delenv(variable)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profile": "huge"}, "profile is 'huge': Input should be 'qwen' or 'smol'."),
        (
            {"drafter": "oracle"},
            "drafter is 'oracle': Input should be 'model', 'ngram', 'suffix', 'lookahead', 'medusa', "
            "'eagle', 'selfspec', 'mixture', 'multi' or 'hybrid'.",
        ),
        ({"port": 70000}, "port is 70000: Input should be less than or equal to 65535."),
        ({"threads": 0}, "threads is 0: Input should be greater than or equal to 1."),
        ({"ngram_min": 5, "ngram_max": 3}, "ngram_min is 5 and ngram_max only 3."),
    ],
)
def test_other_mistakes_are_said_in_words(settings: dict[str, Any], message: str) -> None:
    error = words(**settings)

    assert error.message == message
    assert error.hint


def test_settings_cannot_change_under_a_run() -> None:
    with pytest.raises(ValidationError):
        Settings().k = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"profile": "smol"}, ("smol", "smollm2-135m-instruct", None, "eagle")),
        ({"profile": "smol", "target": "toy:0"}, ("custom", "toy:0", None, "ngram")),
        ({"drafter": "ngram"}, ("qwen", PROFILES["qwen"].target, PROFILES["qwen"].draft, "ngram")),
        ({"draft": "none"}, ("qwen", PROFILES["qwen"].target, None, "ngram")),
        ({"draft": "toy:1"}, ("qwen", PROFILES["qwen"].target, "toy:1", "model")),
        ({"profile": "smol", "draft": "toy:1"}, ("smol", PROFILES["smol"].target, "toy:1", "model")),
        ({"target": "toy:0"}, ("custom", "toy:0", None, "ngram")),
        ({"target": "verifier:ws://a:1"}, ("custom", "verifier:ws://a:1", PROFILES["qwen"].draft, "model")),
        ({"target": "verifier:ws://a:1", "draft": "none"}, ("custom", "verifier:ws://a:1", None, "ngram")),
        ({"target": "toy:0", "draft": "toy:1"}, ("custom", "toy:0", "toy:1", "model")),
        ({"target": "toy:0", "draft": "none"}, ("custom", "toy:0", None, "ngram")),
        (
            {"target": PROFILES["qwen"].target},
            ("qwen", PROFILES["qwen"].target, PROFILES["qwen"].draft, "model"),
        ),
    ],
    ids=str,
)
def test_explicit_choices_are_laid_over_the_profile(
    settings: dict[str, Any], expected: tuple[str, str, str | None, str]
) -> None:
    pair = Settings(**settings).resolved()

    assert (pair.name, pair.target, pair.draft, pair.drafter) == expected


def example(comments_taken_away: bool) -> dict[str, str | None]:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    if comments_taken_away:
        lines = [line.removeprefix("# ") if "=" in line else line for line in lines]
    Path("example").write_text("\n".join(lines), encoding="utf-8")
    return dotenv_values("example")


def test_the_example_changes_nothing_as_it_stands() -> None:
    assert example(comments_taken_away=False) == {}


def test_the_example_holds_every_setting_once_and_nothing_else() -> None:
    given = example(comments_taken_away=True)
    fields = [field for name in given for field in Settings.model_fields if name in environment.names_of(field)]

    assert sorted(fields) == sorted(Settings.model_fields)
    assert len(given) == len(fields)
    assert set(SHORT_NAMES.values()) <= given.keys()


def test_the_examples_values_are_taken_as_they_stand() -> None:
    given = example(comments_taken_away=True)
    settings = Settings(_env_file="example", cache_dir="here")

    for field in set(Settings.model_fields) - {"cache_dir"}:
        [text] = [given[name] for name in environment.names_of(field) if name in given]
        value = getattr(settings, field)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        assert type(value)(text) == value if not isinstance(value, bool) else text == str(value).lower()


def test_the_example_says_of_each_setting_what_its_flag_says() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for field, info in Settings.model_fields.items():
        [at] = [i for i, line in enumerate(lines) if line[2:].split("=")[0] in environment.names_of(field)]
        assert info.description is not None
        assert lines[at - 1].startswith(f"# {info.description}")


def test_a_profile_may_name_the_depth_of_its_own_drafter() -> None:
    def depth(**chosen: Any) -> int | None:
        return Settings(_env_file=None, profile="smol", **chosen).resolved().k

    assert depth() == PROFILES["smol"].k == 4
    assert depth(drafter="ngram") is None
    assert depth(target="toy:0") is None
