"""The commands about targets elsewhere: serving one, and finding out what one can do."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from speculatoviz.cli.flags import (
    ContextFlag,
    DeviceFlag,
    DtypeFlag,
    ProfileFlag,
    TargetFlag,
    TargetKeyFlag,
    TargetModeFlag,
    TargetQuantFlag,
    TargetTokenizerFlag,
    ThreadsFlag,
    errors,
    option,
    settings_of,
)
from speculatoviz.cli.terminal import progress
from speculatoviz.config import REMOTE_SCHEMES, Settings
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.load import load_tokenizer
from speculatoviz.session.targets import is_remote, loading, remote
from speculatoviz.targets.base import Remote, RemoteTarget

_TRIED = {"temperature 0": Sampling(0.0), "temperature 0.7": Sampling(0.7), "temperature 1": Sampling(1.0)}


def register(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    app.command()(verifier)
    app.command()(probe)


def verifier(
    target: TargetFlag = None,
    profile: ProfileFlag = None,
    target_quantisation: TargetQuantFlag = None,
    context_tokens: ContextFlag = None,
    threads: ThreadsFlag = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    sessions: Annotated[int | None, option("sessions")] = None,
    session_idle_s: Annotated[float | None, option("session_idle_s")] = None,
    api_key: Annotated[str | None, option("api_key")] = None,
    host: Annotated[str | None, option("host")] = None,
    port: Annotated[int | None, option("port")] = None,
) -> None:
    """Serve a target to drafters elsewhere, which use it as --target verifier:ws://HOST:PORT.

    Without a key it listens to this machine alone.
    """
    settings = settings_of(dict(locals()))
    from speculatoviz.server.verifier.serve import run

    with errors(), progress() as report:
        serving = run(settings, time.perf_counter, report)
    with errors(), suppress(KeyboardInterrupt):
        serving(lambda line: Console(stderr=True, soft_wrap=True).print(line, highlight=False))


def probe(
    target: Annotated[str, typer.Argument(help="a target elsewhere, named as for --target", show_default=False)],
    target_tokenizer: TargetTokenizerFlag = None,
    target_mode: TargetModeFlag = None,
    target_api_key: TargetKeyFlag = None,
    profile: ProfileFlag = None,
) -> None:
    """Find out what an endpoint can do, and how drafts are best verified there.

    Asks it some twenty short questions. Its tokenizer is that of --target-tokenizer, or of the profile's draft model.
    """
    settings = settings_of(dict(locals()))
    with errors():
        if not is_remote(target):
            raise BadRequestError(
                f"{target!r} is not a target elsewhere.",
                f"Begin with one of: {', '.join(REMOTE_SCHEMES)}, and a colon.",
            )
        with progress() as report:
            connected = remote(
                settings, target, lambda: _drafts_tokenizer(settings), time.perf_counter, report, full=True
            )
        try:
            assert isinstance(connected.target, RemoteTarget)
            _print(connected.target, connected.target.about())
        finally:
            connected.close()


def _drafts_tokenizer(settings: Settings) -> Tokenizer | None:
    draft = settings.model_copy(update={"target": None}).resolved()
    return load_tokenizer(draft.draft or draft.target, loading(settings), lambda _stage, _done, _total: None)


def _print(target: RemoteTarget, about: Remote) -> None:
    console = Console(highlight=False)
    found = Table("what", "found", box=None, pad_edge=False)
    found.add_row("address", about.url)
    found.add_row("model", target.description.name)
    told = dict(about.findings)
    if about.rtt_ms is not None and "round trip" not in told:
        found.add_row("round trip", f"{about.rtt_ms:.1f} ms")
    for question, answer in told.items():
        found.add_row(question, answer)
    console.print(found)
    console.print()
    best = Table("sampling", "mode", "label", "why", box=None, pad_edge=False)
    for name, sampling in _TRIED.items():
        best.add_row(name, *_verified(target, sampling))
    console.print(best)
    if about.calls_per_round is not None:
        console.print(f"calls a round, as a rule: {about.calls_per_round:g}", style="dim")
    if about.warning:
        console.print(about.warning, style="yellow")


def _verified(target: RemoteTarget, sampling: Sampling) -> tuple[str, str, str]:
    """Mode, label and reason for one sampling."""
    request = Request((0,), sampling, Limits(256))
    try:
        claim = target.claim(request)
    except SpeculatoVizError as error:
        return "none", "refused", str(error)
    return target.strategy(request), claim.label, claim.reason
