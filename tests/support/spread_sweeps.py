"""A sweep of toys that is spread over workers: its plan, workers with faults, and a cluster within this process."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from speculatoviz.config import Settings
from speculatoviz.lab.questions import Prompt, Source
from speculatoviz.lab.sweep.cells import Candidate, Grid
from speculatoviz.lab.sweep.measuring import Plan, Watch
from speculatoviz.lab.sweep.records import Folder, SweepRun
from speculatoviz.lab.sweep.spread import Answer, Lost
from speculatoviz.lab.sweep.tasks import Measured, Task, Unable, Worker
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done

PROMPTS = [Prompt("a", number, text) for number, text in enumerate(("once", "upon", "a time"))]
CANDIDATES = (Candidate("model"), Candidate("suffix"), Candidate("model", "toy:0~3"))
GRID = Grid(CANDIDATES, (1, 3), ("fixed", "adaptive"), (0.0, 0.9))
PLAN = Plan(GRID, Source(PROMPTS, "prompts.jsonl", "0" * 64))


def settings(folder: Path) -> Settings:
    return Settings(_env_file=None, target="toy:0", draft="toy:0~7", max_tokens=12, cache_dir=str(folder / "cache"))


def watch(notices: list[str] | None = None) -> Watch:
    return Watch(time.perf_counter, lambda *_: None, ([] if notices is None else notices).append)


def outcomes(folder: Folder) -> dict[object, object]:
    """What must not depend on where a run was measured: its tokens and its counts, by what was measured."""
    return {run.key: _outcome(folder, run) for run in folder.runs}


def _outcome(folder: Folder, run: SweepRun) -> object:
    events = trace.read(folder.path / run.trace).events
    text = next(event.token_ids for event in events if isinstance(event, Done))
    tested = run.tested_position, run.tested_accepted, run.tested_context_tokens, run.tested_entropy
    counts = run.prompt_tokens, run.emitted, run.drafted, run.accepted, run.finish_reason
    return run.error, run.exactness, text, counts, tested


class Doomed(Worker):
    """Measures its first task, and is killed before it returns the runs; the next worker of the sweep is not."""

    def measure(self, task: Task) -> Measured | Unable:
        found = super().measure(task)
        mark = Path(self._settings.cache_dir) / "killed"
        mark.parent.mkdir(parents=True, exist_ok=True)
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return found
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


class OtherSeed(Worker):
    """Broken: it draws other tokens than the sweep was asked for."""

    def measure(self, task: Task) -> Measured | Unable:
        self._settings = self._settings.model_copy(update={"seed": self._settings.seed + 1})
        return super().measure(task)


class InProcess:
    """A cluster without processes. Workers answer in the order in which they were asked.

    make: of a worker, by its place. lost: whether the worker of a place is lost with a task.
    """

    def __init__(
        self, places: Sequence[str], make: Callable[[str], Worker], lost: Callable[[str, Task], bool] = lambda *_: False
    ) -> None:
        self.places = places
        self.started, self.stopped = list[str](), list[str]()
        self._make, self._lost = make, lost
        self._workers: dict[str, Worker] = {}
        self._answers: deque[tuple[str, Callable[[], Answer]]] = deque()

    def start(self, place: str) -> None:
        self.started.append(place)
        self._workers[place] = self._make(place)
        self._answers.append((place, self._workers[place].introduction))

    def give(self, place: str, task: Task) -> None:
        worker = self._workers[place]
        if self._lost(place, task):
            worker.close()
            self._answers.append((place, lambda: Lost("It was killed.")))
        else:
            self._answers.append((place, lambda: worker.measure(task)))

    def stop(self, place: str) -> None:
        self.stopped.append(place)
        self._workers.pop(place).close()

    def answer(self) -> tuple[str, Answer]:
        place, found = self._answers.popleft()
        return place, found()

    def close(self) -> None:
        for place in list(self._workers):
            self.stop(place)


def workers(folder: Path, plan: Plan = PLAN, kind: type[Worker] = Worker) -> Callable[[str], Worker]:
    return lambda _place: kind(settings(folder), plan, time.perf_counter)


def shortened(prompts: int, **changed: object) -> Plan:
    """The plan with the first prompts only."""
    return replace(PLAN, source=Source(PROMPTS[:prompts], "prompts.jsonl", "0" * 64), **changed)  # type: ignore[arg-type]
