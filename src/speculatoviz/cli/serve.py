"""The command that serves the page."""

from __future__ import annotations

import threading
import time
import webbrowser
from typing import Annotated

import typer

from speculatoviz.cli.flags import (
    DRAFTING,
    MACHINE,
    MODEL,
    PROMPT_CACHE,
    RECORD,
    REMOTE,
    SAMPLING,
    SERVER,
    STORE,
    settings_flags,
)
from speculatoviz.cli.help import add
from speculatoviz.cli.output import notice
from speculatoviz.cli.terminal import both, chosen_runtimes, progress
from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.session.session import Session


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, serve)


@settings_flags(MODEL, DRAFTING, SAMPLING, REMOTE, MACHINE, PROMPT_CACHE, RECORD, STORE, SERVER)
def serve(
    settings: Settings,
    open: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,  # noqa: A002
) -> None:
    """Serve the page, which shows every step of every run.

    The same server answers OpenAI's API, below /v1. All runs are kept, with their prompts: `--store none` switches
    that off.
    """
    from speculatoviz.server.serve import page_server

    def load(report: Progress) -> Session:
        with progress() as shown:
            session = Session.load(settings, time.perf_counter, both(report, shown))
        draft = session.draft_model
        for line in chosen_runtimes(draft.description if draft else None, session.target.description):
            notice(line, style="dim")
        return session

    server = page_server(settings, load)
    notice(f"SpeculatoViz on {server.url} (Ctrl+C stops it)", style="")
    if open:
        threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
    server.run()
