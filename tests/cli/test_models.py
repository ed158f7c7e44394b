"""The commands that time passes and show the kept times, with a stand-in for the process that measures."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from speculatoviz.cli.app import app
from speculatoviz.cli.terminal import Transcript, chosen_runtimes
from speculatoviz.config import Settings
from speculatoviz.models import libraries, row_times
from speculatoviz.models.base import RuntimeChoice
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Started
from support import environment, toy_session
from support.tiny_gguf import write_tiny

STEEP = {"1": 10.0, "2": 20.0, "4": 40.0, "8": 80.0}
FLAT = {"1": 12.0, "2": 13.0, "4": 15.0, "8": 20.0}
Measured = Callable[[str, dict[str, float] | None], None]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Sets what measuring a runtime finds: a table, or None for a crash. Both runtimes are installed."""
    tables: dict[str, dict[str, float] | None] = {"llamacpp": STEEP, "ik": FLAT}

    def child(_module: str, _path: str, runtime: str, _threads: str, _how: str, timeout_s: float) -> object:
        table = tables[runtime]
        report = "" if table is None else "speculatoviz: " + json.dumps({"pass_ms": table})
        return subprocess.CompletedProcess((), -4 if table is None else 0, report, "")

    monkeypatch.setattr(libraries, "find_spec", lambda _: object())
    monkeypatch.setattr(row_times, "run_child", child)
    monkeypatch.setattr(row_times, "installed_at_ns", lambda _: 0)
    monkeypatch.setattr("speculatoviz.models.runtime_choice.require_loadable", lambda *_, **__: None)
    return tables.__setitem__


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def row_of(text: str, runtime: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(f"{runtime} "))


@pytest.mark.usefixtures("measured")
def test_the_kept_times_and_the_choice_are_listed(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf")
    assert "milliseconds" not in call("models", "list").stdout
    printed = call("models", "measure", str(path), "--runtime", "auto", "--threads", "2").stdout
    listed = call("models", "list").stdout
    for text in (printed, listed):
        assert "tiny.gguf, CPU, 2 threads" in text
        assert row_of(text, "llama.cpp") == ["llama.cpp", "10.0", "20.0", "40.0", "80.0", "draft"]
        assert row_of(text, "ik_llama.cpp") == ["ik_llama.cpp", "12.0", "13.0", "15.0", "20.0", "target"]

    document = json.loads(call("models", "list", "--json").stdout)
    assert document["timed_passes"] == [
        {
            "file": str(path),
            "threads": 2,
            "pass_ms": {"llamacpp": STEEP, "ik": FLAT},
            "chosen": {"target": "ik", "draft": "llamacpp"},
        }
    ]
    assert {"models", "profiles", "runtimes"} < set(document)


def test_measuring_replaces_the_kept_times(tmp_path: Path, measured: Measured) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf"))
    for table, chosen in ((FLAT, "target"), (STEEP | {"1": 11.0}, "")):
        measured("ik", table)
        printed = call("models", "measure", path, "--runtime", "auto").stdout
        assert row_of(printed, "ik_llama.cpp")[5:] == [chosen] * bool(chosen)


def test_a_runtime_that_crashes_is_named_with_what_is_left(tmp_path: Path, measured: Measured) -> None:
    measured("ik", None)
    path = write_tiny(tmp_path / "tiny.gguf")
    printed = call("models", "measure", str(path), "--runtime", "auto").stdout
    assert row_of(printed, "llama.cpp")[-2:] == ["target,", "draft"]
    assert "ik_llama.cpp could not be measured" in printed
    assert "SIGILL" in printed


@pytest.mark.usefixtures("measured")
def test_a_named_runtime_is_measured_alone(tmp_path: Path) -> None:
    printed = call("models", "measure", f"ik:{write_tiny(tmp_path / 'tiny.gguf')}").stdout
    assert row_of(printed, "ik_llama.cpp")[1] == "12.0"
    assert not any(line.startswith("llama.cpp ") for line in printed.splitlines())


def test_what_is_no_gguf_file_is_refused_in_words(tmp_path: Path) -> None:
    result = call("models", "measure", "mlx:owner/repo", code=1)
    assert "is not loaded as a GGUF file" in result.stderr
    (tmp_path / "not.gguf").write_text("text")
    assert "not.gguf" in call("models", "measure", str(tmp_path / "not.gguf"), code=1).stderr


# --- a run --------------------------------------------------------------------------------------------


def started_with(choice: RuntimeChoice | None, tmp_path: Path) -> Started:
    """The first event of a run whose target has that choice of its runtime."""
    session: Session = toy_session.load(tmp_path)
    about = session.target.description
    object.__setattr__(about, "choice", choice)
    (started,) = [event for event in toy_session.run(session, max_tokens=1) if isinstance(event, Started)]
    session.close()
    return started


def test_a_run_tells_why_its_target_is_on_its_runtime(tmp_path: Path) -> None:
    choice = RuntimeChoice("4 rows cost less", {"toy": {1: 2.0, 4: 3.0}, "other": {1: 2.5}})
    started = started_with(choice, tmp_path)

    assert started.target_model.choice is not None
    assert started.target_model.choice.model_dump() == {
        "reason": "4 rows cost less",
        "times": [
            {"runtime": "toy", "rows": 1, "ms": 2.0},
            {"runtime": "toy", "rows": 4, "ms": 3.0},
            {"runtime": "other", "rows": 1, "ms": 2.5},
        ],
    }
    console = Console(record=True, width=200)
    Transcript(console).show(started)
    assert f"{started.target_model.name} runs on toy: 4 rows cost less" in console.export_text()


def test_a_run_whose_names_decided_tells_nothing(tmp_path: Path) -> None:
    started = started_with(None, tmp_path)
    assert started.target_model.choice is None
    assert list(chosen_runtimes(started.target_model, None)) == []


def test_the_default_leaves_the_runtime_open() -> None:
    assert Settings(_env_file=None).runtime == "auto"
