"""Pass times and the noise floor of a pair: what is measured, when, and for which depth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from speculatoviz.measure import calibration as module
from speculatoviz.measure.calibration import Calibration
from speculatoviz.measure.noise import Noise
from speculatoviz.measure.passes import LARGEST_PASS
from speculatoviz.models.window import Window
from speculatoviz.session.session import Session
from support import toy_session


def calibration(session: Session, folder: Path) -> Calibration:
    assert isinstance(session.calibration, Calibration)
    own = session.calibration
    return Calibration(own._target, own._window, own._draft, folder, 1, time.perf_counter)


def test_idle_time_measures_every_size_once_and_keeps_the_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A size that was measured on a busy machine is measured again by the next start."""
    session = toy_session.load(tmp_path)
    slow = {"ms": 400.0}
    monkeypatch.setattr(module, "pass_ms", lambda window, ids, rows, clock: slow["ms"] + rows)
    first = calibration(session, tmp_path / "times")
    while first.measure_next():
        pass
    assert dict(first.pass_ms) == {rows: 400.0 + rows for rows in range(1, LARGEST_PASS + 1)}
    slow["ms"] = 10.0
    assert not first.measure_next()
    second = calibration(session, tmp_path / "times")
    steps = 0
    while second.measure_next():
        steps += 1
    assert steps == LARGEST_PASS + 1  # and the draft model
    assert dict(second.pass_ms) == {rows: 10.0 + rows for rows in range(1, LARGEST_PASS + 1)}
    slow["ms"] = 99.0
    third = calibration(session, tmp_path / "times")
    while third.measure_next():
        pass
    assert third.pass_ms[3] == 13.0
    session.close()


def test_idle_time_measures_the_draft_model_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start something else may use the processor, and `auto` would draft less than it could."""
    session = toy_session.load(tmp_path)
    times = {"ms": 400.0}
    monkeypatch.setattr(module, "pass_ms", lambda window, ids, rows, clock: times["ms"])
    own = calibration(session, tmp_path / "times")
    own.measure([1, 2, 3], lambda: 2, lambda *_: None)
    assert own.draft_ms == 400.0
    times["ms"] = 10.0
    while own.measure_next():
        pass
    assert own.draft_ms == 10.0
    session.close()


@pytest.mark.parametrize(("settings", "rows"), [({"k": 7}, 8), ({"k": 0}, 2), ({"k": 16}, LARGEST_PASS), ({}, None)])
def test_the_noise_floor_is_that_of_the_depth_runs_will_have(
    settings: dict[str, int], rows: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But never of depth 0: one pass has no noise against itself."""
    batches: list[int] = []

    def noise_floor(window: Window, ids: Sequence[int], rows: int) -> Noise:
        batches.append(rows)
        return Noise(0.0, 0.0, 1.0, 16, len(ids), rows)

    monkeypatch.setattr(module, "noise_floor", noise_floor)
    session = toy_session.load(tmp_path, **settings)
    assert batches == [rows or session.default_k(session.drafter) + 1]
    session.close()
