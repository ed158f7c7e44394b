"""Hands the tasks of a sweep to workers on many machines, and writes what they return to one folder.

Only workers on machines of one description measure, because rates of different machines must not be mixed. A task
whose worker is lost goes to another worker. What is written is what a sweep on one machine writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Protocol

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.sweep.measuring import Plan, Watch
from speculatoviz.lab.sweep.records import About, Folder
from speculatoviz.lab.sweep.tasks import Introduction, Measured, Task, Unable, tasks_of

TRIES = 3  # of a task, and of a place without a task that is done


@dataclass(frozen=True, slots=True)
class Lost:
    """The process of a worker ended, or its machine."""

    reason: str


Answer = Introduction | Measured | Unable | Lost


class Cluster(Protocol):
    """Machines with room for one worker each. places: their names."""

    @property
    def places(self) -> Sequence[str]: ...

    def start(self, place: str) -> None:
        """Begin a worker at a place, in place of an earlier one. Its first answer is its introduction."""

    def give(self, place: str, task: Task) -> None:
        """Let the worker of a place measure a task."""

    def stop(self, place: str) -> None:
        """End the worker of a place."""

    def answer(self) -> tuple[str, Answer]:
        """Wait for the next answer of any worker. Returns its place with it."""


def measure_on(cluster: Cluster, plan: Plan, folder: Folder, watch: Watch) -> None:
    """Measure on the machines of a cluster what the folder does not hold yet, and append it to the folder.

    Raises BadRequestError if the folder holds runs that cannot be compared with these, or if no worker is left, and
    TraceError if the folder cannot be written any more. What was appended before stays.
    """
    todo = folder.missing(plan.keys())
    watch.begin(len(plan.keys()), len(todo))
    if todo:
        _Spread(cluster, folder, watch, tasks_of(plan, todo)).run()
    watch.at("done")


@dataclass(slots=True)
class _Place:
    """A worker. weights: of its last task, which it holds. losses: since the last task that was done there."""

    name: str
    task: Task | None = None
    ready: bool = False
    weights: str | None = None
    losses: int = 0


@dataclass(slots=True)
class _Spread:
    cluster: Cluster
    folder: Folder
    watch: Watch
    queue: list[Task]
    _places: dict[str, _Place] = field(default_factory=dict)
    _lost: Counter[Task] = field(default_factory=Counter)
    _abouts: list[About] = field(default_factory=list)  # that were appended
    _machine: str = ""
    _last: str = "No machine has room for a worker."  # reason why a worker is not used

    def run(self) -> None:
        """Until every task is done or left out."""
        self._machine = self.folder.abouts[-1].machine if self.folder.abouts else ""
        for place in self.cluster.places:
            self._places[place] = _Place(place)
            self.cluster.start(place)
        self.watch.progress(f"waiting for {len(self._places)} workers", None)
        while self.queue or any(place.task is not None for place in self._places.values()):
            if not self._places:
                raise BadRequestError(
                    f"No worker is left. {self._last}",
                    "What was measured is kept: mend the cluster and start the same command again.",
                )
            name, answer = self.cluster.answer()
            self._took(name, self._places[name], answer)
            self._feed()

    def _took(self, name: str, place: _Place, answer: Answer) -> None:
        task, place.task = place.task, None
        match answer:
            case Introduction():
                self._introduced(name, place, answer)
            case Measured() if task is not None:
                place.losses = 0
                self._write(task, answer)
            case Unable():
                self._again(task)
                self._dismiss(name, answer.reason)
            case Lost():
                self._lose(name, place, task, answer.reason)

    def _introduced(self, name: str, place: _Place, worker: Introduction) -> None:
        place.name = f"{worker.host} (process {worker.process})"
        self._machine = self._machine or worker.machine
        if worker.version != version("speculatoviz"):
            self._dismiss(name, f"It has version {worker.version} of SpeculatoViz, and here is another one.")
        elif worker.machine != self._machine:
            self._dismiss(name, f"It is another machine ({worker.machine}) than the others ({self._machine}).")
        else:
            place.ready = True

    def _write(self, task: Task, answer: Measured) -> None:
        if not self._abouts:
            self.folder.check(answer.about)
            self.folder.open()
        if answer.about not in self._abouts:
            self.folder.append(answer.about)
            self._abouts.append(answer.about)
        for run, data in answer.runs:
            self.folder.append(run if data is None else replace(run, trace=self.folder.keep_trace(data)))
        for notice in answer.notices:
            self.watch.notice(notice)
        if answer.left_out:
            self.watch.notice(f"{task.prompt.category} {task.prompt.number} is left out: {answer.left_out}")
        self._done(task)

    def _lose(self, name: str, place: _Place, task: Task | None, reason: str) -> None:
        place.losses += 1
        place.ready, place.weights = False, None
        self.watch.notice(f"A worker was lost: {place.name}. {reason}")
        if task is not None:
            self._lost[task] += 1
            if self._lost[task] < TRIES:
                self._again(task)
            else:
                self.watch.notice(f"{task.shown} is left out: {TRIES} workers were lost while they measured it.")
                self._done(task)
        if place.losses < TRIES:
            self.cluster.start(name)
        else:
            self._dismiss(name, reason)

    def _again(self, task: Task | None) -> None:
        """Later: a task that ends its workers must not keep them from the others."""
        if task is not None:
            self.queue.append(task)

    def _dismiss(self, name: str, reason: str) -> None:
        place = self._places.pop(name)
        self._last = reason
        self.watch.notice(f"A worker is not used: {place.name}. {reason}")
        self.cluster.stop(name)

    def _done(self, task: Task) -> None:
        self.watch.finished(len(task.cells))
        self.watch.at(task.shown)

    def _feed(self) -> None:
        """Give every worker without a task one, if possible one whose models it has loaded."""
        for name, place in self._places.items():
            if place.ready and place.task is None and self.queue:
                held = (task for task in self.queue if task.weights == place.weights)
                task = next(held, self.queue[0])
                self.queue.remove(task)
                place.task, place.weights = task, task.weights
                self.cluster.give(name, task)
