"""A sweep of toys: every cell on every prompt against the plain runs around it, continued after a stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.config import Settings
from speculatoviz.core.sampling import scores
from speculatoviz.errors import BadRequestError, ModelError, TraceError
from speculatoviz.lab.questions import Prompt, Source
from speculatoviz.lab.sweep.cells import PLAIN, Candidate, Cell, Grid
from speculatoviz.lab.sweep.measuring import Plan, Watch, measure, measure_all
from speculatoviz.lab.sweep.records import RUNS, About, Folder, SweepRun
from speculatoviz.lab.sweep.runner import on_runtime_of
from speculatoviz.models.files.names import RUNTIMES
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.session import Session
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Metrics
from speculatoviz.telemetry.mapping import model_info
from support import toy_session

PROMPTS = [
    Prompt("a", 0, "once"),
    Prompt("a", 1, "upon"),
    Prompt("b", 0, "a time", (("system", "so"), ("user", "a time"))),
]
GRID = Grid((Candidate("model"), Candidate("suffix")), (2,), ("fixed", "auto"), (0.0, 0.7))


def plan(prompts: list[Prompt] = PROMPTS, grid: Grid = GRID, **changed: object) -> Plan:
    return replace(Plan(grid, Source(prompts, "prompts.jsonl", "0" * 64)), **changed)  # type: ignore[arg-type]


def watch(notices: list[str] | None = None, stages: list[str] | None = None) -> Watch:
    told = [] if stages is None else stages
    return Watch(iter(range(10**9)).__next__, lambda stage, _share: told.append(stage), (notices or []).append)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A pair of toys; nothing of it is measured again."""
    loaded = toy_session.load(tmp_path / "cache")
    monkeypatch.setattr(type(loaded.calibration), "measure_next", lambda _self: False)
    yield loaded
    loaded.close()


def test_every_cell_decodes_every_prompt_between_plain_runs(session: Session, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    measure(session, plan(), GRID.cells, folder, watch())

    assert folder.missing(plan().keys()) == []
    runs = [run for run in folder.runs if not run.cell.plain]
    assert len(runs) == len(plan().keys()) == 3 * 3 * 2
    assert [run.prompt for run in folder.runs if run.temperature == 0.0][:5] == [0] * 5
    for run in runs:
        around = [r.tps for r in folder.runs if r.cell == PLAIN and r.key[:3] == run.key[:3]]
        assert len(around) == 2
        assert run.plain_tps == pytest.approx(np.mean([tps for tps in around if tps]))
        assert run.exactness == "exact"
        assert run.departure is None  # a toy is computed alike in passes of all shapes
    assert {run.warning for run in runs} == {None}
    assert {run.foreign_share is None for run in folder.runs} == {sys.platform != "linux"}


def test_plain_runs_come_again_after_six_cells_and_each_is_kept_once(session: Session, tmp_path: Path) -> None:
    folder, grid = Folder(tmp_path / "out"), Grid((Candidate("suffix"),), tuple(range(1, 15)), ("fixed",))
    measure(session, plan(PROMPTS[:1], grid), grid.cells, folder, watch())
    alone = [run.tps for run in folder.runs if run.cell.plain]

    assert len(alone) == 4  # around 6, 6 and 2 cells
    assert len({run.trace for run in folder.runs}) == 14 + 4
    means = [pytest.approx((a + b) / 2) for a, b in pairwise(tps for tps in alone if tps)]
    found = [run.plain_tps for run in folder.runs if not run.cell.plain]
    assert found == [means[0]] * 6 + [means[1]] * 6 + [means[2]] * 2


def test_runs_begin_with_empty_contexts_and_leave_their_events(session: Session, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    assert session.target.window is not None
    prefixes = session.target.window.prefixes
    measure(session, plan(PROMPTS[:2]), GRID.cells, folder, watch())

    assert session.target.window.prefixes is prefixes
    for run in folder.runs:
        events = trace.read(folder.path / run.trace).events
        first = next(event for event in events if isinstance(event, Metrics))
        done = next(event for event in events if isinstance(event, Done))
        assert first.prompt_cache is not None
        assert first.prompt_cache.hit_tokens == 0
        assert len(done.token_ids) == run.tokens
        assert done.autopsy is None  # no evidence was computed
    assert len({run.trace for run in folder.runs}) == len(folder.runs)


def test_entropies_are_those_of_the_target(session: Session, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    measure(session, plan(PROMPTS[:1]), GRID.cells, folder, watch())
    run = next(run for run in folder.runs if run.cell == Cell("model", k=2) and run.temperature == 0.7)
    done = next(e for e in trace.read(folder.path / run.trace).events if isinstance(e, Done))
    ids = [*session.encode_turn("once"), *done.token_ids]
    target = ToyModel(0, ALPHABET)

    for tokens, entropy in zip(run.tested_context_tokens, run.tested_entropy, strict=True):
        assert entropy == pytest.approx(scores(target.logits(ids[:tokens]), ids[tokens], 1).entropy)

    without = Folder(tmp_path / "without")
    measure(session, plan(PROMPTS[:1], entropy=False, traces=False), GRID.cells, without, watch())
    assert {entropy for run in without.runs for entropy in run.tested_entropy} == {None}
    assert list((without.path / "traces").iterdir()) == []


def test_a_stopped_sweep_continues_and_repeats_nothing(session: Session, tmp_path: Path) -> None:
    stages = list[str]()
    measure(session, plan(PROMPTS[:1]), GRID.cells, Folder(tmp_path / "out"), watch())
    before = Folder(tmp_path / "out").runs
    folder, state = Folder(tmp_path / "out"), watch(stages=stages)
    todo = folder.missing(plan().keys())
    state.begin(len(plan().keys()), len(todo))
    measure(session, plan(), GRID.cells, folder, state)

    assert folder.runs[: len(before)] == before
    assert folder.missing(plan().keys()) == []
    assert "6 of 18 runs" in stages[1]
    assert "12 of 18 runs, less than a minute left" in stages[3]
    assert stages[-1] == "done: 18 of 18 runs"


def test_a_prompt_that_is_too_long_is_left_out_and_a_cell_that_fails_is_not_tried_again(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices, tried = list[str](), list[str]()

    def failing(self: Session, *arguments: object, **named: object) -> object:
        prepared = arguments[1]
        if prepared.drafter == "suffix":  # type: ignore[attr-defined]
            tried.append("suffix")
            raise ModelError("It is broken.", "Mend it.")
        return run(self, *arguments, **named)

    run: Callable[..., object] = Session.run
    monkeypatch.setattr(Session, "run", failing)
    folder = Folder(tmp_path / "out")
    state = Watch(lambda: 0.0, lambda *_: None, notices.append)
    prompts = [Prompt("a", 0, "once " * 4000), *PROMPTS[1:]]
    measure(session, plan(prompts), GRID.cells, folder, state)

    assert tried == ["suffix"]
    assert [run.error for run in folder.runs if run.error] == ["It is broken. Mend it."]
    assert any("a 0 is left out: The prompt has" in notice for notice in notices)
    assert {run.prompt for run in folder.runs if run.category == "a"} == {1}
    assert {run.cell for run in folder.runs if run.category == "b" and not run.error} >= {PLAIN, Cell("model", k=2)}


def test_a_full_disk_ends_the_sweep_in_words_and_keeps_what_was_written(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "out")
    measure(session, plan(PROMPTS[:1]), GRID.cells, folder, watch())
    kept, append = (folder.path / RUNS).read_bytes(), Folder.append

    def full(self: Folder, entry: SweepRun | About) -> None:
        if len(self.entries) > 15:
            raise TraceError("The disk is full.", "Make room.")
        append(self, entry)

    monkeypatch.setattr(Folder, "append", full)
    with pytest.raises(TraceError, match="disk is full"):
        measure(session, plan(), GRID.cells, Folder(tmp_path / "out"), watch())
    assert (folder.path / RUNS).read_bytes().startswith(kept)
    assert len(Folder(tmp_path / "out").entries) == 16


def test_what_would_spoil_the_comparison_is_refused(session: Session, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    with pytest.raises(BadRequestError, match="There is no drafter named 'eagle' here"):
        measure(session, plan(), [Cell("eagle", k=1)], folder, watch())
    session.settings = session.settings.model_copy(update={"corpus_tokens": 100})
    with pytest.raises(BadRequestError, match="keeps earlier outputs"):
        measure(session, plan(), GRID.cells, folder, watch())
    assert not folder.path.exists()


def test_models_are_loaded_once_for_all_cells_that_share_weights_and_not_for_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = list[str]()

    original = Session.load

    def load(settings: Settings, *others: object) -> Session:
        loaded.append(f"{settings.draft} {settings.drafter}")
        session = original(settings, *others)  # type: ignore[arg-type]
        monkeypatch.setattr(type(session.calibration), "measure_next", lambda _self: False)
        return session

    monkeypatch.setattr(Session, "load", load)
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(tmp_path / "cache"))
    candidates = (Candidate("model", "toy:0~3"), Candidate("suffix"), Candidate("model"))
    grid = Grid(candidates, (1, 2), ("fixed", "auto"))
    for _ in range(2):
        measure_all(settings, plan(PROMPTS[:1], grid), Folder(tmp_path / "out"), watch())

    assert loaded == ["toy:0~3 model", "toy:0~7 None"]
    folder = Folder(tmp_path / "out")
    assert {run.cell.label for run in folder.runs} == {"plain", *(cell.label for cell in grid.cells)}
    assert [about.weights for about in folder.abouts] == ["toy:0~3", ""]


def test_later_sessions_keep_the_runtime_of_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one is fastest depends on what else is loaded, for `selfspec` as for a continued sweep."""
    asked, original = list[Settings](), Session.load

    def load(settings: Settings, *others: object) -> Session:
        asked.append(settings)
        toys = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(tmp_path), max_tokens=8)
        session = original(toys, *others)  # type: ignore[arg-type]
        described = replace(session.target.description, runtime=RUNTIMES["ik"])  # type: ignore[type-var]
        monkeypatch.setattr(type(session.target), "description", described)
        monkeypatch.setattr(type(session.calibration), "measure_next", lambda _self: False)
        return session

    monkeypatch.setattr(Session, "load", load)
    settings = Settings(_env_file=None, cache_dir=str(tmp_path / "cache"), max_tokens=8)
    grid = Grid((Candidate("model", "toy:0~3"), Candidate("suffix")), (2,), ("fixed",))
    measure_all(settings, plan(PROMPTS[:1], grid), Folder(tmp_path / "out"), watch())
    own, first, second = settings.resolved(), *asked
    assert first.resolved().target == own.target
    assert (second.resolved().target, second.draft) == (f"ik:{own.target}", "none"), "suffix needs no draft model"


@pytest.mark.parametrize(
    "settings", [{"runtime": "llamacpp"}, {"target": "llamacpp:some.gguf"}, {"target": "verifier:ws://a:1"}]
)
def test_a_target_that_names_where_it_runs_stays_as_it_is(settings: dict[str, str], session: Session) -> None:
    target = model_info(session.target)
    asked = Settings(_env_file=None, **settings)  # type: ignore[arg-type]
    assert on_runtime_of(asked, target.model_copy(update={"runtime": RUNTIMES["ik"]})) is asked
    assert on_runtime_of(Settings(_env_file=None), target).target is None, "a toy runs on none of them"


def test_a_target_that_is_fixed_keeps_the_versions_of_its_profile(session: Session) -> None:
    target = model_info(session.target).model_copy(update={"runtime": RUNTIMES["ik"]})
    own = Settings(_env_file=None, profile="qwen").resolved()
    kept = on_runtime_of(Settings(_env_file=None, profile="qwen"), target).resolved()
    changed = {"name": "custom", "target": f"ik:{own.target}", "drafter": kept.drafter, "k": kept.k}
    assert kept == own.model_copy(update=changed)
