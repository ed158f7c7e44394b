"""The command that serves the page."""

from __future__ import annotations

import threading
import time
import webbrowser
from typing import Annotated

import typer

from speculatoviz.cli.flags import (
    CONCURRENCY,
    DRAFTING,
    LOG,
    MACHINE,
    MODEL,
    PROMPT_CACHE,
    QUOTA,
    RACE,
    RECORD,
    REMOTE,
    SAMPLING,
    SERVER,
    STOP,
    STORE,
    settings_flags,
)
from speculatoviz.cli.help import add
from speculatoviz.cli.logs import ServiceOutput
from speculatoviz.cli.terminal import both, chosen_runtimes
from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.session.session import Session


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, serve)


@settings_flags(
    *(MODEL, DRAFTING, SAMPLING, REMOTE, MACHINE, PROMPT_CACHE, RECORD, STORE, SERVER, CONCURRENCY),
    *(RACE, QUOTA, STOP, LOG),
)
def serve(
    settings: Settings,
    open: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,  # noqa: A002
) -> None:
    """Serve the page, which shows every step of every run.

    The same server answers OpenAI's API, below /v1. Several runs share forward passes. All runs are kept, with their
    prompts: `--store none` switches that off.
    """
    from speculatoviz.server.serve import page_server
    from speculatoviz.session.places import concurrency

    output = ServiceOutput(settings)

    def load(report: Progress) -> Session:
        with output.progress() as shown:
            reports = both(report, shown)
            session = Session.load(settings, time.perf_counter, reports, runs=concurrency(settings, reports))
        draft = session.draft_model
        for line in chosen_runtimes(draft.description if draft else None, session.target.description):
            output.say(line, style="dim")
        return session

    server = page_server(settings, load)
    # What is no terminal may be a log, where a key must not be.
    output.say(f"SpeculatoViz on {server.url if output.terminal else server.address} (Ctrl+C stops it)")
    if open:
        threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
    server.run()
