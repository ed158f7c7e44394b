"""The commands about remote targets: serving one, and finding out what one can do."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.table import Table

from speculatoviz.cli.flags import LOG, MACHINE, MODEL, SERVER, VERIFIER, settings_flags
from speculatoviz.cli.help import add
from speculatoviz.cli.logs import ServiceOutput
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.terminal import progress
from speculatoviz.config import REMOTE_SCHEMES, Settings
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.measure.placement import verification_ms, where_to_draft
from speculatoviz.models.base import LocalTokenizer
from speculatoviz.models.load import load_tokenizer
from speculatoviz.session.targets import is_remote, loading_options, open_remote
from speculatoviz.targets.base import RemoteTarget
from speculatoviz.targets.names import without_credentials

_TRIED = {"temperature 0": Sampling(0.0), "temperature 0.7": Sampling(0.7), "temperature 1": Sampling(1.0)}


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    add(app, verifier)
    add(app, probe)


@settings_flags(MODEL, MACHINE, VERIFIER, SERVER, LOG)
def verifier(settings: Settings) -> None:
    """Serve a target to remote drafters.

    They use it as --target verifier:ws://HOST:PORT. Without a key, only programs on this machine can connect.
    """
    from speculatoviz.server.verifier.serve import run

    output = ServiceOutput(settings)
    with output.progress() as report:
        serving = run(settings, time.perf_counter, report)
    with suppress(KeyboardInterrupt):
        serving(output.say)


@settings_flags("profile", "target_tokenizer", "target_mode", "target_api_key")
def probe(
    settings: Settings,
    target: Annotated[str, typer.Argument(help="a remote target, named as for --target", show_default=False)],
    draft_ms: Annotated[
        float | None, typer.Option(min=0.0, help="milliseconds of one drafted token here, for the recommendation")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, max=16, help="drafted tokens of a round, for the recommendation")] = 4,
) -> None:
    """Find out what an endpoint can do, and where to draft.

    Sends about twenty short requests, and prints what was found, how drafts are best verified there, and whether to
    draft here or there. The endpoint's tokenizer is that of --target-tokenizer, or of the profile's draft model.
    """
    if not is_remote(target):
        raise BadRequestError(
            f"{without_credentials(target)!r} is not a remote target.",
            f"Begin with one of: {', '.join(REMOTE_SCHEMES)}, and a colon.",
        )
    with progress() as report:
        opened = open_remote(settings, target, lambda: _draft_tokenizer(settings), time.perf_counter, report, full=True)
    try:
        assert opened.target.remote is not None
        _print(opened.target.remote)
        _recommend(opened.target.remote, depth, draft_ms)
    finally:
        opened.close()


def _recommend(target: RemoteTarget, depth: int, draft_ms: float | None) -> None:
    about, verifies = target.about(), target.about().mode == "verifier"
    pass_ms = verification_ms(target, depth) if verifies else None
    console = TextConsole()
    console.print()
    for line in where_to_draft(own=verifies, depth=depth, rtt_ms=about.rtt_ms, pass_ms=pass_ms, draft_ms=draft_ms):
        console.print(line)


def _draft_tokenizer(settings: Settings) -> LocalTokenizer | None:
    draft = settings.model_copy(update={"target": None}).resolved()
    return load_tokenizer(draft.draft or draft.target, loading_options(settings), lambda _stage, _done, _total: None)


def _print(target: RemoteTarget) -> None:
    console, about = TextConsole(), target.about()
    found = Table("question", "answer", box=None, pad_edge=False)
    found.add_row("address", about.url)
    found.add_row("model", target.description.name)
    findings = dict(about.findings)
    if about.rtt_ms is not None and "round trip" not in findings:
        found.add_row("round trip", f"{about.rtt_ms:.1f} ms")
    for question, answer in findings.items():
        found.add_row(question, answer)
    console.print(found)
    console.print()
    best = Table("sampling", "mode", "label", "why", box=None, pad_edge=False)
    for name, sampling in _TRIED.items():
        best.add_row(name, *_verified(target, sampling))
    console.print(best)
    if about.calls_per_round is not None:
        console.print(f"calls per round, usually: {about.calls_per_round:g}", style="dim")
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
