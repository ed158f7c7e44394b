"""The command line. Every flag is a field of `config.Settings`."""

from __future__ import annotations

import json
import threading
import time
import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from speculatoviz.cli import train as train_commands
from speculatoviz.cli.flags import (
    ContextFlag,
    DeviceFlag,
    DrafterFlag,
    DraftFlag,
    DraftQuantFlag,
    DtypeFlag,
    HeadFlag,
    KFlag,
    MaxTokensFlag,
    MinPFlag,
    NodesFlag,
    OverlapFlag,
    ProfileFlag,
    RuleFlag,
    SeedFlag,
    SelfFlag,
    StopTokensFlag,
    TargetFlag,
    TargetKeyFlag,
    TargetModeFlag,
    TargetQuantFlag,
    TargetTokenizerFlag,
    TemperatureFlag,
    TemplateFlag,
    ThreadsFlag,
    TopKFlag,
    TopPFlag,
    errors,
    option,
    settings_of,
)
from speculatoviz.cli.remote import register
from speculatoviz.cli.terminal import Transcript, both, progress
from speculatoviz.config import PROFILES, Settings
from speculatoviz.drafters.about import WITH_MODEL
from speculatoviz.errors import BadRequestError, TraceError
from speculatoviz.session.session import Session
from speculatoviz.session.targets import Report
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Done, Event, Metrics, Shadow, Start, Started

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
models_app = typer.Typer(no_args_is_help=True, help="List and fetch the models of the catalogue.")
app.add_typer(models_app, name="models")
register(app)
train_commands.register(app)


@app.command()
def serve(
    profile: ProfileFlag = None,
    target: TargetFlag = None,
    draft: DraftFlag = None,
    drafter: DrafterFlag = None,
    target_quantisation: TargetQuantFlag = None,
    draft_quantisation: DraftQuantFlag = None,
    target_tokenizer: TargetTokenizerFlag = None,
    target_mode: TargetModeFlag = None,
    target_api_key: TargetKeyFlag = None,
    chat_template: TemplateFlag = None,
    stop_tokens: StopTokensFlag = None,
    overlap: OverlapFlag = None,
    k: KFlag = None,
    nodes: NodesFlag = None,
    rule: RuleFlag = None,
    head: HeadFlag = None,
    selfspec: SelfFlag = None,
    temperature: TemperatureFlag = None,
    max_tokens: MaxTokensFlag = None,
    context_tokens: ContextFlag = None,
    threads: ThreadsFlag = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    host: Annotated[str | None, option("host")] = None,
    port: Annotated[int | None, option("port")] = None,
    open: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,  # noqa: A002
) -> None:
    """Serve the page: type a prompt and watch every token drafted, tested and measured."""
    flags = dict(locals())
    opened = flags.pop("open")
    settings = settings_of(flags)
    from speculatoviz.server.address import configured, listen, url
    from speculatoviz.server.app import create_app

    with errors():
        listening = listen(settings.host, settings.port)

    def load(report: Report) -> Session:
        with progress() as shown:
            return Session.load(settings, time.perf_counter, both(report, shown))

    application = create_app(settings, load)
    address = url(settings.host, listening)
    Console(stderr=True, soft_wrap=True).print(f"SpeculatoViz on {address} (Ctrl+C stops it)", highlight=False)
    if opened:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
    with suppress(KeyboardInterrupt):
        configured(application).run(sockets=[listening])


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="what the model should answer", show_default=False)],
    k: KFlag = None,
    nodes: NodesFlag = None,
    rule: RuleFlag = None,
    head: HeadFlag = None,
    selfspec: SelfFlag = None,
    temperature: TemperatureFlag = None,
    top_p: TopPFlag = None,
    top_k: TopKFlag = None,
    min_p: MinPFlag = None,
    seed: SeedFlag = None,
    max_tokens: MaxTokensFlag = None,
    drafter: DrafterFlag = None,
    profile: ProfileFlag = None,
    target: TargetFlag = None,
    draft: DraftFlag = None,
    target_quantisation: TargetQuantFlag = None,
    draft_quantisation: DraftQuantFlag = None,
    target_tokenizer: TargetTokenizerFlag = None,
    target_mode: TargetModeFlag = None,
    target_api_key: TargetKeyFlag = None,
    chat_template: TemplateFlag = None,
    stop_tokens: StopTokensFlag = None,
    overlap: OverlapFlag = None,
    context_tokens: ContextFlag = None,
    threads: ThreadsFlag = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    plain: Annotated[bool, typer.Option("--plain", help="decode with the target alone")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="continue the prompt without the chat template")] = False,
    evidence: Annotated[
        bool | None,
        typer.Option("--evidence/--no-evidence", help=Settings.model_fields["evidence"].description),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option("--shadow", help="let a further drafter guess, unused and untimed; may be given again"),
    ] = None,
    trace_file: Annotated[
        Path | None, typer.Option("--trace", help="write every event to this file", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of the text")] = False,
) -> None:
    """Decode a prompt speculatively and print the text, coloured by how each token came about.

    The same seed, settings and files give the same tokens at a fixed depth on the same machine. A seeded sampled
    run need not equal a seeded plain run: only their distributions agree.
    """
    flags = dict(locals())
    own = {name: flags.pop(name) for name in ("prompt", "plain", "raw", "shadow", "trace_file", "as_json")}
    settings = settings_of(flags)
    with errors(), ExitStack() as stack:
        writer = _trace_writer(stack, trace_file)
        shadows = own["shadow"] or []
        session = _load(settings, shadows)
        stack.callback(session.close)
        start = Start(prompt=own["prompt"], raw=own["raw"], k=0 if own["plain"] else None, shadow=shadows)
        events = session.run("cli", session.prepare(start), lambda: False)
        shown = _Collector() if as_json else Transcript(Console(highlight=False))
        for event in events:
            shown.show(event)
            if writer:
                writer.write(event)
        if isinstance(shown, _Collector):
            typer.echo(json.dumps(shown.document(), ensure_ascii=False, indent=1))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="a file written with --trace", show_default=False)],
) -> None:
    """Print a run again from its trace."""
    with errors():
        head, events = trace.read(file)
        console = Console(highlight=False)
        console.print(f"recorded {head.created} on {head.machine}", style="dim")
        transcript = Transcript(console)
        for event in events:
            transcript.show(event)


@models_app.command("list")
def list_models() -> None:
    """Show the catalogue and what is on this disk."""
    from speculatoviz.models.files import catalogue, download
    from speculatoviz.models.load import installed

    settings = settings_of({})
    table = Table("name", "quantisation", "size", "licence", "here", box=None, pad_edge=False)
    for entry in catalogue.CATALOGUE.values():
        here = "yes" if download.cached(entry, settings.cache_dir) else ""
        size = f"{entry.size_bytes / 1e6:.0f} MB"
        table.add_row(entry.name, entry.quantisation, size, entry.licence, here)
    console = Console(highlight=False)
    console.print(table)
    console.print(catalogue.provenance(), style="dim")
    for profile in PROFILES.values():
        console.print(f"profile {profile.name}: {profile.title}", style="dim")
    for runtime, state in installed().items():
        console.print(f"runtime {runtime}: {state}", style="dim")


@models_app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="a name from `speculatoviz models list`, or one of the hub")],
) -> None:
    """Fetch a model, and check its hash where the catalogue knows it."""
    from speculatoviz.models.files import catalogue, download
    from speculatoviz.models.files.names import locate, parse

    settings = settings_of({})
    with errors(), progress() as report:
        path = locate(
            parse(name),
            settings.cache_dir,
            lambda stage, done, total: report(stage, done / total if total else None),
        )
        if entry := catalogue.CATALOGUE.get(parse(name).place):
            download.verify(entry, settings.cache_dir)
    typer.echo(path)


class _Collector:
    """Gathers one JSON document from the events of a run."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._done: Done | None = None
        self._rounds: list[dict[str, Any]] = []
        self._shadow: Shadow | None = None

    def show(self, event: Event) -> None:
        match event:
            case Started():
                self._started = event
            case Metrics():
                self._rounds.append(event.model_dump(exclude={"metrics", "run", "seq", "type"}))
            case Shadow():
                self._shadow = event
            case Done():
                self._done = event

    def document(self) -> dict[str, Any]:
        started, done = self._started, self._done
        if started is None or done is None:
            raise BadRequestError("The run ended before it began.", "Look at the error above.")
        values = done.metrics
        return {
            "text": done.generated_text,
            "token_ids": done.token_ids,
            "total_tokens": done.total_tokens,
            "total_accepted": done.total_accepted,
            "total_drafted": done.total_drafted,
            "total_rounds": done.total_rounds,
            "finish_reason": done.finish_reason,
            "mean_acceptance_length": values.mean_acceptance_length,
            "acceptance_rate": values.acceptance_rate,
            "effective_tps": values.effective_tps,
            "baseline_tps": values.baseline_tps,
            "speedup": values.speedup,
            "ttft_ms": values.ttft_ms,
            "exactness": started.exactness.label,
            "drafter": started.drafter,
            "k": started.k,
            "nodes": started.nodes,
            "rule": started.rule,
            "seed": started.seed,
            "draft_model": started.draft_model.name if started.draft_model else None,
            "target_model": started.target_model.name,
            "models": started.model_dump(include={"draft_model", "target_model"}),
            "noise_floor": started.noise_floor.model_dump() if started.noise_floor else None,
            "shadow": [score.model_dump() for score in self._shadow.scores] if self._shadow else [],
            "rounds": self._rounds,
        }


def _load(settings: Settings, shadows: Sequence[str]) -> Session:
    """Load with a progress bar on stderr; a draft model that no drafter of the run uses stays on disk."""
    if not WITH_MODEL & {settings.resolved().drafter, *shadows}:
        settings = settings.model_copy(update={"draft": "none"})
    with progress() as report:
        return Session.load(settings, time.perf_counter, report)


def _trace_writer(stack: ExitStack, file: Path | None) -> trace.TraceWriter | None:
    if file is None:
        return None
    try:
        opened = stack.enter_context(file.open("w", encoding="utf-8"))
    except OSError as error:
        raise TraceError(f"{file} cannot be written ({error.strerror}).", "Name another file with --trace.") from error
    return trace.TraceWriter(opened, trace.header())


def main() -> None:
    """Entry point of the `speculatoviz` command."""
    app(prog_name="speculatoviz")


if __name__ == "__main__":
    main()
