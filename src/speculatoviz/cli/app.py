"""The `speculatoviz` command, put together from one file per group of commands."""

from __future__ import annotations

import sys

from speculatoviz.cli import (
    autopsy,
    bench,
    certify,
    compare,
    engines,
    export,
    generate,
    keys,
    models,
    passport,
    remote,
    runs,
    serve,
    sweep,
    train,
    watch,
    whatif,
    why,
)
from speculatoviz.cli.flags import report
from speculatoviz.cli.help import program
from speculatoviz.cli.output import prepare
from speculatoviz.errors import OutputError

app = program()
GROUPS = (
    serve,
    generate,
    runs,
    export,
    autopsy,
    why,
    certify,
    whatif,
    engines,
    watch,
    passport,
    compare,
    models,
    remote,
    keys,
    train,
    bench,
    sweep,
)
for group in GROUPS:
    group.register(app)


def main() -> None:
    """Entry point of the `speculatoviz` command."""
    prepare()
    try:
        app(prog_name="speculatoviz")
    except OutputError as error:  # while typer printed a help text; commands report their own
        sys.exit(report(error))


if __name__ == "__main__":
    main()
