"""The commands that measure: `speculatoviz bench …`. Each prints one JSON line, or a JSON line for each run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from speculatoviz.cli.flags import errors, settings_of
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import notice
from speculatoviz.errors import BadRequestError
from speculatoviz.machine import describe

ProfileOption = Annotated[str, typer.Option(help="qwen or smol")]
DepthOption = Annotated[int, typer.Option("-k", help="draft depth")]
TokensOption = Annotated[int, typer.Option(help="tokens of a run")]
TemperatureOption = Annotated[float, typer.Option(help="sampling temperature")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    bench = program("Measure this machine. Nothing is asserted.")
    for command in (pair, drafters, report, models, rules, remote, sessions):
        add(bench, command)
    app.add_typer(bench, name="bench")


def pair(
    profile: ProfileOption = "qwen",
    target: Annotated[str | None, typer.Option(help="another target than the profile's")] = None,
    draft: Annotated[str | None, typer.Option(help="another draft model than the profile's")] = None,
    k: Annotated[int | None, typer.Option("-k", help="draft depth; default: the best one for this machine")] = None,
    repeats: Annotated[int, typer.Option(help="pairs of a plain and a speculative run for each prompt")] = 5,
    max_tokens: TokensOption = 96,
    temperature: TemperatureOption = 0.0,
) -> None:
    """Measure a pair: speculative runs against plain runs of the target, which alternate, on four prompts."""
    from speculatoviz.bench.decision import decision_ms
    from speculatoviz.bench.pair import overhead_share, speedups

    with errors():
        session = _session({"profile": profile, "target": target, "draft": draft})
        depth = session.default_k(session.drafter) if k is None else k
        result = {
            "machine": describe(),
            "target": session.target.description.name,
            "draft": session.draft_model.description.name if session.draft_model else None,
            "k": depth,
            "temperature": temperature,
            "decision_ms": decision_ms(),
            "pass_ms": dict(session.calibration.pass_ms),
            "draft_pass_ms": session.calibration.draft_ms,
            "overhead": overhead_share(session, depth, max_tokens, temperature),
            "speedup": speedups(session, depth, repeats, max_tokens, temperature),
        }
        session.close()
    typer.echo(json.dumps(result))


def drafters(
    prompts: Annotated[Path, typer.Argument(help="prompts in Spec-Bench's format, JSON Lines")],
    out: Annotated[Path, typer.Option(help="file of the runs, JSON Lines; runs that it holds are not repeated")],
    profile: ProfileOption = "qwen",
    selfspec: Annotated[str | None, typer.Option(help="how the target is made cheaper for selfspec")] = None,
    k: DepthOption = 4,
    nodes: Annotated[int, typer.Option(help="nodes of the trees; 0: chains only")] = 12,
    per_category: Annotated[int, typer.Option(help="prompts of each category")] = 1,
    max_tokens: TokensOption = 64,
    temperature: TemperatureOption = 0.0,
    drafter: Annotated[
        list[str] | None, typer.Option(help="a drafter to measure, may be repeated; default: all of the profile")
    ] = None,
) -> None:
    """Measure every drafter of a profile on the same prompts. Interrupted, it continues where it stopped."""
    from speculatoviz.bench.drafters import Setting, measure_all, read_prompts

    with errors():
        asked = read_prompts(prompts, per_category)
        session = _session({"profile": profile, "selfspec": selfspec, "evidence": False})
        for name in drafter or ():
            session.check_drafter(name)
        setting = Setting(profile, k, nodes, temperature, max_tokens, drafter or ())
        measure_all(session, setting, asked, out, _say)
        session.close()


def report(
    file: Annotated[Path, typer.Argument(help="runs that `bench drafters` wrote")],
    svg: Annotated[Path | None, typer.Option(help="file for the figure")] = None,
    title: Annotated[str, typer.Option(help="the figure's title")] = "Tokens a round",
) -> None:
    """Print the runs of `bench drafters` as a table, and draw those of the lowest temperature."""
    from speculatoviz.bench.drafters import read_runs
    from speculatoviz.bench.report import figure, table

    with errors():
        runs = read_runs(file)
        if not runs:
            raise BadRequestError(
                f"{file} holds no runs.", f"Measure some: speculatoviz bench drafters PROMPTS --out {file}"
            )
        if svg is not None:
            coldest = min(run.temperature for run in runs)
            figure([run for run in runs if run.temperature == coldest], title, svg)
        typer.echo(table(runs))


def models(
    names: Annotated[list[str], typer.Argument(help="models, as for --target; NAME=Q4_0 requantises one first")],
    one: Annotated[bool, typer.Option("--one", hidden=True)] = False,
) -> None:
    """Load each model in a process of its own; print its pass times, peak memory and noise floor."""
    if not one:
        command = [sys.executable, "-m", "speculatoviz.cli.app", "bench", "models", "--one"]
        sys.exit(max(subprocess.run([*command, name], check=False).returncode for name in names))
    from speculatoviz.bench.models import measure

    with errors():
        typer.echo(json.dumps(measure(names[0], settings_of({}))))


def rules(
    profile: ProfileOption = "qwen",
    k: DepthOption = 5,
    max_tokens: TokensOption = 96,
    seeds: Annotated[int, typer.Option(help="runs of each prompt")] = 2,
    drafter: Annotated[str, typer.Option(help="the drafter whose drafts are compared")] = "model",
) -> None:
    """Compare the exact rules on the same drafts, at T=0.7 and T=1. Independent of the machine's speed."""
    from speculatoviz.bench.rules import compare

    with errors():
        session = _session({"profile": profile, "drafter": drafter})
        result = {
            "machine": describe(),
            "target": session.target.description.name,
            "drafter": drafter,
            "k": k,
            "mean_acceptance_length": {
                str(temperature): compare(session, temperature, k, max_tokens, seeds) for temperature in (0.7, 1.0)
            },
        }
        session.close()
    typer.echo(json.dumps(result))


def remote(
    rtt_ms: Annotated[list[float] | None, typer.Option(help="round-trip times in ms; default: 0, 10, 40, 100")] = None,
    profile: ProfileOption = "qwen",
    k: DepthOption = 3,
    repeats: Annotated[int, typer.Option(help="runs of every mode, which alternate")] = 3,
    max_tokens: TokensOption = 48,
) -> None:
    """Measure speculation against a verifier process, at several round-trip times."""
    from speculatoviz.bench.remote import halves, measure, verifier

    with errors(), ExitStack() as stack:
        client_cores, server_cores = halves()
        settings = settings_of({"profile": profile, "threads": len(client_cores)})
        url = stack.enter_context(verifier(profile, server_cores))
        os.sched_setaffinity(0, client_cores)
        results: dict[str, object] = {}
        for rtt in rtt_ms or (0.0, 10.0, 40.0, 100.0):
            _say(f"round trips of {rtt:g} ms")
            results[f"{rtt:g}"] = measure(url, rtt, settings, k, repeats, max_tokens)
    about = {"machine": describe(), "profile": profile, "k": k, "max_tokens": max_tokens}
    typer.echo(json.dumps(about | {"rtt_ms": results}))


def sessions(
    profile: ProfileOption = "qwen",
    k: DepthOption = 3,
    rounds: Annotated[int, typer.Option(help="rounds of every session and repeat")] = 12,
    repeats: Annotated[int, typer.Option(help="pairs of one session and of all sessions")] = 5,
) -> None:
    """Measure a verifier with one session and with several at once, which alternate."""
    from speculatoviz.bench.sessions import measure

    with errors():
        settings = settings_of({"profile": profile})
        result = measure(settings, profile, k, rounds, repeats)
    typer.echo(json.dumps({"machine": describe(), "k": k} | result))


def _session(flags: dict[str, Any]) -> Any:
    """A loaded session; its stages are printed on stderr."""
    from speculatoviz.session.session import Session

    return Session.load(settings_of(flags), time.perf_counter, lambda stage, _share: _say(stage))


def _say(line: str) -> None:
    notice(line, style="dim")
