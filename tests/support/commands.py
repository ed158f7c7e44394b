"""The command tree of the program, for tests that go through all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from speculatoviz.cli.app import app


def commands() -> dict[str, Any]:
    """{name: command}, as in "models list"; groups are left out."""
    return dict(_below(typer.main.get_command(app), ()))


def _below(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(names), command
        return
    for name, one in inner.items():
        yield from _below(one, (*names, name))


def options(command: Any) -> dict[str, Any]:
    """{parameter's name: option} of a command."""
    return {option.name: option for option in command.params if option.param_type_name == "option"}
