"""The command that tests whether speculation keeps the target's distribution."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import DRAFTING, MACHINE, MODEL, REMOTE, SAMPLING, settings_flags
from speculatoviz.cli.generate import load_session
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, plain
from speculatoviz.cli.terminal import progress
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.lab import certificate
from speculatoviz.lab.certificate import LEVEL, Certificate, GreedyDeparture, GreedyResult, Plan, SampledResult
from speculatoviz.lab.certified import document
from speculatoviz.lab.long_prompts import lengthened
from speculatoviz.lab.randomisation import POWER, Outcome

_HEADLINES = {
    "passed": "Passed: nothing was found that speculation changes.",
    "failed": "Failed: speculation changes what the target alone would write.",
    "undecided": "Undecided: nothing was found, but a part could not be tested.",
}
DEPTH = 4  # of the drafts that are tested, unless --k or --policy say otherwise


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, certify)


@settings_flags(MODEL, DRAFTING, SAMPLING, REMOTE, MACHINE, max_tokens=64, temperature=1.0)
def certify(
    settings: Settings,
    prompts: Annotated[
        Path | None,
        typer.Argument(help="prompts in Spec-Bench's format, JSON Lines; default: 14 prompts in 7 categories"),
    ] = None,
    per_category: Annotated[int, typer.Option(min=1, help="prompts of each category")] = 1,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="lengthen every prompt to about this many tokens, by text before it")
    ] = None,
    samples: Annotated[int, typer.Option(min=50, help="sampled runs of each kind; more catch smaller distances")] = 400,
    positions: Annotated[int, typer.Option(min=1, max=16, help="compared tokens of each sampled run")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of text")] = False,
) -> None:
    """Test whether speculative and plain decoding of a target agree.

    Greedy texts of all prompts have to be equal, except in near ties of kernels that round differently. Sampled runs of
    the first prompt are tested against the target's own probabilities and against plain runs. Ends with exit code 1 if
    a test fails.
    """
    from speculatoviz.lab.questions import read_prompts

    if settings.temperature == 0.0:
        raise BadRequestError("Sampled runs need a temperature above 0.", "Greedy texts are tested anyway.")
    asked = [prompt.text for prompt in read_prompts(prompts, per_category)]
    plan = Plan(
        k=_depth(settings),
        tokens=settings.max_tokens,
        samples=samples,
        positions=positions,
        temperature=settings.temperature,
        seed=settings.seed or 0,
    )
    with closing(load_session(settings)) as session, progress() as report:
        if prompt_tokens is not None:
            asked = [lengthened(prompt, prompt_tokens, session.encode_turn) for prompt in asked]
        found = certificate.certify(session, asked, plan, report)
    if as_json:
        typer.echo(dump(document(found), sys.stdout.encoding or "utf-8"))
    else:
        show(found, TextConsole())
    if found.verdict == "failed":
        raise typer.Exit(1)


def _depth(settings: Settings) -> int | None:
    """Of every round's draft; None if a policy chooses it."""
    if settings.policy is not None:
        return settings.k if settings.policy == "fixed" else None
    return DEPTH if settings.k is None else settings.k


def show(found: Certificate, console: TextConsole) -> None:
    """Print a certificate: the verdict, then what was tested and what each test would have caught."""
    console.print(_HEADLINES[found.verdict], style="bold")
    console.print(f"{found.target}, drafter {found.drafter}, rule {found.rule}, label: {found.label}.")
    console.print()
    greedy, sampled = found.greedy, found.sampled
    same = greedy.prompts - len(greedy.departures)
    console.print(f"T=0: {same} of {greedy.prompts} texts are equal, {greedy.tokens} tokens. {_drafts(greedy)}")
    for departure in greedy.departures:
        console.print(f"  {_departure(departure)}")
    console.print(
        f"T={found.plan.temperature:g}: {sampled.samples} speculative and as many plain runs, "
        f"{sampled.positions} tokens each. {_drafts(sampled)}"
    )
    if sampled.first_token is None:
        console.print("  The target gives no probabilities, so its first token is only compared with plain runs.")
    else:
        console.print(f"  first token, against the target's probabilities: {_outcome(sampled.first_token)}")
    console.print(f"  all tokens, against plain runs: {_outcome(sampled.plain)}")
    console.print(f"A correct rule fails each of these tests with probability {LEVEL:g}.", style="dim")


def _drafts(part: GreedyResult | SampledResult) -> str:
    return f"{part.accepted} of {part.drafted} drafted tokens accepted." if part.drafted else "Nothing was drafted."


def _outcome(found: Outcome) -> str:
    if found.distance is None:
        return f"p = {found.p_value:.3g}; too few different outcomes to catch anything"
    return f"p = {found.p_value:.3g}; a total variation of {found.distance:.2f} is caught with probability {POWER:g}"


def _departure(found: GreedyDeparture) -> str:
    where = f"prompt {found.prompt + 1}, token {found.position + 1}"
    texts = f"{plain(repr(found.speculative_token))} instead of {plain(repr(found.plain_token))}"
    margin = "margin unknown" if found.margin is None else f"margin {found.margin:.3f} nats"
    cause = {True: "a near tie", False: "not explained by rounding", None: "cause unknown"}[found.near_tie]
    return f"{where}: {texts}; {margin}, {cause}"
