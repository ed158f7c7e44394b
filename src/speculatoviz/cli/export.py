"""The command that writes a recorded run as a page in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speculatoviz.cli.flags import StoreOption, settings_of
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, notice
from speculatoviz.cli.recorded import RECORDED, recorded_content
from speculatoviz.errors import TraceError
from speculatoviz.lab.player import player


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, export)


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RECORDED, show_default=False)],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="the file to write", show_default=False)],
    store: StoreOption = None,
) -> None:
    """Write a recorded run as one HTML file that plays it.

    The file is the live page with this run in it: token tree, text, figures, every decision. It loads nothing and
    opens from a disk, an attachment or any web server. It contains the prompt and the text of the run.
    """
    content, name = recorded_content(run, lambda: settings_of({"store": store}))
    page, warning = player(content, name)
    if warning is not None:
        notice(warning)
    try:
        html.write_bytes(page)
    except OSError as error:
        raise TraceError(
            f"{html} cannot be written ({error.strerror or error}).", "Name another file, or make room."
        ) from error
    TextConsole(soft_wrap=True).print(f"{html}: {len(page) / 1000:.0f} kB")
