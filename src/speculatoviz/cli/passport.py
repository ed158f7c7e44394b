"""The commands about passports: writing one, and putting several into a table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from speculatoviz.cli.engines import read_traces
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, notice, plain
from speculatoviz.errors import BadRequestError
from speculatoviz.lab import passport as passports_of
from speculatoviz.lab.passport import UNNAMED, CategorisedTrace
from speculatoviz.lab.passport_table import NOTE, as_html, as_markdown, table
from speculatoviz.lab.sweep_traces import is_sweep, sweep_traces

Format = Literal["text", "markdown", "html"]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    add(app, passport)
    add(app, passports)


def passport(
    traces: Annotated[
        list[str],
        typer.Argument(
            metavar="[CATEGORY=]TRACE",
            help="files written with --trace, with the kind of text, or folder of a sweep",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="file of the passport, JSON", show_default=False)],
    drafter: Annotated[
        str | None, typer.Option(help="which drafter, if several drafted; default: the one with the most drafts")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", "--k", help="tokens of a draft; default: the usual depth")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="of the runs of a sweep; default: its lowest one")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(help="what `speculatoviz certify --json` wrote of the same pair and rule", show_default=False),
    ] = None,
) -> None:
    """Write what a drafter reached on a target into a file that can be handed on.

    The file holds both models, the rules, the noise floor, and the counts of accepted tokens by position and category
    (as in code=run1.jsonl chat=run2.jsonl), with the hashes of the traces and of itself: a changed file is noticed. All
    traces and the certificate are of one pair. Of a sweep, its fastest chain is taken, with the categories of the
    prompts.
    """
    chosen = list[CategorisedTrace]()
    for name in traces:
        if is_sweep(Path(name)):
            swept = sweep_traces(Path(name), drafter, k, temperature)
            notice(f"{name}: {swept.choice}", style="")
            chosen += [_read(category, path) for category, path in swept.files]
        else:
            chosen.append(_categorised(name))
    found = passports_of.passport(chosen, drafter, k)
    if certificate is not None:
        found = passports_of.with_certificate(found, _text(certificate, "certificate"), str(certificate))
    try:
        out.write_text(passports_of.as_text(found), encoding="utf-8")
    except OSError as error:
        raise BadRequestError(
            f"{out} cannot be written ({error.strerror or error}).", "Name another file with --out."
        ) from error
    for one in found.measurements:
        for note in one.notes:
            notice(f"{one.category}: {note}")


def _categorised(name: str) -> CategorisedTrace:
    """A trace with its category. A file of that whole name goes before a category."""
    category, equals, rest = name.partition("=")
    path = Path(name) if not equals or not category or Path(name).exists() else Path(rest)
    return _read(UNNAMED if str(path) == name else category, path)


def _read(category: str, path: Path) -> CategorisedTrace:
    (named,) = read_traces([path])
    return CategorisedTrace(category, named, hashlib.sha256(path.read_bytes()).hexdigest())


def passports(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="passports, written with speculatoviz passport", show_default=False),
    ],
    form: Annotated[Format, typer.Option("--format", help="of the table")] = "text",
) -> None:
    """Put passports into one table: which drafter for which target.

    Each file is checked against its hash first. The table goes to standard output.
    """
    found = table([passports_of.read(_text(file, "passport"), str(file)) for file in files])
    if form != "text":
        typer.echo(plain(as_markdown(found) if form == "markdown" else as_html(found)))
        return
    shown = Table(*found.titles, box=None, pad_edge=False)
    for row in found.rows:
        shown.add_row(*row)
    console = TextConsole()
    console.print(shown)
    console.print(NOTE, style="dim")


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read ({error.strerror or error}).", f"Name a {what}.") from error
