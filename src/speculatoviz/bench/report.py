"""The runs of `bench drafters` as a table and a figure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from speculatoviz.bench.drafters import DrafterRun
from speculatoviz.bench.drawing import svg_figure
from speculatoviz.drafters.about import DRAFTERS

Variant = tuple[str, int]


def tokens_per_round(runs: Sequence[DrafterRun]) -> float:
    """Emitted tokens divided by rounds; NaN without rounds."""
    rounds = sum(run.rounds for run in runs)
    return sum(run.tokens for run in runs) / rounds if rounds else math.nan


def variants(runs: Iterable[DrafterRun]) -> list[Variant]:
    """(drafter, nodes), in the order of DRAFTERS, chains before trees."""
    order = list(DRAFTERS)
    return sorted({(run.drafter, run.nodes) for run in runs}, key=lambda v: (order.index(v[0]), v[1]))  # type: ignore[arg-type]


def label(variant: Variant) -> str:
    drafter, nodes = variant
    return f"{drafter}, tree of {nodes}" if nodes else drafter


def table(runs: Sequence[DrafterRun]) -> str:
    """Markdown: a row for each drafter, chain and tree, and the columns of `_COLUMNS` at each temperature."""
    temperatures = sorted({run.temperature for run in runs})
    columns = [(name, temperature, of) for temperature in temperatures for name, of in _COLUMNS]
    lines = [
        "| drafter | " + " | ".join(f"{name}, T={temperature:g}" for name, temperature, _ in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for variant in variants(runs):
        cells = []
        for _, temperature, of in columns:
            own = [r for r in runs if (r.drafter, r.nodes) == variant and r.temperature == temperature]
            cells.append(of(own) if own else "–")
        lines.append(f"| {label(variant)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _speedup(runs: Sequence[DrafterRun]) -> str:
    ratios = sorted(run.speedup for run in runs)
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"


def _draft_ms(runs: Sequence[DrafterRun]) -> str:
    drafted = sum(run.drafted for run in runs)
    return f"{sum(run.draft_ms for run in runs) / drafted:.2f}" if drafted else "–"


_COLUMNS: tuple[tuple[str, Callable[[Sequence[DrafterRun]], str]], ...] = (
    ("tokens a round", lambda runs: f"{tokens_per_round(runs):.2f}"),
    ("drafted a round", lambda runs: f"{sum(r.drafted for r in runs) / sum(r.rounds for r in runs):.1f}"),
    ("draft ms a token", _draft_ms),
    ("against plain", _speedup),
)


def figure(runs: Sequence[DrafterRun], title: str, out: Path) -> None:
    """Write the tokens per round by drafter and category to an SVG file."""
    rows, categories = variants(runs), list(dict.fromkeys(run.category for run in runs))
    cells = [
        [
            tokens_per_round([r for r in runs if (r.drafter, r.nodes) == variant and r.category in among])
            for among in (*([category] for category in categories), categories)
        ]
        for variant in rows
    ]
    most = max(value for values in cells for value in values if not math.isnan(value))
    with svg_figure(out, 1.6 + 0.72 * (len(categories) + 1), 1.5 + 0.34 * len(rows)) as drawn:
        axes = drawn.add_subplot(title=title)
        axes.imshow(cells, cmap="viridis", vmin=1.0, vmax=most, aspect="auto")
        axes.set_xticks(range(len(categories) + 1), [*categories, "all"], rotation=35, ha="right")
        axes.set_yticks(range(len(rows)), [label(variant) for variant in rows])
        axes.axvline(len(categories) - 0.5, color="white", linewidth=3)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for row, values in enumerate(cells):
            for column, value in enumerate(values):
                if math.isnan(value):
                    continue
                bright = value > 1 + 0.6 * (most - 1)
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="black" if bright else "white")
