"""The settings model: names, precedence, ranges, `.env`, and errors in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from speculatoviz.config import PROFILES, RANGES, Settings, load_settings
from speculatoviz.errors import BadRequestError
from speculatoviz.server.messages import parse
from speculatoviz.telemetry.messages import Start
from support import environment

EXAMPLE = Path(__file__).parents[1] / ".env.example"
SHORT_NAMES = {"draft": "DRAFT_MODEL", "k": "SPECULATION_K", "temperature": "TEMPERATURE", "max_tokens": "MAX_TOKENS"}
FOLDERS = {"cache_dir", "prompt_cache", "keys_file", "tls_certificate", "tls_key"}  # settings that are made absolute


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


def words(**settings: Any) -> BadRequestError:
    """The error that these settings, the environment or `.env` are refused with."""
    with pytest.raises(BadRequestError) as refused:
        load_settings(**settings)
    assert refused.value.hint
    return refused.value


def test_by_default_the_qwen_pair_runs_on_loopback() -> None:
    settings = Settings()

    assert (settings.host, settings.k, settings.temperature, settings.max_tokens) == ("127.0.0.1", None, 0.0, 256)
    assert settings.resolved().target == "qwen2.5-coder-1.5b-instruct"
    assert settings.resolved().draft == "qwen2.5-coder-0.5b-instruct"


def test_a_version_of_the_draft_belongs_to_the_profiles_own_draft() -> None:
    def version(**chosen: Any) -> tuple[str | None, int | str]:
        pair = Settings(**chosen).resolved()
        return pair.draft_quantisation, pair.draft_vocabulary

    own = (PROFILES["qwen"].draft_quantisation, PROFILES["qwen"].draft_vocabulary)
    assert version() == own
    assert version(draft="toy:1", target="toy:0") == (None, "all"), "another draft is used as it is"
    assert version(runtime="hf") == (None, "all"), "transformers loads files as they are"
    assert version(draft_vocabulary="all") == (own[0], "all")
    assert version(draft_vocabulary="4096", draft_quantisation="Q8_0") == ("Q8_0", 4096)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [("draft", "toy:1", "toy:1"), ("k", "5", 5), ("temperature", "0.5", 0.5), ("max_tokens", "99", 99)],
)
def test_a_flag_takes_precedence_over_the_environment_and_that_over_dotenv(
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
def test_variables_without_the_prefix_are_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    Path(".env").write_text(f"{name}=8\n")

    assert Settings() == Settings(_env_file=None)
    assert str(getattr(Settings(), name.lower())) not in {"7", "8"}


@pytest.mark.parametrize("field", sorted(set(Settings.model_fields) - FOLDERS))
def test_every_setting_can_be_given_in_the_environment(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    given = {"profile": "smol", "drafter": "ngram", "evidence": "false", "context_tokens": "200", "top_p": "0.5"}
    given |= {
        "ngram_min": "3",
        "ngram_max": "9",
        "dtype": "float32",
        "target_mode": "match",
        "overlap": "false",
        "batch_invariant": "true",
        "require_key": "true",
        "log_format": "json",
        "log_level": "info",
        "log_details": "true",
        "rule": "block",
        "runtime": "ik",
        "policy": "auto",
        "lookahead_ngram": "5",
        "draft_vocabulary": "512",
        "repetition_penalty": "1.5",
    }
    monkeypatch.setenv(f"SPECULATOVIZ_{field.upper()}", given.get(field, "1"))

    assert getattr(Settings(), field) != Settings.model_fields[field].default
    value = getattr(Settings(), field)
    if isinstance(value, SecretStr):
        assert "1" not in repr(Settings())[repr(Settings()).index(f"{field}=") :].partition(",")[0]
        value = value.get_secret_value()
    assert str(value).lower().removesuffix(".0") == given.get(field, "1")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECULATION_K", "")
    monkeypatch.setenv("SPECULATOVIZ_SEED", "")

    assert (Settings().k, Settings().seed) == (None, 0)


ENFORCED = sorted(name for name, allowed in RANGES.items() if allowed.enforced)


@pytest.mark.parametrize("name", ENFORCED)
def test_a_setting_out_of_range_is_refused_with_the_range(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And with the name under which it was given."""
    allowed = RANGES[name]
    expected = f"{{}} is {{}}, and allowed are {allowed.minimum:g} to {allowed.maximum:g}."
    beyond = int(allowed.maximum + 1)

    assert words(**{name: beyond}).message == expected.format(name, beyond)
    assert words(**{name: float("nan")}).message == expected.format(name, "nan")
    assert words(**{name: float("inf")}).message == expected.format(name, "inf")
    for variable in environment.names_of(name):
        for value in (str(beyond), "many", "nan", "-inf", "1" * 400, " "):
            shown = repr(value) if len(value) < 60 else f"{value!r:.57}..."
            monkeypatch.setenv(variable, value)
            assert words().message == expected.format(variable, shown)
            monkeypatch.delenv(variable)
            Path(".env").write_text(f"{variable}='{value}'\n")
            assert words().message == expected.format(f"{variable} in .env", shown)
            Path(".env").unlink()


def test_only_a_seed_has_no_range() -> None:
    assert set(RANGES) - set(ENFORCED) == {"seed"}


@pytest.mark.parametrize("seed", [-1, 2**53, 2**63, 2**64 + 1, -(2**200), int("9" * 4000)], ids=lambda n: str(n)[:12])
def test_any_integer_is_a_seed(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """In a flag, in the environment, in a message of a client, and back in an event."""
    assert load_settings(seed=seed).seed == seed
    monkeypatch.setenv("SPECULATOVIZ_SEED", str(seed))
    assert load_settings().seed == seed
    assert parse(f'{{"prompt": "a", "seed": {seed}}}') == Start(prompt="a", seed=seed)
    assert json.loads(Start(prompt="a", seed=seed).model_dump_json())["seed"] == seed


@pytest.mark.parametrize("seed", ["1.5", "nan", "seed", "1" * 5000])
def test_a_seed_that_is_no_integer_is_refused(monkeypatch: pytest.MonkeyPatch, seed: str) -> None:
    monkeypatch.setenv("SPECULATOVIZ_SEED", seed)

    assert words().message.startswith(f"SPECULATOVIZ_SEED is '{seed[:50]}")
    with pytest.raises(BadRequestError, match="seed is "):
        parse(json.dumps({"prompt": "a", "seed": seed}))


def test_numbers_without_a_range_are_finite_too() -> None:
    for value in (float("nan"), float("inf"), -1.0):
        assert words(session_idle_s=value).message.startswith(f"session_idle_s is {value}: it must be ")


def test_a_temperature_just_above_0_is_allowed() -> None:
    assert load_settings(temperature=1e-39).temperature == 1e-39


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profile": "huge"}, "profile is 'huge': it must be 'qwen' or 'smol'."),
        (
            {"drafter": "oracle"},
            "drafter is 'oracle': it must be 'model', 'ngram', 'suffix', 'lookahead', 'medusa', "
            "'eagle', 'eagle3', 'p-eagle', 'dflash', 'mtp', 'selfspec', 'mixture', 'multi' or 'hybrid'.",
        ),
        ({"port": 70000}, "port is 70000: it must be at most 65535."),
        ({"threads": 0}, "threads is 0: it must be at least 1."),
        ({"ngram_min": 5, "ngram_max": 3}, "ngram_min is 5 and ngram_max only 3."),
        ({"target": ""}, "target is '': it needs a value."),
        ({"host": "  "}, "host is '  ': it needs a value."),
        ({"target_api_key": ""}, "target_api_key is what was given: it needs a value."),
        (
            {"cache_dir": "~no-such-user/x"},
            "cache_dir is '~no-such-user/x': there is no such home folder; set SPECULATOVIZ_CACHE_DIR to another.",
        ),
        (
            {"prompt_cache": "~nobody-here/x"},
            "prompt_cache is '~nobody-here/x': there is no such home folder; set SPECULATOVIZ_PROMPT_CACHE to another.",
        ),
        ({"port": 10**30}, f"port is {10**30}: it must be at most 65535."),
    ],
)
def test_other_mistakes_are_refused_in_words(settings: dict[str, Any], message: str) -> None:
    assert words(**settings).message == message


@pytest.mark.parametrize(("field", "value"), [("port", "x"), ("profile", "huge"), ("overlap", "maybe"), ("head", " ")])
def test_the_variable_of_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, field: str, value: str) -> None:
    variable = f"SPECULATOVIZ_{field.upper()}"
    monkeypatch.setenv(variable, value)
    assert words().message.startswith(f"{variable} is {value!r}: ")
    monkeypatch.delenv(variable)
    monkeypatch.setenv(variable.lower(), value)
    assert words().message.startswith(f"{variable.lower()} is {value!r}: ")
    assert load_settings(**{field: 1 if field == "port" else "smol" if field == "profile" else "1"})


def test_a_secret_is_not_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [field for field, info in Settings.model_fields.items() if info.annotation == SecretStr | None]
    assert len(secrets) == 4
    for field in secrets:
        error = words(**{field: ["hush"]})
        assert error.message == f"{field} is what was given: it must be text."


def test_a_folder_of_the_home_folder_is_found_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    for field in FOLDERS:
        assert getattr(load_settings(**{field: "~/models"}), field) == str(tmp_path / "models")
        assert getattr(load_settings(**{field: "models"}), field) == str(Path.cwd() / "models")


# --- .env ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"SPECULATION_K=5\n",
        b"\xef\xbb\xbfSPECULATION_K=5\n",
        b"SPECULATION_K=5\r\nOTHER=\r\n",
        "# é 語\nexport SPECULATION_K='5' # five".encode(),
    ],
    ids=["plain", "byte order mark", "Windows", "quoted"],
)
def test_dotenv_is_read_with_quotes_comments_a_byte_order_mark_or_windows_line_ends(content: bytes) -> None:
    Path(".env").write_bytes(content)

    assert load_settings().k == 5


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_a_dotenv_in_another_encoding_is_refused(encoding: str) -> None:
    Path(".env").write_bytes("SPECULATOVIZ_TARGET=é\n".encode(encoding))

    assert words().message == ".env is not text in UTF-8."


def test_a_dotenv_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("SPECULATION_K=5\n")
    monkeypatch.setattr(
        "builtins.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )

    assert words().message == ".env cannot be read (Permission denied)."


def test_a_dotenv_that_is_a_folder_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    Path(".env").mkdir()
    assert load_settings() == Settings(_env_file=None)
    assert caplog.messages == [".env is a folder: no settings are read from it."]
    caplog.clear()
    Path(".env/pyvenv.cfg").touch()  # a virtual environment of that name
    assert load_settings() == Settings(_env_file=None)
    assert caplog.messages == []


def test_a_line_that_is_no_setting_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    Path(".env").write_text("SPECULATION_K=5\nSPECULATOVIZ_SEED 4\n\n'\nMAX_TOKENS=9\n")
    settings = load_settings()

    assert (settings.k, settings.seed, settings.max_tokens) == (5, 0, 9)
    assert caplog.messages == [
        "The statement that begins in line 2 of .env is not NAME=VALUE and is ignored.",
        "The statement that begins in line 3 of .env is not NAME=VALUE and is ignored.",
    ]
    Path(".env").write_text("what\nis this\nSPECULATION_K=99\n")
    caplog.clear()
    assert words().message.startswith("SPECULATION_K in .env is '99'")
    assert len(caplog.messages) == len(set(caplog.messages)) == 1


def test_settings_are_immutable() -> None:
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
def test_explicit_choices_replace_those_of_the_profile(
    settings: dict[str, Any], expected: tuple[str, str, str | None, str]
) -> None:
    pair = Settings(**settings).resolved()

    assert (pair.name, pair.target, pair.draft, pair.drafter) == expected


def example(uncommented: bool) -> dict[str, str | None]:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    if uncommented:
        lines = [line.removeprefix("# ") if "=" in line else line for line in lines]
    Path("example").write_text("\n".join(lines), encoding="utf-8")
    return dotenv_values("example")


def test_the_example_sets_nothing_until_it_is_edited() -> None:
    assert example(uncommented=False) == {}


def test_the_example_holds_every_setting_once_and_nothing_else() -> None:
    given = example(uncommented=True)
    fields = [field for name in given for field in Settings.model_fields if name in environment.names_of(field)]

    assert sorted(fields) == sorted(Settings.model_fields)
    assert len(given) == len(fields)
    assert set(SHORT_NAMES.values()) <= given.keys()


def test_the_values_of_the_example_are_allowed() -> None:
    given = example(uncommented=True)
    settings = Settings(_env_file="example", cache_dir="here")

    for field in set(Settings.model_fields) - FOLDERS:
        [text] = [given[name] for name in environment.names_of(field) if name in given]
        value = getattr(settings, field)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        assert type(value)(text) == value if not isinstance(value, bool) else text == str(value).lower()


def test_the_example_describes_each_setting_as_its_flag_does() -> None:
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
