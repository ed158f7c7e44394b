"""The command that answers what a recorded run would have been with other choices."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import StoreOption, settings_of
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.recorded import RECORDED, recorded
from speculatoviz.config import PolicyName, Settings
from speculatoviz.core.types import Rule
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.pass_tables import read_pass_times
from speculatoviz.lab.round_costs import RoundCosts
from speculatoviz.lab.run_record import run_record
from speculatoviz.lab.what_if import Answer, Choice, Question, what_if

_WHOLE_NUMBERS = "Write whole numbers, such as --k 1,2,4."


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, whatif)


def whatif(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help=f"each with --record-depth N: {RECORDED}", show_default=False),
    ],
    k: Annotated[
        str | None,
        typer.Option("--k", "-k", metavar="<int,...>", help="draft depths; default: 1 to the recorded depth"),
    ] = None,
    policy: Annotated[PolicyName, typer.Option("--policy", help="fixed, adaptive or auto")] = "fixed",
    rule: Annotated[
        Rule | None, typer.Option("--rule", help="token, block or match; default: as recorded", show_default=False)
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option(
            "--passes",
            metavar="<tokens:ms,...|file>",
            help="another machine's pass times, such as 1:25,2:36,4:51, or the output of llama-batched-bench or vllm "
            "bench serve",
        ),
    ] = None,
    draft_ms: Annotated[
        float | None, typer.Option("--draft-ms", min=0.0, help="milliseconds of a drafted token; default: as measured")
    ] = None,
    rtt_ms: Annotated[
        float | None,
        typer.Option("--rtt-ms", min=0.0, help="round-trip time of a remote target; default: as measured"),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="sequences that decode together on the target")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of a table")] = False,
    store: StoreOption = None,
) -> None:
    """Tell what a recorded run would have been with another depth, rule, policy, network, batch, drafter or machine.

    Needs no model. The accepted tokens of a greedy run are exact; times are computed from measured ones. Several traces
    of one drafter are answered together.
    """
    table = None if passes is None else read_pass_times(passes)

    def changed(own: RoundCosts) -> RoundCosts:
        return own.changed(table, network_ms=rtt_ms)

    def settings() -> Settings:
        return settings_of({"store": store})

    question = Question(_depths(k), policy, rule, batch, draft_ms, changed)
    answer = what_if([run_record(recorded(run, settings).events) for run in runs], question)
    if as_json:
        values = answer._asdict() | {"choices": [choice._asdict() for choice in answer.choices]}
        typer.echo(dump(values | {"passes": "run" if table is None else "given"}, sys.stdout.encoding or "utf-8"))
        return
    show(answer, TextConsole(), given=table is not None)


def _depths(text: str | None) -> tuple[int, ...]:
    try:
        return () if text is None else tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BadRequestError(f"{text!r} is no list of depths.", _WHOLE_NUMBERS) from error


def show(answer: Answer, console: TextConsole, *, given: bool) -> None:
    """Print the best depth, a row for every depth, and what the figures are."""
    console.print(_verdict(answer))
    table = Table("k", "tokens a round", "draft ms", "verify ms", "tok/s", "speedup", "", box=None, pad_edge=False)
    plain_ms = 1000 * answer.batch / answer.plain_tps
    table.add_row("0", "1.00", "0.0", f"{plain_ms:.1f}", f"{answer.plain_tps:.1f}", "1.00×", "computed")
    for choice in answer.choices:
        table.add_row(
            str(choice.depth),
            f"{choice.tokens_per_round:.2f}",
            f"{choice.draft_ms:.1f}",
            f"{choice.verify_ms:.1f}" if choice.measured_passes else f"~{choice.verify_ms:.1f}",
            _rate(choice, answer.level),
            f"{choice.speedup:.2f}×",
            "accepted tokens exact, times computed" if choice.exact else "estimate",
        )
    console.print(table)
    for sentence in _notes(answer, given=given):
        console.print(sentence, style="dim")


def _verdict(answer: Answer) -> str:
    rate = answer.plain_tps
    text = "Plain decoding is the fastest"
    if answer.best:
        best = next(choice for choice in answer.choices if choice.depth == answer.best)
        most = "" if answer.policy == "fixed" else "at most "
        text, rate = f"k {most}{answer.best} is the fastest, {best.speedup:.2f}× plain decoding", best.tps
    sure = "" if answer.best_share is None else f"; it is the fastest in {100 * answer.best_share:.0f} % of resamples"
    together = "" if answer.batch == 1 else f" of {answer.batch} sequences together"
    return f"{text}: {rate:.1f} tok/s{together}{sure}."


def _rate(choice: Choice, level: float) -> str:
    if choice.low is None or choice.high is None:
        return f"{choice.tps:.1f}"
    return f"{choice.tps:.1f} ({100 * level:.0f} %: {choice.low:.1f} to {choice.high:.1f})"


def _notes(answer: Answer, *, given: bool) -> list[str]:
    runs = "1 run" if answer.runs == 1 else f"{answer.runs} runs"
    passes = "the given pass times" if given else "the pass times of the recording machine"
    notes = [
        f"{answer.drafter} drafts, policy {answer.policy}, rule {answer.rule}, temperature {answer.temperature:g}; "
        f"{answer.tokens} tokens of {runs}. Computed from {passes}."
    ]
    if answer.batch > 1:
        notes.append(
            f"Rounds of {answer.batch} sequences that draft equally deep at the same time. What a drafted token of all "
            "of them takes is an assumption; give --draft-ms if it was measured."
        )
    if answer.measured_tps is not None:
        notes.append(f"As recorded, evidence not counted: {answer.measured_tps:.1f} tok/s, measured.")
    if any(not choice.measured_passes for choice in answer.choices):
        notes.append("~: passes of a size that was not measured are interpolated between those that were.")
    if answer.left_out:
        left = ", ".join(map(str, answer.left_out))
        notes.append(f"Left out: k {left}, whose passes are larger than every measured one.")
    if not answer.whole:
        notes.append("The record ends before the output does: the answer is about the part that was recorded.")
    if answer.best_share is None:
        notes.append("Too little text for intervals: they need 8 prompts, or 128 tokens.")
    return notes
