"""The commands that measure every choice on a user's own prompts, and that report what came of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from speculatoviz.cli.flags import MACHINE, MODEL, STORE, settings_flags
from speculatoviz.cli.help import add
from speculatoviz.cli.lists import numbers, texts
from speculatoviz.cli.output import notice
from speculatoviz.cli.terminal import progress
from speculatoviz.config import PolicyName, Settings
from speculatoviz.errors import BadRequestError, StoreError

if TYPE_CHECKING:
    from speculatoviz.lab.sweep.measuring import Plan, Watch
    from speculatoviz.lab.sweep.records import Folder
    from speculatoviz.lab.sweep.summary import Summary

REPORT = "report.html"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, report)


@settings_flags(
    MODEL,
    *("draft", "draft_quantisation", "draft_vocabulary", "head", "selfspec", "rule"),
    *("top_p", "top_k", "min_p", "seed"),
    MACHINE,
    STORE,
    max_tokens=128,
)
def sweep(
    settings: Settings,
    out: Annotated[Path, typer.Option(help="folder of the results; runs that it holds are not repeated")],
    prompts: Annotated[
        Path | None,
        typer.Argument(
            help="JSON Lines with `prompt`, `messages` or `turns` (the first is asked), and perhaps `category`; "
            "default: 14 prompts in 7 categories"
        ),
    ] = None,
    drafter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<str>",
            help="a drafter, or one with its weights, such as model=NAME, eagle=FILE or selfspec=Q2_K; can be given "
            "several times; default: the pair's own and suffix",
        ),
    ] = None,
    k: Annotated[str, typer.Option("-k", "--k", help="depths of the policy fixed, separated by commas")] = "1,2,4,8",
    policy: Annotated[str, typer.Option(help="policies, separated by commas: fixed, adaptive, auto")] = "fixed,auto",
    temperature: Annotated[str, typer.Option(help="sampling temperatures, separated by commas")] = "0",
    nodes: Annotated[
        str, typer.Option(help="sizes of draft trees of the policy fixed, separated by commas; 0: a chain")
    ] = "0",
    per_category: Annotated[
        int | None, typer.Option(min=1, help="prompts of each category, the first ones; default: all")
    ] = None,
    entropy: Annotated[
        bool, typer.Option(help="read the target's entropy at every token, in passes that are not timed")
    ] = True,
    traces: Annotated[bool, typer.Option(help="keep the events of every run, about 2 kB a token")] = True,
    spec_bench: Annotated[
        bool,
        typer.Option("--spec-bench", help="also write the answers in Spec-Bench's format, a file for each choice"),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="<address>",
            help="measure on the machines of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure every drafter, depth, policy and temperature on your prompts, against plain runs that alternate.

    Writes runs.jsonl, runs.parquet and traces to a folder; `speculatoviz report` makes a page of it. Prints the best
    choices, then one JSON line. Interrupted, it continues where it stopped. With --ray, every machine of a cluster
    measures a part; docs/scale.md describes it.
    """
    from speculatoviz.lab.questions import read_source
    from speculatoviz.lab.sweep.cells import Candidate, Grid, usual_candidates
    from speculatoviz.lab.sweep.measuring import Plan, Watch, measure_all
    from speculatoviz.lab.sweep.records import TABLE, Folder
    from speculatoviz.lab.sweep.spec_bench import write_answers
    from speculatoviz.lab.sweep.table import require_pyarrow, write
    from speculatoviz.session.targets import is_remote

    require_pyarrow()
    if is_remote(settings.resolved().target):
        raise BadRequestError(
            "The target is remote, and a sweep compares with plain runs on this machine.",
            "Load the target on this machine, or measure with `speculatoviz bench remote`.",
        )
    grid = Grid(
        candidates=tuple(dict.fromkeys(map(Candidate.parse, drafter or ()))) or usual_candidates(settings),
        depths=tuple(numbers(k, "-k", "k", int, 1)),
        policies=_policies(policy),
        temperatures=tuple(numbers(temperature, "--temperature", "temperature", float, 0)),
        nodes=tuple(numbers(nodes, "--nodes", "nodes", int, 0)),
    )
    plan = Plan(grid, read_source(prompts, per_category), entropy=entropy, traces=traces)
    folder = Folder(out)
    with _kept(settings, folder), progress() as shown:
        watch = Watch(time.perf_counter, shown, notice)
        if ray is None:
            measure_all(settings, plan, folder, watch)
        else:
            _spread(ray, settings, plan, folder, watch)
    write(folder.runs, out / TABLE)
    if spec_bench:
        write_answers(folder, plan.source)
    _print(folder)
    notice(f"speculatoviz report {out} makes a page of it.", style="dim")


@contextmanager
def _kept(settings: Settings, folder: Folder) -> Iterator[None]:
    """Put the sweep into the store of runs at the end, also one that was interrupted.

    Raises StoreError at once if a store that the settings name does not open. Later a store ends no sweep.
    """
    from speculatoviz.lab.kept_sweep import keep_sweep
    from speculatoviz.lab.store.opening import store_for_recording

    store = store_for_recording(settings)
    try:
        yield
    finally:
        if store is not None:
            try:
                if any(run.speedup is not None for run in folder.runs):
                    spared = keep_sweep(store, folder)
                    store.prune(settings.store_runs, settings.store_bytes, [spared])
            except StoreError as error:
                notice(f"The sweep is not in the list of runs: {error}")
            store.close()


def _spread(address: str, settings: Settings, plan: Plan, folder: Folder, watch: Watch) -> None:
    """Measure on a Ray cluster."""
    from speculatoviz.lab.sweep.ray_cluster import connected
    from speculatoviz.lab.sweep.spread import measure_on

    if folder.missing(plan.keys()):
        watch.progress(f"connecting to {address}", None)
        with connected(address, settings, plan, time.perf_counter) as cluster:
            measure_on(cluster, plan, folder, watch)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of `bench sweep`", show_default=False)],
    out: Annotated[Path | None, typer.Option(help=f"HTML file; default: {REPORT} in the folder")] = None,
) -> None:
    """Make one HTML page of a sweep: whether speculation pays, with what, and why. It opens without a network."""
    from speculatoviz.lab.report.page import write
    from speculatoviz.lab.sweep.records import Folder

    file = out or folder / REPORT
    write(Folder(folder), file)
    typer.echo(str(file))


def _policies(listed: str) -> tuple[PolicyName, ...]:
    found = tuple(name for name in get_args(PolicyName) if name in texts(listed))
    unknown = [name for name in texts(listed) if name not in get_args(PolicyName)]
    if unknown or not found:
        raise BadRequestError(
            f"--policy is {listed!r}, and there is no such policy.", f"Choose from: {', '.join(get_args(PolicyName))}."
        )
    return found


def _print(folder: Folder) -> None:
    """The best choices as tables, then one JSON line."""
    from speculatoviz.lab.report.answer import caution
    from speculatoviz.lab.report.sections import choices
    from speculatoviz.lab.sweep.records import require_runs
    from speculatoviz.lab.sweep.summary import Summary

    summary = Summary(require_runs(folder))
    for table in choices(summary).tables:
        typer.echo(f"{table.caption}\n")
        rows = [table.head, ["---"] * len(table.head), *([entry.text for entry in row] for row in table.rows)]
        typer.echo("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    if against := caution(summary):
        notice(against)
    about = folder.abouts[-1]
    found = {f"{temperature:g}": _best(summary, temperature) for temperature in summary.temperatures}
    typer.echo(
        json.dumps(
            {"machine": about.machine, "target": about.target.name, "runs": len(summary.runs), "temperatures": found}
        )
    )


def _best(summary: Summary, temperature: float) -> dict[str, object]:
    best = summary.best(temperature)
    values = {
        "speedup": best.speedup.value,
        "low": best.speedup.low,
        "high": best.speedup.high,
        "chosen_on_others": best.held_out.value,
    }
    known = {name: None if math.isnan(value) else value for name, value in values.items()}
    return {"choice": best.cell.label, **known}
