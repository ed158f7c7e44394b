"""The commands about models: list the catalogue, fetch one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from speculatoviz.cli.flags import settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.terminal import progress
from speculatoviz.config import PROFILES, Settings


def register(app: typer.Typer) -> None:
    """Add the commands to the program, as `models list` and `models pull`."""
    models = program("List and fetch models.")
    add(models, list_models, "list")
    add(models, pull_model, "pull")
    app.add_typer(models, name="models")


@settings_flags()
def list_models(settings: Settings) -> None:
    """List the catalogue, the profiles and the runtimes.

    "here" marks the models on this disk.
    """
    from speculatoviz.models.files import catalogue, download
    from speculatoviz.models.libraries import installed

    table = Table("name", "quantisation", "size", "licence", "here", box=None, pad_edge=False)
    for entry in catalogue.CATALOGUE.values():
        here = "yes" if download.cached(entry, settings.cache_dir) else ""
        size = f"{entry.size_bytes / 1e6:.0f} MB"
        table.add_row(entry.name, entry.quantisation, size, entry.licence, here)
    console = TextConsole()
    console.print(table)
    console.print(catalogue.provenance(), style="dim")
    for profile in PROFILES.values():
        console.print(f"profile {profile.name}: {profile.title}", style="dim")
    for runtime, state in installed().items():
        console.print(f"runtime {runtime}: {state}", style="dim")


@settings_flags()
def pull_model(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="a name from `speculatoviz models list`, or of a model hub")],
) -> None:
    """Fetch a model and print its path.

    The hash of a catalogue entry is checked.
    """
    from speculatoviz.models.files import catalogue, download
    from speculatoviz.models.files.names import locate, parse

    with progress() as report:
        path = locate(parse(name), settings.cache_dir, download.by_share(report))
        if entry := catalogue.CATALOGUE.get(parse(name).place):
            download.verify(entry, settings.cache_dir)
    TextConsole(soft_wrap=True).print(str(path))
