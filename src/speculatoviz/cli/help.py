"""How commands are added and how their help looks: plain text, with a section for every group of flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from speculatoviz.cli.flags import errors


class Command(TyperCommand):
    """A command whose help lists the flags by group."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help, in the order of the parameters; flags without a group come last."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            title = "Arguments" if parameter.param_type_name == "argument" else "Options"
            row = parameter.get_help_record(ctx)
            if row is not None:
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or title, []).append(row)
        sections["Options"] = sections.pop("Options", [])
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def add(app: typer.Typer, command: Callable[..., None], name: str | None = None) -> None:
    """Add a command to a program, with its errors in words."""
    app.command(name, cls=Command)(errors()(command))


def program(help: str | None = None) -> typer.Typer:  # noqa: A002
    """A program, or a group of commands, that prints its help if no command is named."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
