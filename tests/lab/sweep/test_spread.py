"""A sweep over several workers is the sweep of one machine, whatever workers are lost."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.questions import Prompt, Source
from speculatoviz.lab.sweep.measuring import Plan, measure_all
from speculatoviz.lab.sweep.records import Folder
from speculatoviz.lab.sweep.spread import TRIES, measure_on
from speculatoviz.lab.sweep.tasks import Introduction, Task, Worker, tasks_of
from speculatoviz.session.session import Session
from support.spread_sweeps import PLAN, PROMPTS, InProcess, OtherSeed, outcomes, settings, shortened, watch, workers


@pytest.fixture(autouse=True)
def _measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a toy's times is measured again."""
    original = Session.load

    def load(*given: object) -> Session:
        session = original(*given)  # type: ignore[arg-type]
        monkeypatch.setattr(type(session.calibration), "measure_next", lambda _self: False)
        return session

    monkeypatch.setattr(Session, "load", load)


def spread(cluster: InProcess, plan: Plan, folder: Folder, notices: list[str] | None = None) -> Folder:
    with closing(cluster):
        measure_on(cluster, plan, folder, watch(notices))
    return Folder(folder.path)


def test_the_runs_of_many_workers_are_those_of_one_machine_though_one_worker_is_lost(tmp_path: Path) -> None:
    local = Folder(tmp_path / "local")
    measure_all(settings(tmp_path), PLAN, local, watch())
    notices, given = list[str](), list[Task]()

    def lost(_place: str, task: Task) -> bool:
        given.append(task)
        return len(given) == 2

    cluster = InProcess(["one", "two"], workers(tmp_path), lost)
    found = spread(cluster, PLAN, Folder(tmp_path / "spread"), notices)

    assert outcomes(found) == outcomes(local)
    assert given.count(given[1]) == 2  # the lost task, again
    assert cluster.started == ["one", "two", "two"]
    assert [notice for notice in notices if "was lost" in notice] == notices
    keys = [run.key for run in found.runs if not run.cell.plain]
    assert len(keys) == len(set(keys)) == len(PLAN.keys())
    assert [about.weights for about in found.abouts].count("") <= 3  # two workers, and the one in place of the lost


def test_a_worker_that_draws_other_tokens_is_seen(tmp_path: Path) -> None:
    """The broken twin: the comparison above finds a worker that does not follow the seed."""
    plan = shortened(1)
    local = Folder(tmp_path / "local")
    measure_all(settings(tmp_path), plan, local, watch())
    found = spread(InProcess(["one"], workers(tmp_path, plan, OtherSeed)), plan, Folder(tmp_path / "spread"))

    assert outcomes(found).keys() == outcomes(local).keys()
    assert outcomes(found) != outcomes(local)


def test_a_task_is_one_prompt_with_cells_that_share_weights_and_plain_runs() -> None:
    tasks = tasks_of(PLAN, PLAN.keys())

    assert {(task.prompt.number, task.temperature) for task in tasks} == {(n, t) for n in range(3) for t in (0.0, 0.9)}
    assert all({cell.weights for cell in task.cells} == {task.weights} for task in tasks)
    assert max(len(task.cells) for task in tasks) == 6
    wide = replace(PLAN, grid=replace(PLAN.grid, depths=tuple(range(1, 9)), candidates=PLAN.grid.candidates[:1]))
    assert [len(task.cells) for task in tasks_of(wide, wide.keys())[:2]] == [6, 3]  # eight depths, adaptive


def test_a_finished_sweep_starts_no_worker_and_a_stopped_one_continues(tmp_path: Path) -> None:
    plan = shortened(1)
    first = spread(InProcess(["one"], workers(tmp_path, plan)), plan, Folder(tmp_path / "out"))
    again = InProcess(["one"], workers(tmp_path, plan))
    assert spread(again, plan, Folder(tmp_path / "out")).runs == first.runs
    assert again.started == []

    more = shortened(2)
    found = spread(InProcess(["one"], workers(tmp_path, more)), more, Folder(tmp_path / "out"))
    assert found.runs[: len(first.runs)] == first.runs
    assert found.missing(more.keys()) == []


def test_a_task_that_ends_every_worker_is_left_out_and_the_others_are_measured(tmp_path: Path) -> None:
    plan, notices = shortened(2), list[str]()
    fatal = tasks_of(plan, plan.keys())[0]
    cluster = InProcess(["one", "two"], workers(tmp_path, plan), lambda _, task: task == fatal)
    found = spread(cluster, plan, Folder(tmp_path / "out"), notices)

    assert {(key[1], key[2], key[3]) for key in found.missing(plan.keys())} == {
        (fatal.prompt.number, fatal.temperature, cell) for cell in fatal.cells
    }
    assert notices[-1] == f"{fatal.shown} is left out: {TRIES} workers were lost while they measured it."


def test_without_a_worker_left_the_sweep_ends_in_words_and_keeps_what_was_measured(tmp_path: Path) -> None:
    plan = shortened(2)
    cluster = InProcess(["one", "two"], workers(tmp_path, plan), lambda _, task: task.prompt.number == 1)
    with pytest.raises(BadRequestError, match=r"No worker is left\. It was killed\."):
        spread(cluster, plan, Folder(tmp_path / "out"))

    assert {key[1] for key in Folder(tmp_path / "out").missing(plan.keys())} == {1}
    assert cluster.started.count("one") >= TRIES


class Stranger(Worker):
    """On another machine, or of another version."""

    changed: dict[str, str]

    def introduction(self) -> Introduction:
        return replace(super().introduction(), **self.changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "words"), [({"machine": "Slow CPU"}, "another machine"), ({"version": "9.9"}, "version 9.9")], ids=str
)
def test_only_machines_of_one_kind_and_version_measure(changed: dict[str, str], words: str, tmp_path: Path) -> None:
    plan, notices = shortened(1), list[str]()
    own = workers(tmp_path, plan)
    Stranger.changed = changed

    def make(place: str) -> Worker:
        return own(place) if place == "one" else workers(tmp_path, plan, Stranger)(place)

    cluster = InProcess(["one", "two"], make)
    found = spread(cluster, plan, Folder(tmp_path / "out"), notices)

    assert found.missing(plan.keys()) == []
    assert {about.machine for about in found.abouts} == {found.abouts[0].machine}
    assert cluster.stopped[0] == "two"
    assert any("is not used" in notice and words in notice for notice in notices)


def test_a_machine_that_lacks_a_file_is_not_used_and_without_another_its_reason_is_the_error(tmp_path: Path) -> None:
    plan = shortened(1)
    missing = settings(tmp_path).model_copy(update={"target": str(tmp_path / "missing.gguf")})

    def broken(_place: str) -> Worker:
        return Worker(missing, plan, time.perf_counter)

    with pytest.raises(BadRequestError, match=r"No worker is left\. .*missing\.gguf"):
        spread(InProcess(["one", "two"], broken), plan, Folder(tmp_path / "out"))

    good = workers(tmp_path, plan)
    mixed = InProcess(["one", "two"], lambda place: broken(place) if place == "one" else good(place))
    assert spread(mixed, plan, Folder(tmp_path / "mixed")).missing(plan.keys()) == []


def test_a_prompt_that_is_too_long_is_left_out_in_words(tmp_path: Path) -> None:
    long = Source([Prompt("a", 0, "once " * 4000), PROMPTS[1]], "prompts.jsonl", "0" * 64)
    plan, notices = replace(PLAN, source=long), list[str]()
    found = spread(InProcess(["one"], workers(tmp_path, plan)), plan, Folder(tmp_path / "out"), notices)

    assert {key[1] for key in found.missing(plan.keys())} == {0}
    assert any("a 0 is left out: The prompt has" in notice for notice in notices)


def test_a_folder_with_runs_of_another_length_is_refused(tmp_path: Path) -> None:
    plan = shortened(1)
    spread(InProcess(["one"], workers(tmp_path, plan)), plan, Folder(tmp_path / "out"))
    other = settings(tmp_path).model_copy(update={"max_tokens": 7})
    more = shortened(2)
    with pytest.raises(BadRequestError, match="another value of tokens"):
        spread(InProcess(["one"], lambda _: Worker(other, more, time.perf_counter)), more, Folder(tmp_path / "out"))
