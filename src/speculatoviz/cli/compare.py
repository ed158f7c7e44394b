"""The command that compares an engine without and with its own speculation."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speculatoviz.cli.document import dump
from speculatoviz.cli.flags import settings_flags
from speculatoviz.cli.help import add
from speculatoviz.cli.output import TextConsole, notice
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError

if TYPE_CHECKING:
    from speculatoviz.lab.endpoints.compare import Comparison, GreedyText

_SHOWN = 48  # characters of a prompt
_STYLES = {"near tie": "", "cannot tell": "yellow", "verifier wrong": "red"}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    add(app, compare)


@settings_flags("target_api_key")
def compare(
    settings: Settings,
    plain: Annotated[str, typer.Argument(metavar="URL1", help="the engine without speculation", show_default=False)],
    speculating: Annotated[str, typer.Argument(metavar="URL2", help="the engine with speculation", show_default=False)],
    prompts: Annotated[
        Path | None,
        typer.Option(help="prompts, JSON Lines with prompt or turns; default: 7 prompts of 7 categories"),
    ] = None,
    per_category: Annotated[int, typer.Option(min=1, help="prompts of each category")] = 1,
    tokens: Annotated[int, typer.Option(min=1, help="tokens of a greedy text")] = 64,
    samples: Annotated[int, typer.Option(min=0, help="draws of each engine for each of two prompts; 0 for none")] = 64,
    tools: Annotated[bool, typer.Option(help="compare a tool call, whole and streamed")] = True,
    cache: Annotated[bool, typer.Option(help="compare the prefix-cache hits of a repeated prompt")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document instead of lines")] = False,
) -> None:
    """Compare an engine without and with its own speculation: is a difference a near tie, or a bug?

    Both URLs are OpenAI-compatible servers of one model, as http://host:port or http://host:port#MODEL. Greedy texts
    are compared token by token; where they part, the scores of both tokens decide: a near tie that the engine's own
    noise turns, a wrong verifier, or not to be told. Sampled texts are compared by a permutation test, with the
    smallest fault that it would have found. Exits with 1 if the verifier is wrong, the samples differ, or only the
    engine with speculation breaks the JSON of a tool call.
    """
    from speculatoviz.lab.endpoints.compare import Plan, compare_urls  # its HTTP client takes long to import
    from speculatoviz.lab.questions import read_prompts

    if samples == 1:
        raise BadRequestError("One draw is no sample.", "Give --samples 2 or more, or 0 for no test.")
    texts = [prompt.text for prompt in read_prompts(prompts, per_category)]
    key = settings.target_api_key.get_secret_value() if settings.target_api_key else None
    plan = Plan(tokens, samples, tools=tools, cache=cache)
    found = compare_urls(plain, speculating, texts, plan, lambda line: notice(line, style="dim"), api_key=key)
    if as_json:
        typer.echo(dump(document(found), sys.stdout.encoding or "utf-8"))
    else:
        show(found, TextConsole())
    if found.wrong:
        raise typer.Exit(1)


def document(found: Comparison) -> dict[str, Any]:
    """One JSON object: every greedy text with its verdict, the test of the samples, and the notes."""
    return asdict(found) | {"wrong": found.wrong}


def show(found: Comparison, console: TextConsole) -> None:
    """Print a line for each greedy text, the test, and the notes."""
    for text in found.texts:
        _show_text(text, console)
    parted = [text for text in found.texts if text.position is not None]
    console.print(f"{len(found.texts) - len(parted)} of {len(found.texts)} greedy texts are equal.")
    if found.sampled is not None:
        test = found.sampled
        caught = (
            f"A verifier that writes the most probable token in place of a draw at {100 * test.caught:.0f} % of the "
            "places would have been found with a probability of 80 %."
            if test.caught is not None
            else "The sample is too small to find any such fault: draw more with --samples."
        )
        result = "The sampled texts differ" if test.differs else "No difference between the sampled texts was found"
        console.print(f"{result} (p = {test.p_value:.3f}, {test.draws} draws of each engine). {caught}")
    _show_calls(found, console)
    for note in found.notes:
        console.print(note, style="yellow")


def _show_calls(found: Comparison, console: TextConsole) -> None:
    from speculatoviz.lab.endpoints.tools import NotCompared, ToolCalls

    if isinstance(found.tools, NotCompared):
        console.print(found.tools.reason, style="dim")
    if isinstance(found.tools, ToolCalls) and not found.tools.notes:
        console.print("The tool calls are equal, at once and as streams.")
    if found.cache is not None:
        without, along = ("not reported" if one.tokens is None else str(one.tokens) for one in found.cache)
        console.print(f"Cached tokens of a repeated prompt: {without} without speculation, {along} with it.")


def _show_text(text: GreedyText, console: TextConsole) -> None:
    prompt = " ".join(text.prompt.split())[:_SHOWN]
    if text.position is None or text.verdict is None:
        console.print(f"{prompt}: equal, {text.tokens} tokens", style="dim")
        return
    console.print(
        f"{prompt}: {text.verdict.kind} at token {text.position + 1} ({text.plain!r}, {text.speculating!r}). "
        f"{text.verdict.reason}",
        style=_STYLES[text.verdict.kind],
    )
