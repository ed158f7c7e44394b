"""The commands of the benchmarks answer what a user can mend in words."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
@pytest.mark.parametrize(
    ("command", "code", "happened", "to_do"),
    [
        ("bench --profile huge", "bad_request", "profile is 'huge': Input should be", "Correct it and try again."),
        ("bench.drafters nowhere.jsonl --out runs", "bad_request", "nowhere.jsonl cannot be read", "Give a JSON Lines"),
        ("bench.drafters here.jsonl --out runs --profile huge", "bad_request", "profile is 'huge'", "Correct it"),
        ("bench.models --one nobody", "model", "There is no model 'nobody'", "Known names:"),
        ("bench.report nowhere.jsonl", "bad_request", "nowhere.jsonl holds no runs.", "Measure some:"),
        ("bench.rules --drafter nobody", "bad_request", "drafter is 'nobody'", "Correct it and try again."),
        ("bench.sessions --profile huge", "bad_request", "profile is 'huge'", "Correct it and try again."),
    ],
)
def test_what_a_user_can_mend_is_said_in_two_sentences(
    command: str,
    code: str,
    happened: str,
    to_do: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.jsonl").write_text('{"category": "coding", "turns": ["sort"]}\n')
    module, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"speculatoviz.{module}", run_name="__main__")
    first, second = capsys.readouterr().err.strip().split("\n", 1)
    assert ended.value.code == 1
    assert first.startswith(f"{code}: {happened}")
    assert second.startswith(to_do)
