"""The command that watches another server: its rounds by its own counters, and the requests that pass a proxy."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from speculatoviz.cli.flags import STORE, settings_flags
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError, SpeculatoVizError

if TYPE_CHECKING:  # an HTTP client and SQLAlchemy take long to import
    from speculatoviz.cli.watching import View
    from speculatoviz.lab.store.recorder import Recorder
    from speculatoviz.lab.watch.watching import Watching

_ID_BYTES = 6


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, watch)


@settings_flags("target_api_key", STORE)
def watch(
    settings: Settings,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="the server, such as http://127.0.0.1:8000", show_default=False)
    ],
    listen: Annotated[
        int | None,
        typer.Option("--listen", metavar="PORT", min=0, max=65535, help="also forward what comes to this port"),
    ] = None,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="seconds between two looks at /metrics")] = 1.0,
    count: Annotated[int, typer.Option("--count", min=0, help="end after so many intervals; 0: go on")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document a line")] = False,
) -> None:
    """Watch a running vLLM, SGLang, llama-server or SpeculatoViz.

    Draws its rounds from its own counters, by the interval: drafts, acceptance by position, tokens a second. These are
    sums over all its requests; single drafted tokens cannot be seen from outside.

    With --listen PORT it is a transparent proxy, too: clients of this machine use that port in place of the server's.
    Every byte passes unchanged. Requests for text are timed and kept as runs, with prompt, text and the statistics that
    the answer reports. The place Traffic of a page with the same store lists them.
    """
    from speculatoviz.cli.watching import view_of
    from speculatoviz.lab.store.opening import recording

    console = TextConsole()
    recorded = nullcontext() if listen is None else recording(settings)
    with recorded as recorder, suppress(KeyboardInterrupt):
        view = view_of(console, as_json=as_json)
        watching = _watching(settings, url, view, recorder)
        with view.shown(watching):
            asyncio.run(_watch(watching, listen, interval, count))


def _watching(settings: Settings, url: str, view: View, recorder: Recorder | None) -> Watching:
    from speculatoviz.cli.watching import Recording
    from speculatoviz.lab.engines.fetching import parsed
    from speculatoviz.lab.watch.watching import Watching

    key = settings.target_api_key
    address, credentials = parsed(url, key.get_secret_value() if key else None)
    observers = (view,) if recorder is None else (view, Recording(recorder))
    return Watching(address, credentials, observers, time.monotonic, lambda: secrets.token_hex(_ID_BYTES))


async def _watch(watching: Watching, listen: int | None, interval_s: float, count: int) -> None:
    if listen is None:
        await watching.look()  # without a proxy there is nothing else to see, so a failure is the end
        await watching.look_again(interval_s, count)
        return
    try:
        async with watching.proxy(listen):
            with suppress(SpeculatoVizError):
                await watching.look()
            await watching.look_again(interval_s, count)
    except OSError as error:
        raise BadRequestError(
            f"The port {listen} cannot be used ({error.strerror or error}).", "Name another one, or 0 for a free one."
        ) from error
