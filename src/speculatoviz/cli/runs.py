"""The commands about kept runs: list, show, name, export and remove them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import TextConsole, plain
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError, TraceError

if TYPE_CHECKING:  # SQLAlchemy is loaded only by the commands that use it
    from speculatoviz.lab.store.runs import RunStore
    from speculatoviz.lab.store.summary import RunSummary, StoredRun, StoredRunDetail, SweepSummary

_TITLE_CHARACTERS = 60
_RUN = "a run's id, or the first characters of it; last: the newest run"


def register(app: typer.Typer) -> None:
    """Add the commands to the program, as `runs list`, `runs show`, `runs name`, `runs export` and `runs rm`."""
    runs = program("List, show, name, export and remove the runs that are kept.")
    add(runs, list_runs, "list")
    add(runs, show_run, "show")
    add(runs, name_run, "name")
    add(runs, export_run, "export")
    add(runs, remove_runs, "rm")
    app.add_typer(runs, name="runs")


@contextmanager
def _opened(settings: Settings) -> Iterator[RunStore]:
    from speculatoviz.lab.store.opening import open_store

    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


@settings_flags("store")
def list_runs(
    settings: Settings,
    containing: Annotated[
        str, typer.Argument(help="only runs with this in name, prompt, target, drafter or id", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="how many, the newest first")] = 20,
    after: Annotated[
        str | None, typer.Option("--after", metavar="<id>", help="continue after this run", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """List kept runs, the newest first.

    `generate`, the page and the API keep every run, with its prompt, text and trace, on this machine. `--store none`
    switches that off.
    """
    with _opened(settings) as store:
        page = store.page(limit, after, containing)
    if as_json:
        values = {"runs": [run.model_dump() for run in page.runs], "after": page.after}
        typer.echo(dump(values, sys.stdout.encoding or "utf-8"))
        return
    console = TextConsole()
    if not page.runs:
        console.print(_none(containing, after))
        return
    console.print(_table(page.runs))
    if page.after is not None:
        console.print(f"There are more: --after {page.after}", style="dim")


def _none(containing: str, after: str | None) -> str:
    """What a list without runs says."""
    if after is not None:
        return "There are no further runs."
    return f"No kept run contains {plain(repr(containing))}." if containing else "No run is kept yet."


def _table(runs: list[StoredRun]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("id", "when", "drafter", "tokens", "accepted", "speedup"):
        table.add_column(title, no_wrap=True)
    table.add_column("name or prompt")
    for run in runs:
        s = run.summary
        table.add_row(
            run.id,
            f"{_when(run):%m-%d %H:%M}",
            "sweep" if s.sweep else "watched" if s.watched else s.drafter if s.k else "none",
            str(s.tokens),
            "–" if s.acceptance_rate is None else f"{100 * s.acceptance_rate:.0f} %",
            "–" if s.speedup is None else f"{s.speedup:.2f}×",
            _title(run),
        )
    return table


def _title(run: StoredRun) -> Text:
    """The name, else the beginning of the prompt, in one line."""
    words = " ".join(plain(run.name or run.prompt).split())
    return Text(shorten(words, _TITLE_CHARACTERS, placeholder="…"), style="bold" if run.name else "dim")


def _when(run: StoredRun) -> datetime:
    """When the run began, in local time."""
    return datetime.fromtimestamp(run.created_ms / 1000).astimezone()


@settings_flags("store")
def show_run(
    settings: Settings,
    run: Annotated[str, typer.Argument(help=_RUN)],
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Show settings, figures and origin of a kept run.

    `replay`, `why` and `autopsy` take its id as well.
    """
    with _opened(settings) as store:
        found = store.get(run)
    if as_json:
        typer.echo(dump(found.model_dump(), sys.stdout.encoding or "utf-8"))
        return
    table, sweep = Table(show_header=False, box=None, pad_edge=False), found.summary.sweep
    rows = _of_run(found) if sweep is None else _of_sweep(found, sweep)
    for name, value in rows.items():
        if value is not None:
            table.add_row(Text(name, style="dim"), value)
    TextConsole().print(table)


def _of_sweep(found: StoredRunDetail, sweep: SweepSummary) -> dict[str, str | None]:
    s = found.summary
    between = "" if sweep.low is None or sweep.high is None else f" (95 %: {sweep.low:.2f} to {sweep.high:.2f})"
    return {
        "id": found.id,
        "name": found.name,
        "when": f"{_when(found):%Y-%m-%d %H:%M:%S}",
        "target": s.target,
        "compared": f"{sweep.choices} choices on {sweep.prompts} prompts, {sweep.runs} runs, at temperature "
        f"{', '.join(f'{temperature:g}' for temperature in sweep.temperatures)}",
        "answer": sweep.answer,
        "best choice": f"{sweep.best}{'' if s.speedup is None else f', {s.speedup:.2f}×{between}'}",
        "folder": sweep.folder,
        "recorded by": f"SpeculatoViz {found.header.speculatoviz} on {found.header.machine}",
    }


def _of_run(found: StoredRunDetail) -> dict[str, str | None]:
    s = found.summary
    sampling = s.sampling
    return {
        "id": found.id,
        "name": found.name,
        "when": f"{_when(found):%Y-%m-%d %H:%M:%S}",
        "target": s.target,
        "draft model": s.draft,
        "drafter": _drafter(s),
        "watched": None if s.watched is None else f"{s.watched.engine or 'a server'} at {s.watched.server}",
        "sampling": f"temperature {sampling.temperature:g}, top-k {sampling.top_k}, top-p {sampling.top_p:g}, "
        f"min-p {sampling.min_p:g}, seed {s.seed}",
        "exactness": s.exactness,
        "tokens": f"{s.tokens} in {s.rounds} rounds, of at most {s.max_tokens}; the prompt has {s.prompt_tokens}",
        "accepted": f"{s.accepted} of {s.drafted} drafted" if s.drafted or s.watched is None else "not reported",
        "speed": _rate(s.tps),
        "speedup": _speedup(s),
        "end": s.failure or s.ended or "none: the run goes on, or its process was ended",
        "trace": f"{found.trace_bytes} bytes, compressed",
        "recorded by": f"SpeculatoViz {found.header.speculatoviz} on {found.header.machine}",
        "prompt": found.prompt,
    }


def _speedup(s: RunSummary) -> str | None:
    if s.unlike is not None:
        return f"not claimed: {s.unlike}"
    return None if s.speedup is None else f"{s.speedup:.2f}× against {_rate(s.baseline_tps)} plain, measured"


def _drafter(s: RunSummary) -> str:
    if s.watched is not None:
        return "of another server, not known"
    return f"{s.drafter}, k {s.k}, nodes {s.nodes}, policy {s.policy}, rule {s.rule}"


def _rate(tps: float | None) -> str:
    return "–" if tps is None else f"{tps:.1f} tok/s"


@settings_flags("store")
def name_run(
    settings: Settings,
    run: Annotated[str, typer.Argument(help=_RUN)],
    name: Annotated[str, typer.Argument(help="up to 200 characters; an empty name takes the name away")],
) -> None:
    """Name a kept run.

    Runs with a name are not removed to make room for others.
    """
    with _opened(settings) as store:
        found = store.rename(run, name)
    TextConsole(soft_wrap=True).print(f"{found.id} {'has no name' if found.name is None else f'is {found.name!r}'}")


@settings_flags("store")
def export_run(
    settings: Settings,
    run: Annotated[str, typer.Argument(help=_RUN)],
    file: Annotated[Path | None, typer.Argument(help="where to; default: standard output", show_default=False)] = None,
) -> None:
    """Write the trace of a kept run, as `--trace` does."""
    with _opened(settings) as store:
        pieces = store.trace(run)
        first = next(pieces)  # before the file is emptied
        if file is None:
            for piece in (first, *pieces):
                sys.stdout.write(piece.decode())
            sys.stdout.flush()
            return
        try:
            with file.open("wb") as out:
                out.write(first)
                out.writelines(pieces)
        except OSError as error:
            raise TraceError(
                f"{file} cannot be written ({error.strerror or error}).", "Name another file, or make room."
            ) from error


@settings_flags("store")
def remove_runs(
    settings: Settings,
    runs: Annotated[list[str] | None, typer.Argument(help=_RUN, show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="remove every run, named ones too")] = False,
) -> None:
    """Remove kept runs, with their prompts, texts and traces."""
    if bool(runs) == everything:
        raise BadRequestError("Name the runs to remove, or give --all.", "`speculatoviz runs list` shows their ids.")
    console = TextConsole(soft_wrap=True)
    with _opened(settings) as store:
        if everything:
            console.print(f"{store.remove_all()} runs removed")
        for run in runs or []:
            console.print(f"{store.remove(run)} removed")
