"""The figures of the report. Solid is measured, dashed is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speculatoviz.lab.drawing import INK, PARTS, SERIES, SOFT, themed_svg
from speculatoviz.lab.report.answer import fastest
from speculatoviz.lab.statistics import Estimate
from speculatoviz.lab.sweep.cells import PLAIN, Cell
from speculatoviz.lab.sweep.summary import PARTS as PART_NAMES
from speculatoviz.lab.sweep.summary import (
    Summary,
    acceptance_of,
    drafted_token_ms,
    drafting_share,
    expected_speedup,
    plain_round,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 7.6  # inches
_TICKS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_SHAPES = ("o", "s", "D", "^", "v", "P")
_ALWAYS = 0.9  # the formula is for drafters that draft in every round; the last rounds of a text may be too short


@dataclass(frozen=True, slots=True)
class Curve:
    """Speedups of one drafter by depth.

    measured: of its chains of fixed depth. expected: by the formula, also for depths that were not run; empty for a
    drafter that leaves rounds without a draft. acceptance, draft_ms: what the formula is given. drafting: the share of
    rounds that drafted.
    """

    drafter: str
    measured: Mapping[int, Estimate]
    expected: Mapping[int, float]
    acceptance: float
    draft_ms: float
    drafting: float


def shown(summary: Summary, temperature: float) -> list[Cell]:
    """The cells that figures show: the fastest fixed depth of each drafter, then the policies; six at most."""
    fixed: dict[str, Cell] = {}
    policies = list[Cell]()
    for cell in summary.cells:
        if not summary.of(cell, temperature).speedup.known:
            continue
        if cell.policy != "fixed":
            policies.append(cell)
        elif cell.source not in fixed or _speedup(summary, cell, temperature) > _speedup(
            summary, fixed[cell.source], temperature
        ):
            fixed[cell.source] = cell
    best_first = sorted(fixed.values(), key=lambda cell: -_speedup(summary, cell, temperature))
    return [*best_first, *policies][: len(SERIES)] or [fastest(summary, temperature)]


def styles(summary: Summary) -> dict[str, tuple[str, str]]:
    """Colour and marker of each drafter, whatever its depth, and each policy: the same in all figures of a page."""
    first = [cell for temperature in summary.temperatures for cell in shown(summary, temperature)]
    names = dict.fromkeys(_line(cell) for cell in [*first, *summary.cells] if not cell.plain)
    return {name: (SERIES[place % len(SERIES)], _SHAPES[place % len(SERIES)]) for place, name in enumerate(names)} | {
        PLAIN.label: (SOFT, "o")
    }


def deepest(summary: Summary, temperature: float) -> list[Cell]:
    """The deepest chain of each drafter, six at most; without chains the cells of the other figures."""
    found: dict[str, Cell] = {}
    for cell in summary.cells:
        chain = cell.policy == "fixed" and not cell.nodes and summary.of(cell, temperature).prompts
        if chain and (cell.source not in found or (cell.k or 0) > (found[cell.source].k or 0)):
            found[cell.source] = cell
    return [*found.values()][: len(SERIES)] or shown(summary, temperature)


def curves(summary: Summary, temperature: float, pass_ms: Mapping[int, float]) -> list[Curve]:
    """One for each drafter with two fixed depths or more."""
    found = []
    plain = plain_round(summary.select(PLAIN, temperature))
    chains = [cell for cell in summary.cells if cell.policy == "fixed" and not cell.nodes]
    for drafter in dict.fromkeys(cell.source for cell in chains):
        cells = [cell for cell in chains if cell.source == drafter]
        runs = [run for cell in cells for run in summary.select(cell, temperature)]
        measured = {cell.k: summary.of(cell, temperature).speedup for cell in cells if cell.k is not None}
        measured = {k: speedup for k, speedup in sorted(measured.items()) if speedup.known}
        if len(measured) < 2:
            continue
        acceptance, draft_ms, drafting = acceptance_of(runs), drafted_token_ms(runs), drafting_share(runs)
        depths = range(1, max(measured) + 1) if drafting >= _ALWAYS else ()
        expected = {k: expected_speedup(acceptance, k, draft_ms, pass_ms, plain) for k in depths}
        known = {k: value for k, value in expected.items() if not math.isnan(value)}
        found.append(Curve(drafter, measured, known, acceptance, draft_ms, drafting))
    return found


def by_category(summary: Summary, temperature: float, cells: Sequence[Cell], name: str) -> str:
    """Speedups by category with their intervals, all prompts last."""
    rows, looks = summary.groups, styles(summary)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="speedup against plain decoding")
        _ratio_axis(axes, "x", [summary.of(cell, temperature, category).speedup for cell in cells for category in rows])
        for number, cell in enumerate(cells):
            colour, shape = looks[_line(cell)]
            shift = 0.7 * ((number + 0.5) / len(cells) - 0.5)
            marks = [summary.of(cell, temperature, category).speedup for category in rows]
            places = [place + shift for place in range(len(rows))]
            for place, mark in zip(places, marks, strict=True):
                axes.plot([mark.low, mark.high], [place, place], color=colour, linewidth=1)
            values = [mark.value for mark in marks]
            axes.plot(values, places, shape, color=colour, markersize=4, label=cell.label)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if len(rows) > 1:
            axes.axhline(len(rows) - 1.5, color=SOFT, linewidth=0.5)
        _legend(figure)

    title = f"Speedup by category at T={temperature:g}; the numbers are in the table below."
    return themed_svg(draw, name, title, _WIDTH, 1.2 + len(rows) * max(0.28, 0.1 * len(cells)) + 0.1 * len(cells))


def by_position(summary: Summary, temperature: float, cells: Sequence[Cell], name: str) -> str:
    """Acceptance by position in the draft: conditional as solid lines, unconditional as dotted ones."""
    looks = styles(summary)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="position in the draft", ylabel="accepted", ylim=(0, 1.02))
        axes.spines[["top", "right"]].set_visible(False)
        deepest = 1
        for cell in cells:
            colour, shape = looks[_line(cell)]
            found = summary.positions(cell, temperature)
            places = list(range(1, len(found.conditional) + 1))
            deepest = max(deepest, len(places))
            for place, mark in zip(places, found.conditional, strict=True):
                axes.plot([place, place], [mark.low, mark.high], color=colour, linewidth=1)
            conditional = [mark.value for mark in found.conditional]
            axes.plot(places, conditional, f"-{shape}", color=colour, markersize=4, label=cell.label)
            unconditional = [mark.value for mark in found.unconditional]
            axes.plot(places, unconditional, ":", color=colour, linewidth=1.5)
        axes.set_xticks(range(1, deepest + 1))
        axes.plot([], [], "-", color=SOFT, label="of the rounds that tested it")
        axes.plot([], [], ":", color=SOFT, label="of all rounds that drafted")
        _legend(figure)

    title = f"Share of accepted tokens by position at T={temperature:g}; the numbers are in the table below."
    return themed_svg(draw, name, title, _WIDTH, 3.0)


def costs(summary: Summary, temperature: float, cells: Sequence[Cell], name: str) -> str:
    """Milliseconds for each emitted token, by the parts of a round."""
    rows = [PLAIN, *cells]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="ms for each emitted token")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        ends = [0.0] * len(rows)
        for part, colour in zip(PART_NAMES, PARTS, strict=True):
            widths = [summary.of(cell, temperature).parts_ms[part] for cell in rows]
            if sum(widths) > 0.0:
                axes.barh(range(len(rows)), widths, left=ends, height=0.6, color=colour, label=part)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        axes.axvline(ends[0], color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_yticks(range(len(rows)), [cell.label for cell in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _legend(figure, len(PART_NAMES))

    title = f"Time for each emitted token by part at T={temperature:g}; the numbers are in the table below."
    return themed_svg(draw, name, title, _WIDTH, 0.9 + 0.3 * len(rows))


def by_depth(summary: Summary, found: Sequence[Curve], temperature: float, name: str) -> str:
    """Speedups by depth: measured as solid lines with intervals, by the formula as dashed lines."""
    looks = styles(summary)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel="drafted tokens of a round, k", ylabel="speedup against plain decoding")
        computed = [Estimate(value) for curve in found for value in curve.expected.values()]
        _ratio_axis(axes, "y", [*(mark for curve in found for mark in curve.measured.values()), *computed])
        for curve in found[: len(SERIES)]:
            colour, shape = looks[curve.drafter]
            for k, mark in curve.measured.items():
                axes.plot([k, k], [mark.low, mark.high], color=colour, linewidth=1)
            values = [mark.value for mark in curve.measured.values()]
            axes.plot([*curve.measured], values, f"-{shape}", color=colour, markersize=4, label=curve.drafter)
            axes.plot([*curve.expected], [*curve.expected.values()], "--", color=colour, linewidth=1)
        axes.set_xticks(range(1, max(k for curve in found for k in curve.measured) + 1))
        axes.plot([], [], "--", color=SOFT, label="by the formula")
        _legend(figure)

    title = f"Speedup by depth at T={temperature:g}, measured and by the formula; the numbers are in the table below."
    return themed_svg(draw, name, title, _WIDTH, 3.2)


def _line(cell: Cell) -> str:
    """What a line of a figure stands for: a drafter, whatever its depth, or a policy."""
    return cell.source if cell.policy == "fixed" and not cell.plain else cell.label


def _speedup(summary: Summary, cell: Cell, temperature: float) -> float:
    return summary.of(cell, temperature).speedup.value


def _ratio_axis(axes: Axes, which: str, marks: Sequence[Estimate]) -> None:
    """A logarithmic axis that holds all ratios, with a line at 1."""
    from matplotlib.ticker import NullLocator

    values = [1.0, *(value for mark in marks for value in mark if value > 0.0)]  # not NaN
    low, high = min(values) / 1.08, max(values) * 1.08
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    names = [f"{tick:g}" for tick in ticks]
    axes.spines[["top", "right"]].set_visible(False)
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_xticks(ticks, names)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.axvline(1.0, color=INK, linewidth=0.8)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, names)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.axhline(1.0, color=INK, linewidth=0.8)


def _legend(figure: Figure, columns: int = 2) -> None:
    figure.legend(loc="outside lower left", ncols=columns)
