"""The commands about models: list the catalogue, fetch one, time the passes of one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import MODEL, settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.terminal import progress
from speculatoviz.config import PROFILES, Settings
from speculatoviz.machine import on_threads, usable_cores
from speculatoviz.models.files.names import RUNTIMES
from speculatoviz.models.row_times import ROWS
from speculatoviz.models.runtime_choice import TO_VERIFY, Compared, Use, fastest

_USES = {"target": TO_VERIFY, "draft": Use(drafts=True)}


def register(app: typer.Typer) -> None:
    """Add the commands to the program, as `models list`, `models pull` and `models measure`."""
    models = program("List, fetch and measure models.")
    add(models, list_models, "list")
    add(models, pull_model, "pull")
    add(models, measure_model, "measure")
    app.add_typer(models, name="models")


@settings_flags()
def list_models(
    settings: Settings, as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False
) -> None:
    """List the catalogue, the profiles, the runtimes, and the timed passes that runtimes are chosen by.

    "here" marks the models on this disk. "chosen for" is what `--runtime auto` takes each runtime for, as far as the
    model alone decides: the cost of a draft model also counts.
    """
    from speculatoviz.models.files import catalogue, download
    from speculatoviz.models.libraries import installed
    from speculatoviz.models.runtime_choice import compared

    here = {
        entry.name: download.cached(entry, settings.cache_dir) is not None for entry in catalogue.CATALOGUE.values()
    }
    timed = compared(Path(settings.cache_dir))
    if as_json:
        typer.echo(dump(_document(here, timed, installed()), sys.stdout.encoding or "utf-8"))
        return
    table = Table("name", "quantisation", "size", "licence", "here", box=None, pad_edge=False)
    for entry in catalogue.CATALOGUE.values():
        size = f"{entry.size_bytes / 1e6:.0f} MB"
        table.add_row(entry.name, entry.quantisation, size, entry.licence, "yes" if here[entry.name] else "")
    console = TextConsole()
    console.print(table)
    console.print(catalogue.provenance(), style="dim")
    for profile in PROFILES.values():
        console.print(f"profile {profile.name}: {profile.title}", style="dim")
    for runtime, state in installed().items():
        console.print(f"runtime {runtime}: {state}", style="dim")
    _print_times(console, timed)


def _document(here: dict[str, bool], timed: Sequence[Compared], runtimes: dict[str, str]) -> dict[str, Any]:
    from speculatoviz.models.files.catalogue import CATALOGUE

    fields = ("name", "title", "licence", "parameters", "quantisation", "size_bytes")
    return {
        "models": [{f: getattr(entry, f) for f in fields} | {"here": here[name]} for name, entry in CATALOGUE.items()],
        "profiles": {profile.name: profile.title for profile in PROFILES.values()},
        "runtimes": runtimes,
        "timed_passes": [
            {
                "file": str(file.path),
                "threads": file.threads,
                "pass_ms": {runtime: dict(pass_ms) for runtime, pass_ms in file.times.items()},
                "chosen": {use: fastest(file.times, for_use) for use, for_use in _USES.items()},
            }
            for file in timed
        ],
    }


def _print_times(console: Console, timed: Sequence[Compared]) -> None:
    """One table for each file, with one row for each runtime."""
    for file in timed:
        console.print(
            f"\n{file.path.name}, {on_threads(file.threads)}: milliseconds of a pass over n rows", style="dim"
        )
        table = Table("runtime", *(f"n = {rows}" for rows in ROWS), "chosen for", box=None, pad_edge=False)
        chosen = {use: fastest(file.times, for_use) for use, for_use in _USES.items()}
        for runtime, pass_ms in file.times.items():
            uses = ", ".join(use for use, winner in chosen.items() if winner == runtime)
            table.add_row(RUNTIMES[runtime], *(f"{pass_ms[rows]:.1f}" for rows in ROWS), uses)
        console.print(table)


@settings_flags(MODEL, "draft", "draft_quantisation", "draft_vocabulary", "runtime", "threads")
def measure_model(
    settings: Settings,
    name: Annotated[
        str | None,
        typer.Argument(help="a GGUF model; NAME=Q4_0 requantises it first; without a name, target and draft model"),
    ] = None,
) -> None:
    """Time passes of GGUF models anew on every installed runtime, and keep the times.

    `--runtime auto` chooses by them, until the file, the library or the machine changes. Measure while the machine is
    quiet.
    """
    from speculatoviz.models.files import download
    from speculatoviz.models.load import measure_runtimes
    from speculatoviz.session.targets import draft_quantisation, draft_tokens, is_remote, loading_options

    pair = settings.resolved()
    models: list[tuple[str, str | None, int | None]] = []
    if name is not None:
        name, _, quantisation = name.partition("=")
        models.append((name, quantisation or None, None))
    elif not is_remote(pair.target):
        models.append((pair.target, pair.target_quantisation, None))
    if name is None and pair.draft is not None:
        with progress() as report:
            changed_to = draft_quantisation(settings, report)
        models.append((pair.draft, changed_to, draft_tokens(pair)))
    how, console = loading_options(settings), TextConsole(soft_wrap=True)
    for model, quantised, tokens in models:
        with progress() as report:
            path, found = measure_runtimes(model, how, quantised, download.by_share(report), tokens)
        _print_times(console, [Compared(path, how.threads or usable_cores(), found.times)])
        for error in found.refused.values():
            console.print(f"{error.message} {error.hint}", style="yellow")


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
