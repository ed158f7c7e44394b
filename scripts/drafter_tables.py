"""The table of docs/drafters.md for one sweep, as Markdown, and its figure: tokens a round by drafter and category.

    speculatoviz bench sweep PROMPTS --per-category 1 --drafter ... -k 4 --nodes 0,12 --max-tokens 64 --out SWEEP
    python scripts/drafter_tables.py SWEEP --figure docs/images/drafters-qwen.svg

The last column is the median of the paired ratios to plain decoding, one for each prompt, with their quartiles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from speculatoviz.lab.drawing import svg_figure
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.records import Folder
from speculatoviz.lab.sweep.summary import Summary, drafted_token_ms

HEADER = """| drafter | tokens a round | drafted a round | draft ms a token | against plain |
|---|---:|---:|---:|---:|"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    runs = [run for run in Folder(arguments.sweep).runs if run.error is None]
    summary, temperature = Summary(runs), arguments.temperature
    print(HEADER)
    for cell in cells(summary):
        print(row(summary, cell, temperature))
    print(f"\nother programs: {summary.foreign_share:.3f} of the processor time; plain runs of a prompt differ by a")
    print(f"factor of {summary.plain_spread:.3f} in the median")
    if arguments.figure is not None:
        draw(summary, temperature, arguments.figure)


def cells(summary: Summary) -> list[Cell]:
    """The choices, without `auto` on the drafters of further weights."""
    return [cell for cell in summary.cells if cell.policy == "fixed" or not cell.weights]


def name(cell: Cell) -> str:
    """A choice, by its drafter: all chains have one depth."""
    tree = f", tree of {cell.nodes}" if cell.nodes else ""
    return (cell.source if cell.policy == "fixed" else cell.policy) + tree


def row(summary: Summary, cell: Cell, temperature: float) -> str:
    """A line of the table."""
    runs = summary.select(cell, temperature)
    rounds, drafted = sum(len(run.emitted) for run in runs), sum(sum(run.drafted) for run in runs)
    tokens = sum(run.tokens for run in runs)
    low, middle, high = np.percentile(list(summary.speedups(cell, temperature).values()), [25, 50, 75])
    each = drafted_token_ms(runs)
    return (
        f"| {name(cell)} | {tokens / rounds:.2f} | {drafted / rounds:.1f} | {each:.2f} | "
        f"{middle:.2f} ({low:.2f} to {high:.2f}) |"
    )


def draw(summary: Summary, temperature: float, path: Path) -> None:
    """The figure: a row for each choice, a column for each category."""
    shares = np.array(
        [
            [summary.of(cell, temperature, category).tokens_per_round.value for category in summary.categories]
            for cell in cells(summary)
        ]
    )
    with svg_figure(path, 8.75, 0.26 * len(shares) + 1.3) as figure:
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=1.0, aspect="auto")
        axes.set_xticks(
            range(len(summary.categories)),
            [c.replace("_", " ") for c in summary.categories],
            rotation=40,
            ha="right",
            rotation_mode="anchor",
        )
        axes.set_yticks(range(len(shares)), [name(cell) for cell in cells(summary)])
        axes.set_xlabel("tokens a round; plain decoding has 1")
        dark = (1.0 + shares.max()) / 2
        for (place, column), share in np.ndenumerate(shares):
            axes.text(column, place, f"{share:.2f}", ha="center", va="center", color="w" if share > dark else "k")


if __name__ == "__main__":
    main()
