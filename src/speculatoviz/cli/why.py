"""The command that explains why a run is not faster."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import StoreOption, settings_of
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.recorded import RECORDED, recorded
from speculatoviz.lab.waterfall import Waterfall, waterfall


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, why)


def why(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RECORDED, show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of a table")] = False,
    store: StoreOption = None,
) -> None:
    """Explain why a recorded run is not faster.

    Starts with the speedup that the formula of speculative decoding gives for the measured acceptance, depth and draft
    time, and leads to the measured speedup, one measured bar for everything that the formula leaves out.
    """
    found = waterfall(recorded(run, lambda: settings_of({"store": store})).events)
    if as_json:
        values = found._asdict() | {"bars": [bar._asdict() for bar in found.bars]}
        typer.echo(dump(values, sys.stdout.encoding or "utf-8"))
        return
    show(found, TextConsole())


def show(found: Waterfall, console: TextConsole) -> None:
    """Print the bars as a table."""
    console.print(
        f"{found.rounds} rounds, {100 * found.acceptance:.0f} % of the tested tokens accepted. A round drafts "
        f"{found.depth:.1f} tokens, each in {found.cost:.2f} of a plain token's time, which is {found.plain_ms:.1f} ms."
    )
    table = Table("", "ms a round", "tokens a round", "speedup", box=None, pad_edge=False)
    table.add_row("formula", "", f"{found.expected:.2f}", f"{found.formula:.2f}×")
    for bar in found.bars:
        change = "" if bar.change_ms is None else f"{bar.change_ms:+.1f}"
        table.add_row(bar.name, change, f"{bar.tokens:.2f}", f"{bar.speedup:.2f}×")
    table.add_row("remainder", "", "", f"{found.remainder:+.2f}")
    table.add_row("measured", "", "", f"{found.measured:.2f}×")
    console.print(table)
