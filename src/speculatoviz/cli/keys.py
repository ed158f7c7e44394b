"""The commands about keys: make, list and remove those that clients of a server send."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import TextConsole, notice
from speculatoviz.config import Settings, keys_place

if TYPE_CHECKING:
    from speculatoviz.server.key_file import KeyFile

_NAME = Annotated[str, typer.Argument(help="name of the key, for the list and the log", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to the program, as `keys add`, `keys list` and `keys remove`."""
    keys = program("Make, list and remove the keys that clients of a server send.")
    add(keys, add_key, "add")
    add(keys, list_keys, "list")
    add(keys, remove_key, "remove")
    app.add_typer(keys, name="keys")


def _file(settings: Settings) -> KeyFile:
    from speculatoviz.server.key_file import KeyFile

    return KeyFile(Path(keys_place(settings)), time.time)


@settings_flags("keys_file")
def add_key(
    settings: Settings,
    name: _NAME,
    days: Annotated[
        float | None,
        typer.Option("--days", min=0.001, max=36_500, help="days until the key expires; default: never"),
    ] = None,
) -> None:
    """Make a key and print it, once: only its SHA-256 is stored.

    A running server accepts it from then on. Clients send it as `Authorization: Bearer KEY`, which is the `api_key`
    of OpenAI's libraries; in a browser, the page asks for it.
    """
    typer.echo(_file(settings).add(name, days))
    notice("This key is shown only now. Keep it where its client can read it.", style="dim")


@settings_flags("keys_file")
def list_keys(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """List the names of the keys, with the dates on which they were made and expire."""
    keys = _file(settings).read()
    if as_json:
        values = [{"name": key.name, "created_s": key.created_s, "expires_s": key.expires_s} for key in keys]
        typer.echo(dump({"keys": values}, sys.stdout.encoding or "utf-8"))
        return
    console = TextConsole()
    if not keys:
        console.print("There is no key yet: `speculatoviz keys add NAME` makes one.")
        return
    table, now_s = Table("name", "made", "expires", box=None, pad_edge=False), time.time()
    for key in keys:
        expires = "never" if key.expires_s is None else _date(key.expires_s)
        table.add_row(key.name, _date(key.created_s), f"{expires} (over)" if key.expired(now_s) else expires)
    console.print(table)


@settings_flags("keys_file")
def remove_key(settings: Settings, name: _NAME) -> None:
    """Remove a key. A running server refuses it from the next request on; runs that have begun go on."""
    _file(settings).remove(name)
    notice(f"The key {name} is removed.", style="dim")


def _date(seconds: int) -> str:
    """In local time."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
