"""The command `speculatoviz bench peers`: this engine's ways to decode, and other engines on the same files."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from speculatoviz.cli.flags import MODEL, settings_flags
from speculatoviz.cli.lists import numbers, texts
from speculatoviz.cli.output import notice
from speculatoviz.config import Settings


@settings_flags(MODEL, "draft", "draft_quantisation", "draft_vocabulary", "threads", max_tokens=64)
def peers(
    settings: Settings,
    out: Annotated[Path, typer.Option(help="file of the runs, JSON Lines; runs that it holds are not repeated")],
    prompts: Annotated[
        Path | None,
        typer.Argument(help="prompts in Spec-Bench's format, JSON Lines; default: 14 prompts in 7 categories"),
    ] = None,
    per_category: Annotated[int, typer.Option(min=1, help="prompts of each category")] = 1,
    temperatures: Annotated[str, typer.Option(help="sampling temperatures, separated by commas")] = "0,0.7",
    runtimes: Annotated[
        str | None,
        typer.Option(
            help="runtimes of this engine, separated by commas; plain decoding on the first one is the reference; "
            "default: those that are installed"
        ),
    ] = None,
    drafters: Annotated[
        str | None, typer.Option(help="drafters, separated by commas; default: the pair's own, suffix and hybrid")
    ] = None,
    depths: Annotated[str, typer.Option(help="fixed draft depths, separated by commas")] = "1,2,3,5,7",
    figure: Annotated[Path | None, typer.Option(help="file for a figure, SVG")] = None,
    llamacpp: Annotated[bool, typer.Option(help="measure llama.cpp's own server too (package xllamacpp)")] = True,
    transformers: Annotated[
        bool, typer.Option(help="measure assisted generation of transformers too (extra hf), for small models")
    ] = False,
) -> None:
    """Compare this engine's runtimes, drafters, depths and policies with each other and with other engines.

    Prints tables of ratios to plain decoding with this engine, then one JSON line. Interrupted, it continues.
    """
    from speculatoviz.bench.peers.figure import figure as draw
    from speculatoviz.bench.peers.lineup import Choice, Lineup, check_runtimes
    from speculatoviz.bench.peers.measuring import Measurement, measure_all
    from speculatoviz.bench.peers.runs import About, latest, read_entries
    from speculatoviz.bench.peers.summary import summary, tables
    from speculatoviz.lab.drawing import require_matplotlib
    from speculatoviz.lab.questions import read_prompts

    if figure is not None:
        require_matplotlib()
    choice = Choice(
        runtimes=check_runtimes(settings, texts(runtimes)),
        drafters=texts(drafters),
        depths=numbers(depths, "--depths", "k", int, 1),
        temperatures=numbers(temperatures, "--temperatures", "temperature", float, 0),
        llamacpp=llamacpp,
        transformers=transformers,
    )
    asked = read_prompts(prompts, per_category)
    with ExitStack() as stack:
        lineup = Lineup(settings, choice, stack, _print_line)
        measurement = Measurement(
            reference=lineup.reference,
            ways=lineup.ways,
            encode=lineup.engines[0].encode,
            prompts=asked,
            temperatures=choice.temperatures,
            max_tokens=settings.max_tokens,
            clock=time.perf_counter,
            progress=_print_line,
        )
        facts = lineup.facts
        measure_all(measurement, facts, lineup.outside_passes, out)
    entries = read_entries(out)
    runs, about = latest(entries), [facts, *(entry for entry in entries if isinstance(entry, About))][-1]
    if figure is not None:
        draw(runs, about, figure)
    typer.echo(tables(runs, about))
    typer.echo(json.dumps(summary(runs, about)))


def _print_line(line: str) -> None:
    notice(line, style="dim")
