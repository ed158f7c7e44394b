"""The command that serves the page."""

from __future__ import annotations

import threading
import time
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from speculatoviz.cli.flags import DRAFTING, MACHINE, MODEL, REMOTE, SAMPLING, SERVER, settings_flags
from speculatoviz.cli.help import add
from speculatoviz.cli.output import notice
from speculatoviz.cli.terminal import both, progress
from speculatoviz.config import Settings
from speculatoviz.session.session import Session
from speculatoviz.session.targets import Report


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, serve)


@settings_flags(MODEL, DRAFTING, SAMPLING, REMOTE, MACHINE, SERVER)
def serve(
    settings: Settings,
    open: Annotated[bool, typer.Option("--open", help="open the page in a browser")] = False,  # noqa: A002
) -> None:
    """Serve the page, which shows every step of every run."""
    from speculatoviz.server.address import configured, listen, url
    from speculatoviz.server.app import create_app

    listening = listen(settings.host, settings.port)

    def load(report: Report) -> Session:
        with progress() as shown:
            return Session.load(settings, time.perf_counter, both(report, shown))

    application = create_app(settings, load)
    address = url(settings.host, listening)
    notice(f"SpeculatoViz on {address} (Ctrl+C stops it)", style="")
    if open:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
    with suppress(KeyboardInterrupt):
        configured(application).run(sockets=[listening])
