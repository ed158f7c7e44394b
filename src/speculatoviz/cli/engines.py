"""The commands about other engines: settings for them, checks of their commands, and their statistics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import settings_flags
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, notice, plain
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.engines import reading
from speculatoviz.lab.engines.checks import lint as check
from speculatoviz.lab.engines.evidence import NamedTrace
from speculatoviz.lab.engines.evidence import evidence as gather
from speculatoviz.lab.engines.export import as_document, as_text, exported
from speculatoviz.lab.engines.heads import context_of, kind_of
from speculatoviz.lab.engines.lint import Known
from speculatoviz.lab.engines.statistics import Speculation
from speculatoviz.lab.engines.statistics import as_document as statistics_document
from speculatoviz.lab.sweep_traces import is_sweep, sweep_traces
from speculatoviz.targets.names import without_credentials
from speculatoviz.telemetry import trace

EngineName = Literal["vllm", "sglang", "llama.cpp", "transformers"]
_MOST_BYTES = 64 << 20  # of a file of statistics


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    add(app, export_config, "export-config")
    add(app, lint)
    add(app, stats)


def read_traces(files: list[Path]) -> list[NamedTrace]:
    """The traces, with a notice for each that was cut off. Raises TraceError."""
    traces = [NamedTrace(str(file), trace.read(file)) for file in files]
    for named in traces:
        if named.trace.warning is not None:
            notice(named.trace.warning)
    return traces


def read_choice(files: list[Path], drafter: str | None, k: int | None, temperature: float | None) -> list[NamedTrace]:
    """The traces; in place of a folder of a sweep, those of its fastest chain, which is named in a notice."""
    paths = list[Path]()
    for file in files:
        if is_sweep(file):
            found = sweep_traces(file, drafter, k, temperature)
            notice(f"{file}: {found.choice}", style="")
            paths += [path for _, path in found.files]
        else:
            paths.append(file)
    return read_traces(paths)


def export_config(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="TRACE", help="files written with --trace, or folder of a sweep", show_default=False),
    ],
    engine: Annotated[EngineName, typer.Option("--for", help="the engine", show_default=False)],
    draft_weights: Annotated[
        str | None,
        typer.Option(help="the draft model or head as that engine names it; default: the name in the traces"),
    ] = None,
    drafter: Annotated[
        str | None, typer.Option(help="which drafter, if several drafted; default: the one with the most drafts")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", "--k", help="tokens of a draft; default: the usual depth")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="of the runs of a sweep; default: its lowest one")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of lines to paste")] = False,
) -> None:
    """Write the settings of a recorded run for another engine.

    Prints what to add to the engine's command, with the evidence in comments, and the measured acceptance in the forms
    that let another machine time this workload with any drafter: vLLM's synthetic_acceptance_rates, llama-server's
    --spec-synth-rates, SGLang's simulated acceptance length, AIConfigurator's nextn_accepted. Of a sweep, its fastest
    chain is taken. What the engine does not have is refused, with what to use instead.
    """
    found = gather(read_choice(files, drafter, k, temperature), drafter, k)
    settings = exported(engine, found, draft_weights)
    if as_json:
        typer.echo(dump(as_document(engine, found, settings), sys.stdout.encoding or "utf-8"))
        return
    typer.echo(plain(as_text(engine, found, settings)))


def lint(
    command: Annotated[
        str,
        typer.Argument(
            metavar="COMMAND", help="the command as one argument; - reads it from standard input", show_default=False
        ),
    ],
    traces: Annotated[
        list[Path] | None,
        typer.Option(
            "--trace", metavar="FILE", help="a recorded run that shows which depth pays; can be given several times"
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="of the requests; default: what the command sets")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 for warnings, too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of lines")] = False,
) -> None:
    """Check a command that starts vLLM, SGLang or llama-server with speculation.

    Finds flags that were removed or misspelt, the wrong method for a head, a drafter with a shorter context, greedy
    drafts for sampled requests, depths beyond the evidence, and settings that change the output; and prints what to
    write instead. Exits with 1 if there is an error. Flags that do not concern speculation are not checked.
    """
    text = sys.stdin.read(1 << 20) if command == "-" else command
    evidence = gather(read_traces(traces)) if traces else None
    found = check(text, Known(temperature, evidence, context_of, kind_of))
    if as_json:
        values = [finding._asdict() for finding in found]
        typer.echo(dump({"findings": values}, sys.stdout.encoding or "utf-8"))
    for finding in [] if as_json else found:
        typer.echo(plain(f"{finding.level}: {finding.where}: {finding.message}\n  instead: {finding.instead}"))
    if not found and not as_json:
        typer.echo("Nothing to change. Flags that do not concern speculation were not checked.")
    if any(finding.level == "error" or strict for finding in found):
        raise typer.Exit(1)


@settings_flags("target_api_key")
def stats(
    settings: Settings,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL", help="an answer, a file of answers, or the address of /metrics", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of tables")] = False,
) -> None:
    """Print the statistics that another engine reports of its speculation.

    Reads vLLM's metrics.speculative_decoding, the counters of /metrics, SGLang's meta_info, llama.cpp's timings, LM
    Studio's stats, and the result of vllm bench serve. Rates are computed from the counts, so that those of two engines
    can be compared; what a source cannot show is named. An address without a path stands for its /metrics.
    """
    text = _fetched(settings, source) if source.startswith(("http://", "https://")) else _read_file(Path(source))
    found = reading.read(text, without_credentials(source))
    if as_json:
        values = [statistics_document(record) for record in found]
        typer.echo(dump({"statistics": values}, sys.stdout.encoding or "utf-8"))
        return
    for record in found:
        _show(record, TextConsole())


def _fetched(settings: Settings, url: str) -> str:
    from speculatoviz.lab.engines.fetching import fetch  # its HTTP client takes long to import

    key = settings.target_api_key
    return fetch(url, key.get_secret_value() if key else None)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadRequestError(
            f"{path} cannot be read ({error.strerror or error}).", "Name a file, or an address that begins with http."
        ) from error
    if len(data) > _MOST_BYTES:
        raise BadRequestError(f"{path} has more than {_MOST_BYTES >> 20} MiB.", "Name a file of answers.")
    return data.decode("utf-8", "replace")


def _show(record: Speculation, console: TextConsole) -> None:
    """One source: its counts, its rates, its positions, and what it cannot show."""
    console.print(f"{record.source} ({record.scope})", style="bold")
    counts = Table("", "", box=None, pad_edge=False, show_header=False)
    for title, value in (
        ("drafts", record.drafts),
        ("drafted tokens", record.draft_tokens),
        ("accepted tokens", record.accepted_tokens),
        ("generated tokens", record.generated),
    ):
        counts.add_row(title, "–" if value is None else f"{value:,}")
    counts.add_row("acceptance rate", _marked(record.acceptance_rate, record.reported_rate, percent=True))
    counts.add_row("mean acceptance length", _marked(record.mean_acceptance_length, record.reported_length))
    counts.add_row("tokens per pass", _marked(record.tokens_per_pass, None))
    console.print(counts)
    if record.unconditional:
        positions = Table("position", "of all drafts", "of those that reached it", box=None, pad_edge=False)
        reached = record.conditional or [None] * len(record.unconditional)
        for place, (share, of_reached) in enumerate(zip(record.unconditional, reached, strict=True), start=1):
            positions.add_row(str(place), _percent(share), _percent(of_reached))
        console.print(positions)
    if record.cannot:
        console.print(f"It cannot show: {'; '.join(record.cannot)}.", style="dim")
    for sentence in record.disagreements:
        console.print(sentence, style="yellow")


def _marked(computed: float | None, reported: float | None, *, percent: bool = False) -> str:
    """The computed figure; where there is none, the reported one, marked so."""
    value = reported if computed is None else computed
    if value is None:
        return "–"
    text = _percent(value) if percent else f"{value:.2f}"
    return f"{text} (as reported)" if computed is None else text


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
