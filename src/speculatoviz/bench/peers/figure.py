"""The figure of a measurement: categories on one axis, ratios on the other, a mark for each way that is compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from speculatoviz.bench.peers.comparison import ALL, Comparison
from speculatoviz.bench.peers.runs import AUTO, OWN, PLAIN, About, PeerRun, Way
from speculatoviz.bench.peers.summary import by_temperature
from speculatoviz.lab.drawing import svg_figure
from speculatoviz.lab.statistics import geometric_mean, interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#6a4fc4", "#00807a", "#b25d00", "#7a1f4b")  # of this engine's runtimes
_OTHERS = ("#222222", "#888888")  # of other engines
_TICKS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A ratio with its interval; NaN for a bound that is not known."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Series:
    """The marks of one way by category, those of all categories last. shape: a marker of matplotlib."""

    label: str
    colour: str
    shape: str
    marks: tuple[Mark, ...]


def series(comparison: Comparison, about: About) -> list[Series]:
    """What the figure shows at one temperature; a way that was not measured is left out."""
    found = []
    for colour, runtime in zip(_COLOURS, comparison.runtimes, strict=False):
        own, on = comparison.own(runtime), f"{OWN} on {runtime}"
        fixed = [way for way in own if way.depth or way.name == PLAIN]
        if runtime != comparison.reference.runtime:
            found.append(Series(f"{on}: plain", colour, "s", _marks(comparison, _named(own, PLAIN))))
        found.append(Series(f"{on}: best fixed choice", colour, "D", _marks(comparison, fixed)))
        found.append(Series(f"{on}: auto", colour, "o", _marks(comparison, _named(own, AUTO))))
        standings = comparison.standings(runtime, about.pass_ms.get(runtime, {})).values()
        found.append(Series(f"{on}: bound", colour, "_", tuple(Mark(one.bound * one.plain) for one in standings)))
    engines = dict.fromkeys(way.engine for way in comparison.ways if way.engine != OWN)
    for colour, engine in zip(_OTHERS, engines, strict=False):
        ways = comparison.of(engine)
        found.append(Series(f"{engine}: plain", colour, "s", _marks(comparison, _named(ways, PLAIN))))
        found.append(Series(f"{engine}: best way", colour, "^", _marks(comparison, ways)))
    return [one for one in found if not all(math.isnan(mark.value) for mark in one.marks)]


def figure(runs: Sequence[PeerRun], about: About, out: Path) -> None:
    """Write an SVG file with a panel for each temperature."""
    compared = by_temperature(runs, about)
    columns = max(len(comparison.categories) for comparison in compared.values()) + 1
    with svg_figure(out, 3.6 + 0.75 * columns, 1.0 + 3.2 * len(compared)) as drawn:
        panels = drawn.subplots(len(compared), squeeze=False)[:, 0]
        for axes, (temperature, comparison) in zip(panels, compared.items(), strict=True):
            axes.set_title(f"{about.target}, T={temperature:g}", loc="left")
            axes.set_ylabel(f"rate ÷ {about.reference.label}")
            _draw(axes, comparison.categories, series(comparison, about))


def _marks(comparison: Comparison, ways: Sequence[Way]) -> tuple[Mark, ...]:
    """The fastest of some ways in each category, in hindsight; last, all these runs together."""
    chosen = {category: comparison.best(ways, category) for category in comparison.categories}
    ratios = [
        list(comparison.ratios(way, category).values()) if way is not None else [] for category, way in chosen.items()
    ]
    together = [ratio for some in ratios for ratio in some]
    return tuple(Mark(geometric_mean(some), *interval(some)) for some in (*ratios, together))


def _named(ways: Sequence[Way], name: str) -> list[Way]:
    return [way for way in ways if way.name == name]


def _draw(axes: Axes, categories: Sequence[str], shown: Sequence[Series]) -> None:
    """Draw one panel: a column for each category, in which the series stand side by side."""
    axes.set_yscale("log", base=2)
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.axhline(1.0, color="#999999", linewidth=0.8)
    axes.axvline(len(categories) - 0.5, color="#999999", linewidth=0.8)
    axes.set_xticks(range(len(categories) + 1), [*categories, ALL], rotation=35, ha="right")
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)
    for number, one in enumerate(shown):
        shift = 0.7 * ((number + 0.5) / len(shown) - 0.5)
        places = [place + shift for place in range(len(one.marks))]
        for place, mark in zip(places, one.marks, strict=True):
            axes.plot([place, place], [mark.low, mark.high], color=one.colour, linewidth=0.8)
        values = [mark.value for mark in one.marks]
        axes.plot(places, values, one.shape, color=one.colour, markersize=5, fillstyle=_fill(one), label=one.label)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _fill(one: Series) -> Literal["full", "none"]:
    """What was chosen in hindsight is hollow."""
    return "none" if one.shape in ("D", "^") else "full"
