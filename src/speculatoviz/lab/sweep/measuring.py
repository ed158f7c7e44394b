"""Runs every cell of a sweep on every prompt, in turn with plain runs.

A run begins with empty contexts, so that the time to its first token contains the whole prompt, and without evidence,
so that nothing is computed for display while it is timed. The target's entropies are read afterwards, in passes of
their own over the finished text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.contexts import without_prompt_cache
from speculatoviz.lab.questions import Source
from speculatoviz.lab.sweep.cells import Cell, Grid
from speculatoviz.lab.sweep.records import Folder
from speculatoviz.lab.sweep.runner import Runner, about, check, load, measure_passes, on_runtime_of
from speculatoviz.session.session import Session

Key = tuple[str, int, float, Cell]


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep. entropy: whether to read the target's entropies. traces: whether to keep the events of every run."""

    grid: Grid
    source: Source
    entropy: bool = True
    traces: bool = True

    def keys(self, cells: Sequence[Cell] | None = None) -> list[Key]:
        """What has to be measured of some cells, of all without them; one prompt of every category comes first."""
        chosen = self.grid.cells if cells is None else cells
        return [
            (prompt.category, prompt.number, temperature, cell)
            for temperature in self.grid.temperatures
            for prompt in sorted(self.source.prompts, key=lambda prompt: prompt.number)
            for cell in chosen
        ]


@dataclass(slots=True)
class Watch:
    """Who is told of a sweep's state. clock: seconds. progress: receives the runs that are done, with the time left.

    notice: receives one sentence for what is left out. total, done: runs of the whole sweep.
    """

    clock: Callable[[], float]
    progress: Progress
    notice: Callable[[str], None]
    total: int = 0
    done: int = 0
    _begun_s: float | None = None
    _begun_done: int = 0

    def begin(self, total: int, left: int) -> None:
        """Note how many runs there are, and how many of them are still to do."""
        self.total, self.done = total, total - left

    def finished(self, runs: int) -> None:
        """Count runs that were made or left out."""
        self.done += runs

    def at(self, where: str) -> None:
        """Report what is measured next."""
        now_s = self.clock()
        if self._begun_s is None:
            self._begun_s, self._begun_done = now_s, self.done
        made, left = self.done - self._begun_done, self.total - self.done
        time_left = f", {_duration((now_s - self._begun_s) / made * left)} left" if made and left else ""
        share = self.done / self.total if self.total else 1.0
        self.progress(f"{where}: {self.done} of {self.total} runs{time_left}", share)


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 100 else f"about {minutes / 60:.1f} h"


def measure_all(settings: Settings, plan: Plan, folder: Folder, watch: Watch) -> None:
    """Load what the cells need, in turn, and append a line for each run to the folder.

    Runs that the folder holds are not repeated; those that failed are tried again. A prompt that the target cannot
    decode alone is left out. Raises what `Session.load` raises, BadRequestError for a drafter that there is not, or if
    the folder holds runs that cannot be compared with these, and TraceError if the folder cannot be written any more.
    """
    todo = folder.missing(plan.keys())
    watch.begin(len(plan.keys()), len(todo))
    for weights in dict.fromkeys(cell.weights for cell in plan.grid.cells):
        own = [cell for cell in plan.grid.cells if cell.weights == weights]
        cells = [cell for cell in own if any(key[3] == cell for key in todo)]
        if not cells:
            continue
        fixed = on_runtime_of(settings, folder.abouts[-1].target) if folder.abouts else settings
        with closing(load(fixed, own, watch.clock, watch.progress)) as session:
            measure(session, plan, cells, folder, watch)


def measure(session: Session, plan: Plan, cells: Sequence[Cell], folder: Folder, watch: Watch) -> None:
    """Measure cells on a loaded session. Arguments and errors as for `measure_all`."""
    check(session, cells)
    folder.check(about(session, plan.source, cells[0].weights))
    measure_passes(session, watch.progress)
    folder.open()
    folder.append(about(session, plan.source, cells[0].weights))
    keep = folder.keep_trace if plan.traces else None
    runner = Runner(session, plan.entropy, keep, watch.notice)
    todo = folder.missing(plan.keys(cells))
    prompts = {(prompt.category, prompt.number): prompt for prompt in plan.source.prompts}
    with without_prompt_cache(session):
        for (category, number, temperature), group in groupby(todo, key=lambda key: key[:3]):
            wanted = [key[3] for key in group]
            prompt = prompts[category, number]
            watch.at(f"{category} {number}, T={temperature:g}")
            try:
                for run in runner.runs(prompt, temperature, wanted):
                    folder.append(run)
            except BadRequestError as error:
                watch.notice(f"{category} {number} is left out: {error}")
            watch.finished(len(wanted))
    watch.at("done")
