"""Text from users, files, models and endpoints is printed as text: no markup, no control characters."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from rich.table import Table

from speculatoviz.cli import output, remote
from speculatoviz.cli.output import TextConsole, notice, plain
from speculatoviz.cli.terminal import Transcript, progress
from speculatoviz.core.types import Exactness
from speculatoviz.models.files import catalogue
from speculatoviz.targets.base import Remote
from speculatoviz.telemetry.events import Event, Shadow, ShadowScore, Started
from speculatoviz.telemetry.parts import RemoteInfo
from support import environment, toy_session
from support.program import call

FOREIGN = "[/x][v2][red]:smile:\x1b[31m\x9b2J\x1b]0;title\x07\r\x08\x7f"
SHOWN = "[/x][v2][red]:smile:\\x1b[31m\\x9b2J\\x1b]0;title\\x07\\x08\\x7f"
CONTROLS = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


def is_plain(text: str) -> bool:
    return not CONTROLS & set(map(ord, text))


def on_stderr(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    action()
    return stream.getvalue()


def spoiled(value: object) -> object:
    """The same event with foreign text in every field that may hold any text."""
    if isinstance(value, list):
        return [spoiled(item) for item in value]
    if not isinstance(value, BaseModel):
        return value
    free = {name for name, field in type(value).model_fields.items() if field.annotation in {str, str | None}}
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    return value.model_copy(
        update={
            name: FOREIGN if name in free and isinstance(field, str) else spoiled(field)
            for name, field in fields.items()
        }
    )


@given(st.text(st.sampled_from([*map(chr, sorted(CONTROLS)), *"a\n\t語["])))
def test_no_control_character_is_left(text: str) -> None:
    assert is_plain(plain(text))
    assert plain(text).count("a") >= text.count("a")
    assert plain(plain(text)) == plain(text)


def test_ordinary_text_is_left_as_it_is() -> None:
    for text in ("", "a\tb\nc", "語 é 🙂 \u200f", "\\x1b"):
        assert plain(text) == text


def test_a_run_is_printed_as_text(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path)
    events = toy_session.run(session, temperature=0.9, seed=4)
    about = RemoteInfo(
        url="u", mode="match", rtt_ms=None, calls_per_round=None, findings=[], rate_limit=None, warning="w"
    )
    score = ShadowScore(drafter="d", rounds=1, mean_drafted=1.0, mean_matched=1.0, best_share=1.0, mean_draft_ms=1.0)
    shadow = Shadow(run="r", seq=0, t_ms=0.0, round=0, guesses=[], scores=[score])
    spoiled_events: list[Event] = []
    for event in [*events[:-1], shadow, events[-1]]:
        changed = event.model_copy(update={"remote": about}) if isinstance(event, Started) else event
        spoiled_events.append(spoiled(changed))  # type: ignore[arg-type]
    out = io.StringIO()
    transcript = Transcript(TextConsole(file=out, width=400))
    for event in spoiled_events:
        transcript.show(event)
    printed = out.getvalue()

    assert is_plain(printed)
    headline, warning, *_ = printed.splitlines()
    assert headline.startswith(f"{SHOWN} drafts up to 3 for {SHOWN} {SHOWN}")
    assert warning == SHOWN
    assert any(line.startswith(SHOWN) for line in printed.splitlines()[-2:])  # the shadow's name in its table


def test_what_a_probe_found_is_printed_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    about = Remote(FOREIGN, FOREIGN, None, findings=((FOREIGN, FOREIGN),), warning=FOREIGN)
    target: Any = SimpleNamespace(
        about=lambda: about,
        description=SimpleNamespace(name=FOREIGN),
        claim=lambda request: Exactness("exact", FOREIGN),
        strategy=lambda request: FOREIGN,
    )
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "400")
    remote._print(target)

    assert is_plain(out.getvalue())
    assert out.getvalue().count(SHOWN) == 4 + 2 * len(remote._TRIED) + 1


def test_a_table_an_error_a_stage_and_a_log_record_are_printed_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(FOREIGN, title=FOREIGN)
    table.add_row(FOREIGN)
    out = io.StringIO()
    TextConsole(file=out, width=400).print(table)
    assert is_plain(out.getvalue())
    assert out.getvalue().count(SHOWN) == 3

    code, said = call(monkeypatch, io.StringIO(), "replay", f"{FOREIGN}.jsonl")
    assert code == 1
    assert said.startswith(f"trace: {SHOWN}.jsonl cannot be read")

    assert on_stderr(monkeypatch, lambda: notice(FOREIGN)) == f"{SHOWN}\n"
    record = logging.LogRecord("x", logging.WARNING, "", 0, "about %s", (FOREIGN,), None)
    assert on_stderr(monkeypatch, lambda: output._LogHandler().emit(record)) == f"about {SHOWN}\n"


def test_a_log_record_that_repeats_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = output._LogHandler()
    records = [logging.LogRecord("x", logging.WARNING, "", 0, text, (), None) for text in ("a", "a", "b", "a")]

    assert on_stderr(monkeypatch, lambda: [handler.emit(record) for record in records]) == "a\nb\na\n"


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_a_stage_of_loading_is_printed_as_text(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    if terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "400")
    with progress() as report:
        report(f"loading {FOREIGN}", 0.5)
        report(f"loading {FOREIGN}", None)
    printed = stream.getvalue()

    assert f"loading {SHOWN}" in printed
    assert "\x1b]0" not in printed
    assert "\x9b" not in printed


def test_the_catalogue_is_printed_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(iter(catalogue.CATALOGUE.values()))
    monkeypatch.setattr(catalogue, "CATALOGUE", {"a": replace(entry, name=FOREIGN, licence=FOREIGN)})
    out = io.StringIO()
    code, _ = call(monkeypatch, out, "models", "list")

    assert code == 0
    assert is_plain(out.getvalue())
    assert "[/x][v2]" in out.getvalue()
