"""The traces that a sweep kept of one of its choices, for settings of other engines and for passports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.records import RUNS, Folder, SweepRun, require_runs
from speculatoviz.lab.sweep.summary import Summary


class SweepTraces(NamedTuple):
    """What was chosen, in words, and the (category, file) of each of its runs."""

    choice: str
    files: tuple[tuple[str, Path], ...]


def is_sweep(path: Path) -> bool:
    """Whether a path is the folder of a sweep."""
    return (path / RUNS).is_file()


def sweep_traces(
    path: Path, drafter: str | None = None, k: int | None = None, temperature: float | None = None
) -> SweepTraces:
    """The traces of the fastest chain of a sweep whose depth is fixed, for one drafter or depth if they are named.

    temperature: the lowest one of the sweep without it. Plain decoding is no choice here: whether speculation pays is
    another matter on another machine. Raises BadRequestError if the sweep has no such choice, or kept no traces.
    """
    summary = Summary(require_runs(Folder(path)))
    chosen = summary.temperatures[0] if temperature is None else temperature
    runs = [run for run in summary.runs if run.temperature == chosen and _fits(run.cell, drafter, k)]
    if not runs:
        raise BadRequestError(
            f"{path} has no chain of a fixed depth with this drafter, depth and temperature.",
            f"It has: {_listed(summary)}.",
        )
    cells = list(dict.fromkeys(run.cell for run in runs))
    best = max(cells, key=lambda cell: summary.of(cell, chosen).speedup.value)
    kept = [run for run in runs if run.cell == best and run.trace]
    if not kept:
        raise BadRequestError(f"{path} was measured without traces.", "Measure it again without --no-traces.")
    speedup = summary.of(best, chosen).speedup.value
    return SweepTraces(
        f"{best.label}, temperature {chosen:g}, {speedup:.2f}× there",
        tuple((run.category, path / run.trace) for run in kept),
    )


def _fits(cell: Cell, drafter: str | None, k: int | None) -> bool:
    return (
        cell.policy == "fixed"
        and not cell.plain
        and not cell.nodes
        and drafter in {None, cell.drafter}
        and k in {None, cell.k}
    )


def _listed(summary: Summary) -> str:
    """The choices that could be named."""
    found: Sequence[SweepRun] = [run for run in summary.runs if _fits(run.cell, None, None)]
    labels = dict.fromkeys(f"{run.cell.label} at temperature {run.temperature:g}" for run in found)
    return "; ".join(labels) or "no chain of a fixed depth"
