"""The commands that measure: `speculatoviz bench …`. Each prints one JSON line, or a JSON line for each run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from speculatoviz.cli.flags import MODEL, settings_flags
from speculatoviz.cli.help import add, program
from speculatoviz.cli.output import notice
from speculatoviz.cli.peers import peers
from speculatoviz.cli.sweep import sweep
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.machine import describe
from speculatoviz.session.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    bench = program("Measure this machine. Nothing is asserted.")
    for command in (pair, sweep, drafts, peers, prompts, edit, models, runtimes, rules, remote, sessions, concurrency):
        add(bench, command)
    app.add_typer(bench, name="bench")


@settings_flags(MODEL, "draft", "runtime", "policy", "k", max_tokens=96, temperature=0.0)
def pair(
    settings: Settings,
    repeats: Annotated[int, typer.Option(min=1, help="pairs of a plain and a speculative run for each prompt")] = 5,
) -> None:
    """Measure a pair: speculative runs against plain runs of the target, which alternate, on four prompts."""
    from speculatoviz.bench.decision import decision_ms
    from speculatoviz.bench.outside import outside_passes
    from speculatoviz.bench.pair import PROMPTS, speedups
    from speculatoviz.session.planning import policy_of

    with _session(settings) as session:
        k, tokens, temperature = session.default_k(session.drafter), settings.max_tokens, settings.temperature
        result = {
            "machine": describe(),
            "target": session.target.description.name,
            "draft": session.draft_model.description.name if session.draft_model else None,
            "policy": policy_of(settings.policy, settings.k, settings.nodes),
            "k": k,
            "temperature": temperature,
            "decision_ms": decision_ms(),
            "pass_ms": dict(session.calibration.pass_ms),
            "draft_pass_ms": session.calibration.draft_ms,
            "overhead": outside_passes(session, k, tokens, temperature, PROMPTS["code"]),
            "speedup": speedups(session, repeats, tokens, temperature),
        }
    typer.echo(json.dumps(result))


@settings_flags(MODEL, "draft", "runtime", "threads", "context_tokens", max_tokens=64)
def drafts(
    settings: Settings,
    prompts: Annotated[
        Path | None, typer.Argument(help="prompts in Spec-Bench's format, JSON Lines; default: 7 of the project's own")
    ] = None,
    version: Annotated[
        list[str] | None,
        typer.Option(
            help="file (as it is), Q4_0, file@65536 or Q4_0@65536 (trimmed to so many tokens); may be repeated"
        ),
    ] = None,
    per_category: Annotated[int, typer.Option(min=1, help="prompts of each category")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="timed passes of every version, in turn")] = 30,
) -> None:
    """Compare versions of a draft model: bytes and time of a token, and acceptance along the target's own texts.

    Prints a table, then one JSON line.
    """
    from speculatoviz.bench.drafts import Measured, measure, table
    from speculatoviz.lab.questions import read_prompts

    named = version or ["file", "Q4_0", "file@65536", "Q4_0@98304", "Q4_0@65536", "Q4_0@49152", "Q4_0@32768"]
    result = measure(settings, named, read_prompts(prompts, per_category), repeats, _print_line)
    found = result["versions"]
    assert isinstance(found, list)
    typer.echo(table([Measured(**one) for one in found]))
    typer.echo(json.dumps({"machine": describe()} | result))


@settings_flags(MODEL, "draft", "runtime", "k", "threads", "context_tokens", max_tokens=48)
def prompts(
    settings: Settings,
    turns: Annotated[int, typer.Option(min=1, help="questions of each conversation")] = 10,
) -> None:
    """Measure the time to the first token with the prompt cache and without it, which alternate.

    A chat; questions about one long document; questions about two documents in turn.
    """
    from speculatoviz.bench.prompts import QUESTIONS, measure
    from speculatoviz.measure.text import PASSAGE

    asked = [QUESTIONS[turn % len(QUESTIONS)] for turn in range(turns)]
    with _session(settings) as session:
        about = {"machine": describe(), "target": session.target.description.name, "tokens": settings.max_tokens}
        documents = (f"{PASSAGE}\n{PASSAGE}", f"Read this.\n{PASSAGE}")
        typer.echo(json.dumps(about | measure(session, documents, asked, settings.max_tokens)))


@settings_flags(MODEL, "draft", "runtime", "policy", "k", "context_tokens", max_tokens=384)
def edit(
    settings: Settings,
    file: Annotated[Path | None, typer.Argument(help="file to edit; default: 200 lines of this program")] = None,
    order: Annotated[
        str, typer.Option("--edit", help="the change to make")
    ] = "Rename the class Distribution to Weights in this file.",
    repeats: Annotated[int, typer.Option(min=1, help="runs of each kind, which alternate")] = 3,
) -> None:
    """Measure an edit of a file: with the file as the prediction, without a prediction, and by the target alone."""
    from speculatoviz.bench.edit import measure, own_file, prompt_of

    text = own_file() if file is None else _text_of(file)
    with _session(settings) as session:
        about = {"machine": describe(), "target": session.target.description.name, "drafter": session.drafter}
        found = measure(session, prompt_of(text, order), text, repeats, settings.max_tokens)
    typer.echo(json.dumps(about | found))


@settings_flags("batch_invariant")
def models(
    settings: Settings,
    names: Annotated[list[str], typer.Argument(help="models, as for --target; NAME=Q4_0 requantises one first")],
    one: Annotated[bool, typer.Option("--one", hidden=True)] = False,
) -> None:
    """Load each model in a process of its own; print its pass times, peak memory and noise floor."""
    if not one:
        command = [sys.executable, "-m", "speculatoviz.cli.app", "bench", "models", "--one"]
        command += ["--batch-invariant"] if settings.batch_invariant else []
        sys.exit(max(subprocess.run([*command, name], check=False).returncode for name in names))
    from speculatoviz.bench.models import measure

    typer.echo(json.dumps(measure(names[0], settings)))


@settings_flags(MODEL, "draft", "draft_quantisation", "threads")
def runtimes(
    settings: Settings,
    repeats: Annotated[int, typer.Option(min=2, help="rounds of every pair of runtimes, which alternate")] = 20,
) -> None:
    """Measure what a draft and a target on different runtimes cost each other, against the same runtime for both."""
    from speculatoviz.bench.runtimes import compare, load_windows

    drafts, targets = load_windows(settings)
    pair = settings.resolved()
    about = {"machine": describe(), "target": pair.target, "draft": pair.draft or pair.target}
    typer.echo(json.dumps(about | compare(drafts, targets, repeats, time.perf_counter)))


@settings_flags("profile", "runtime", k=5, max_tokens=96, drafter="model")
def rules(
    settings: Settings,
    seeds: Annotated[int, typer.Option(min=1, help="runs of each prompt")] = 2,
) -> None:
    """Compare the exact rules on the same drafts, at T=0.7 and T=1. Independent of the machine's speed."""
    from speculatoviz.bench.rules import compare

    with _session(settings) as session:
        k, tokens = _depth(settings), settings.max_tokens
        lengths = {str(temperature): compare(session, temperature, k, tokens, seeds) for temperature in (0.7, 1.0)}
        target = session.target.description.name
    about = {"machine": describe(), "target": target, "drafter": settings.drafter, "k": k}
    typer.echo(json.dumps(about | {"mean_acceptance_length": lengths}))


_PAIR = ("profile", "target", "target_quantisation", "draft", "draft_quantisation", "draft_vocabulary", "runtime")


@settings_flags(*_PAIR, "drafter", k=3, max_tokens=48)
def remote(
    settings: Settings,
    rtt_ms: Annotated[list[float] | None, typer.Option(help="round-trip times in ms; default: 0, 10, 40, 100")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="runs of every mode, which alternate")] = 3,
) -> None:
    """Measure speculation against a verifier process, at several round-trip times.

    The baselines are one streaming call of the target alone, one call for each token, and a server that has both models
    on the verifier's cores. The draft model is measured with the depth of --k.
    """
    from speculatoviz.bench.colocated import both_models
    from speculatoviz.bench.remote import halves, measure, verifier

    k, max_tokens = _depth(settings), settings.max_tokens
    with ExitStack() as stack:
        client_cores, server_cores = halves()
        target = _given(settings, ("profile", "target", "target_quantisation", "runtime"))
        verifying = stack.enter_context(verifier(target, server_cores))
        drafter = ["--drafter", settings.drafter or "model"]
        both = stack.enter_context(both_models([*_given(settings, _PAIR), *drafter], server_cores, _print_line))
        os.sched_setaffinity(0, client_cores)
        own = settings.model_copy(update={"threads": len(client_cores)})
        results: dict[str, object] = {}
        for rtt in rtt_ms or (0.0, 10.0, 40.0, 100.0):
            _print_line(f"round trips of {rtt:g} ms")
            results[f"{rtt:g}"] = measure(verifying, both, rtt, own, k, repeats, max_tokens)
    about = {"machine": describe(), "profile": settings.profile, "k": k, "max_tokens": max_tokens}
    typer.echo(json.dumps(about | {"rtt_ms": results}))


def _given(settings: Settings, fields: Sequence[str]) -> list[str]:
    """The flags of a command with the same values of these fields, for a process of its own."""
    values = {field: getattr(settings, field) for field in fields}
    return [
        word
        for field, value in values.items()
        if value is not None
        for word in (f"--{field.replace('_', '-')}", str(value))
    ]


@settings_flags("profile", "runtime", k=3)
def sessions(
    settings: Settings,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of every session and repeat")] = 12,
    repeats: Annotated[int, typer.Option(min=1, help="pairs of one session and of all sessions")] = 5,
) -> None:
    """Measure a verifier with one session and with several at once, which alternate."""
    from speculatoviz.bench.sessions import measure

    k = _depth(settings)
    result = measure(settings, settings.profile, k, rounds, repeats)
    typer.echo(json.dumps({"machine": describe(), "k": k} | result))


@settings_flags("profile", "target", "draft", "drafter", "runtime", "threads", "context_tokens", k=4, max_tokens=64)
def concurrency(
    settings: Settings,
    clients: Annotated[
        list[int] | None, typer.Option(min=1, max=32, help="clients at the same time; default: 1, 2, 4, 8")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="runs of each kind, in turn")] = 3,
) -> None:
    """Measure a server with several streaming clients, with speculation and without.

    Prints a table: tokens per second of all clients together, of the slowest and the fastest one, the drafted depth,
    and the gain over plain decoding by the number of clients. Then one JSON line.
    """
    from speculatoviz.bench.concurrency import measure, report_of, served, table
    from speculatoviz.session.targets import is_remote

    if is_remote(settings.resolved().target):
        raise BadRequestError(
            "The target is remote: which runs share its passes is decided there.",
            "Name a model of this machine with --target.",
        )
    counts = sorted(set(clients or (1, 2, 4, 8)))
    k, most = _depth(settings), max(counts)
    chosen = ("target", "draft", "drafter", "runtime", "threads", "context_tokens")
    named = {"profile": settings.profile} | {
        name: value for name in chosen if name in settings.model_fields_set and (value := getattr(settings, name))
    }
    arguments = [part for name, value in named.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with served(arguments, most, _print_line) as url:
        found = measure(url, counts, k, settings.max_tokens, repeats, _print_line)
    typer.echo(table(found))
    typer.echo(json.dumps({"machine": describe(), "profile": settings.profile, "k": k} | report_of(found)))


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequestError(f"{file} cannot be read ({error.strerror or error}).", "Name a text file.") from error
    except UnicodeDecodeError as error:
        raise BadRequestError(f"{file} is no text in UTF-8.", "Name a text file in UTF-8.") from error


def _session(settings: Settings) -> closing[Session]:
    """A loaded session, to be closed; its stages are printed on standard error."""
    return closing(Session.load(settings, time.perf_counter, lambda stage, _share: _print_line(stage)))


def _depth(settings: Settings) -> int:
    """The draft depth of a command whose flag `-k` has a default."""
    assert settings.k is not None
    return settings.k


def _print_line(line: str) -> None:
    notice(line, style="dim")
