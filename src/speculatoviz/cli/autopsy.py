"""The command that explains why drafted tokens were rejected."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import DRAFTING, MACHINE, MODEL, REMOTE, SAMPLING, settings_flags
from speculatoviz.cli.generate import load_session
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, notice, plain
from speculatoviz.cli.recorded import RECORDED, recorded
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.telemetry.autopsy import autopsy as explain
from speculatoviz.telemetry.autopsy_info import Autopsy, Cause, CauseShare, RejectedToken
from speculatoviz.telemetry.events import Event, RunWarning
from speculatoviz.telemetry.messages import Start

TITLES: dict[Cause, str] = {
    "irreducible": "draft differs",
    "position": "position",
    "depth": "deeper than trained",
    "vocabulary": "outside the vocabulary",
    "filters": "cut by filters",
    "greedy": "chosen, not drawn",
    "rule": "rule",
    "unknown": "not known",
}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, autopsy)


@settings_flags(MODEL, DRAFTING, SAMPLING, REMOTE, MACHINE, "store")
def autopsy(
    settings: Settings,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help=f"{RECORDED}; without it, prompts are run", show_default=False),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="<str>", help="decode this first; can be given several times"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of tables")] = False,
) -> None:
    """Explain why drafted tokens were rejected, by cause.

    Reads a recorded run, or decodes prompts with the given target and drafter. Several prompts count as one run.
    A trace that was cut off is read up to its last whole round.
    """
    if (run is None) == (not prompt):
        raise BadRequestError(
            "An autopsy needs either a recorded run or prompts.",
            "Name a file written with --trace or a run of `speculatoviz runs list`, or give --prompt TEXT.",
        )
    events = recorded(run, lambda: settings).events if run is not None else list(_run(settings, prompt or []))
    found = explain(events)
    if found is None:
        raise BadRequestError(
            "No drafted token was tested in this run.",
            "Name a drafter and a depth, such as --drafter suffix --k 4: the policy auto may decode without drafts.",
        )
    if as_json:
        typer.echo(dump(found.model_dump(), sys.stdout.encoding or "utf-8"))
        return
    for event in events:
        if isinstance(event, RunWarning):
            notice(f"round {event.round + 1}: {event.message} {event.hint}")
    show(found, TextConsole())


def _run(settings: Settings, prompts: list[str]) -> Iterator[Event]:
    """The events of the prompts, decoded one after the other with evidence."""
    session = load_session(settings.model_copy(update={"evidence": True}))
    try:
        for number, prompt in enumerate(prompts, start=1):
            prepared = session.prepare(Start(prompt=prompt, record_depth=0))
            yield from session.run(f"prompt {number}", prepared, lambda: False)
    finally:
        session.close()


def show(found: Autopsy, console: TextConsole) -> None:
    """Print an autopsy: totals, a row for every cause, what would help, and examples."""
    rounds = "round" if found.rounds == 1 else "rounds"
    console.print(
        f"{found.rejected} of {found.tested} tested tokens were rejected in {found.rounds} {rounds}; "
        f"{found.expected:.1f} were to be expected."
    )
    console.print(_table(found))
    if found.classes:
        console.print()
        console.print(_classes(found))
    for cause in found.causes:
        console.print()
        console.print(TITLES[cause.cause], style="bold")
        console.print(_advice(cause))
        for example in cause.examples:
            console.print(_quoted(example))
    if found.shorter is not None:
        s = found.shorter
        console.print()
        console.print(
            f"k {s.depth} instead of {s.drafted}: about {s.tps:.1f} instead of {s.measured_tps:.1f} tok/s, by the "
            "measured times of drafted tokens and of passes."
        )
    for sentence in found.missing:
        console.print(sentence, style="yellow")


def _table(found: Autopsy) -> Table:
    table = Table("cause", "tokens", "of rejected", "of expected", "share", box=None, pad_edge=False)
    for cause in found.causes:
        title, tokens = TITLES[cause.cause], str(cause.tokens)
        table.add_row(title, tokens, f"{cause.rejections:.1f}", f"{cause.expected:.1f}", _share(cause, found.level))
    return table


def _classes(found: Autopsy) -> Table:
    table = Table("token of the text", "tested", "accepted", "expected", box=None, pad_edge=False)
    for one in found.classes:
        accepted, expected = 1 - one.rejected / one.tested, 1 - one.expected / one.tested
        table.add_row(one.token_class, str(one.tested), f"{100 * accepted:.0f} %", f"{100 * expected:.0f} %")
    return table


def _share(cause: CauseShare, level: float) -> str:
    if cause.share is None:
        return "–"
    if cause.low is None or cause.high is None:
        return f"{100 * cause.share:.0f} %"
    return f"{100 * cause.share:.0f} % ({100 * level:.0f} %: {100 * cause.low:.0f} to {100 * cause.high:.0f})"


def _advice(cause: CauseShare) -> str:
    if cause.gain is None:
        return cause.remedy
    return f"{cause.remedy} At most {cause.gain:+.2f} tokens a round."


def _quoted(example: RejectedToken) -> Text:
    """The end of the text, the drafted token struck through, and what the text has in its place."""
    before = re.sub(r"\s+", " ", plain(example.before))
    line = Text(f"  round {example.round + 1}: …{before[-40:]}", style="dim")
    line.append(plain(example.drafted), style="strike red")
    line.append(f" → {plain(example.chosen)}" if example.chosen is not None else "")
    probs = ", ".join(
        f"{name} {value:.2g}"
        for name, value in (("q", example.draft_prob), ("p", example.target_prob))
        if value is not None
    )
    line.append(f"  ({probs})" if probs else "", style="dim")
    return line
