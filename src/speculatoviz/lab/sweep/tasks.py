"""The parts of a sweep that go to many machines, and what measures one of them in a process there.

A task is one prompt at one temperature with up to six cells of the same weights, and the plain runs before and after
them. A run and the plain runs that it is compared with are therefore always of one process on one machine.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import groupby

from speculatoviz.config import Settings
from speculatoviz.core.progress import unreported
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.lab.contexts import without_prompt_cache
from speculatoviz.lab.interleaving import TOGETHER
from speculatoviz.lab.questions import Prompt
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.measuring import Key, Plan
from speculatoviz.lab.sweep.records import About, SweepRun
from speculatoviz.lab.sweep.runner import Runner, about, check, load, measure_passes, on_runtime_of
from speculatoviz.machine import describe
from speculatoviz.session.session import Session
from speculatoviz.telemetry.mapping import model_info


@dataclass(frozen=True, slots=True)
class Task:
    """Cells with the same weights to measure on one prompt, at most as many as share their plain runs."""

    prompt: Prompt
    temperature: float
    cells: tuple[Cell, ...]

    @property
    def weights(self) -> str:
        return self.cells[0].weights

    @property
    def shown(self) -> str:
        return f"{self.prompt.category} {self.prompt.number}, T={self.temperature:g}"


def tasks_of(plan: Plan, todo: Sequence[Key]) -> list[Task]:
    """The tasks that measure these keys of a plan: by weights, then in the order of the keys."""
    prompts = {(prompt.category, prompt.number): prompt for prompt in plan.source.prompts}
    found = list[Task]()
    for weights in dict.fromkeys(cell.weights for cell in plan.grid.cells):
        own = [key for key in todo if key[3].weights == weights]
        for (category, number, temperature), group in groupby(own, key=lambda key: key[:3]):
            cells = [key[3] for key in group]
            for first in range(0, len(cells), TOGETHER):
                some = tuple(cells[first : first + TOGETHER])
                found.append(Task(prompts[category, number], temperature, some))
    return found


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a worker is. machine: as `machine.describe` has it. version: of this program there."""

    host: str
    process: int
    machine: str
    version: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs of a task with their traces, None where none was kept. left_out: why the prompt cannot be decoded."""

    about: About
    runs: tuple[tuple[SweepRun, bytes | None], ...]
    notices: tuple[str, ...]
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Unable:
    """The worker cannot measure this task, for example because a file is missing on its machine."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a worker holds. traces, notices: of the task that it measures."""

    weights: str
    session: Session
    runner: Runner
    about: About
    traces: list[bytes]
    notices: list[str]


class Worker:
    """Measures tasks in its process, one after another. It keeps the models loaded that its last task needed.

    settings, plan: of the whole sweep. clock: seconds.
    """

    def __init__(self, settings: Settings, plan: Plan, clock: Callable[[], float]) -> None:
        self._settings, self._plan, self._clock = settings, plan, clock
        self._loaded: _Loaded | None = None

    def introduction(self) -> Introduction:
        return Introduction(socket.gethostname(), os.getpid(), describe(), version("speculatoviz"))

    def measure(self, task: Task) -> Measured | Unable:
        """Measure a task. What is wrong with this machine is returned, as any answer to another machine is."""
        try:
            loaded = self._with(task.weights)
        except SpeculatoVizError as error:
            return Unable(str(error))
        loaded.traces.clear()
        loaded.notices.clear()
        runs, left_out = list[SweepRun](), ""
        try:
            with without_prompt_cache(loaded.session):
                runs.extend(loaded.runner.runs(task.prompt, task.temperature, task.cells))
        except BadRequestError as error:
            left_out = str(error)
        return Measured(loaded.about, tuple(_with_traces(runs, loaded.traces)), tuple(loaded.notices), left_out)

    def close(self) -> None:
        """Free the models."""
        if self._loaded is not None:
            self._loaded.session.close()
        self._loaded = None

    def _with(self, weights: str) -> _Loaded:
        """The models for these weights, loaded if they are not held. Raises SpeculatoVizError."""
        if self._loaded is None or self._loaded.weights != weights:
            self.close()
            self._loaded = self._load(weights)
        return self._loaded

    def _load(self, weights: str) -> _Loaded:
        cells = [cell for cell in self._plan.grid.cells if cell.weights == weights]
        session = load(self._settings, cells, self._clock, unreported)
        self._settings = on_runtime_of(self._settings, model_info(session.target))
        try:
            check(session, cells)
            measure_passes(session, unreported)
            on = about(session, self._plan.source, weights)
        except BaseException:
            session.close()
            raise
        traces, notices = list[bytes](), list[str]()

        def keep(data: bytes) -> str:
            traces.append(data)
            return str(len(traces) - 1)

        runner = Runner(session, self._plan.entropy, keep if self._plan.traces else None, notices.append)
        return _Loaded(weights, session, runner, on, traces, notices)


def _with_traces(runs: Sequence[SweepRun], traces: Sequence[bytes]) -> Iterator[tuple[SweepRun, bytes | None]]:
    """The runs with their traces; the `trace` of a run is the place of its own among them."""
    for run in runs:
        yield replace(run, trace=""), traces[int(run.trace)] if run.trace else None
