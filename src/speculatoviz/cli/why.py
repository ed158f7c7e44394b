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
    time, and leads to the measured speedup, one measured bar for everything that the formula leaves out. If passes of
    the run and of its baseline took unlike times, it states so and gives no speedups.
    """
    found = waterfall(recorded(run, lambda: settings_of({"store": store})).events)
    if as_json:
        unlike = None if found.unlike is None else str(found.unlike)
        values = found._asdict() | {"bars": [bar._asdict() for bar in found.bars], "unlike": unlike}
        typer.echo(dump(values, sys.stdout.encoding or "utf-8"))
        return
    show(found, TextConsole())


def show(found: Waterfall, console: TextConsole) -> None:
    """Print the bars as a table."""
    console.print(
        f"{found.rounds} rounds, {100 * found.acceptance:.0f} % of the tested tokens accepted. A round drafts "
        f"{found.depth:.1f} tokens, each in {found.cost:.2f} of a plain token's time, which is {found.plain_ms:.1f} ms."
    )
    if found.unlike is not None:
        console.print(f"No speedup is claimed. {found.unlike} Record a run with nothing beside it.", style="yellow")
    table = Table("", "ms a round", "tokens a round", "speedup", box=None, pad_edge=False)
    table.add_row("formula", "", f"{found.expected:.2f}", _times(found.formula))
    for bar in found.bars:
        change = "" if bar.change_ms is None else f"{bar.change_ms:+.1f}"
        table.add_row(bar.name, change, f"{bar.tokens:.2f}", _times(bar.speedup))
    table.add_row("remainder", "", "", "–" if found.remainder is None else f"{found.remainder:+.2f}")
    table.add_row("measured", "", "", _times(found.measured))
    console.print(table)


def _times(speedup: float | None) -> str:
    return "–" if speedup is None else f"{speedup:.2f}×"
