"""A sweep as an object: its runs, its best choices, its report."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from speculatoviz.lab import html
from speculatoviz.lab.report.answer import answer
from speculatoviz.lab.report.page import write
from speculatoviz.lab.report.sections import choices
from speculatoviz.lab.report.words import model
from speculatoviz.lab.run import Run, open_trace
from speculatoviz.lab.sweep.records import Folder, SweepRun, require_runs
from speculatoviz.lab.sweep.summary import ALL, Choice, Summary


class Sweep:
    """The results that `Pair.sweep` or `speculatoviz bench sweep` wrote. Raises BadRequestError without any."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.runs: list[SweepRun] = list(require_runs(folder))
        self.summary = Summary(self.runs)

    @property
    def path(self) -> Path:
        """The folder that holds them."""
        return self._folder.path

    @cached_property
    def answer(self) -> tuple[str, str]:
        """Whether speculation pays, and why, in two sentences."""
        return answer(self.summary, model(self._folder.abouts[-1].target))

    def best(self, temperature: float | None = None, category: str = ALL) -> Choice:
        """The fastest choice at a temperature, the lowest one of the sweep without it."""
        return self.summary.best(self.summary.temperatures[0] if temperature is None else temperature, category)

    def trace(self, run: SweepRun) -> Run:
        """The events of a run. Raises TraceError if the sweep kept none."""
        return open_trace(self.path / run.trace)

    def report(self, file: str | os.PathLike[str] | None = None) -> Path:
        """Write the report; returns its path, `report.html` in the folder without one. Raises BadRequestError."""
        out = self.path / "report.html" if file is None else Path(file)
        write(self._folder, out)
        return out

    def __repr__(self) -> str:
        return f"<Sweep of {len(self.runs)} runs in {self.path}>"

    def _repr_html_(self) -> str:
        tables = choices(self.summary).tables
        shown = [html.table(of.caption, of.head, [[entry.text for entry in row] for row in of.rows]) for of in tables]
        return html.sweep(self.answer, shown)


def open_sweep(path: str | os.PathLike[str]) -> Sweep:
    """The results in a folder. Raises BadRequestError if it holds none."""
    return Sweep(Folder(Path(path)))
