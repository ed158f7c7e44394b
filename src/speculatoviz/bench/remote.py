"""`python -m speculatoviz.bench.remote`: what speculating across a network gains, at several round-trip times.

A verifier of its own process and this one get the halves of the processor's cores, as two machines would have their
own: drafting goes on while the verifier computes. Between them a relay adds the round-trip time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from speculatoviz.bench.relay import Relay
from speculatoviz.cli.flags import errors, settings_of
from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Request, Round
from speculatoviz.engine import decode
from speculatoviz.errors import TargetError
from speculatoviz.machine import describe
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.session import Session
from speculatoviz.targets.base import RemoteTarget
from speculatoviz.telemetry.events import Start

PROMPTS = {
    "coding": "Write a Python function that merges two sorted lists, with a docstring and three tests.",
    "writing": "Compose an engaging travel blog post about a recent trip to Hawaii, highlighting cultural experiences "
    "and must-see attractions.",
}
MODES = ("per_call", "streaming", "speculative", "overlap")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: tokens per second behind the first token, and what overlapping is about."""

    tps: float
    rounds: tuple[Round, ...] = ()


def main(
    rtt_ms: Annotated[list[float], typer.Option(help="round-trip times, in milliseconds")] = [0, 10, 40, 100],  # noqa: B006
    profile: Annotated[str, typer.Option(help="qwen or smol")] = "qwen",
    k: Annotated[int, typer.Option("-k", help="draft depth")] = 3,
    repeats: Annotated[int, typer.Option(help="runs of every mode, in turn")] = 3,
    max_tokens: Annotated[int, typer.Option(help="tokens per run")] = 48,
) -> None:
    """Measure, print one JSON line. Modes alternate, so that a drifting machine drifts for all."""
    console = Console(stderr=True)
    client_cores, server_cores = _halves()
    with ExitStack() as stack:
        url = stack.enter_context(verifier(profile, server_cores))
        os.sched_setaffinity(0, client_cores)
        results: dict[str, object] = {}
        for rtt in rtt_ms:
            console.print(f"round trips of {rtt:g} ms", style="dim")
            results[f"{rtt:g}"] = _at(url, rtt, profile, len(client_cores), k, repeats, max_tokens)
    print(json.dumps({"machine": describe(), "profile": profile, "k": k, "max_tokens": max_tokens, "rtt_ms": results}))


def _at(
    url: str, rtt_ms: float, profile: str, threads: int, k: int, repeats: int, max_tokens: int
) -> dict[str, object]:
    """Every prompt in every mode over a relay."""
    where = urlsplit(url)
    with Relay(where.hostname or "127.0.0.1", where.port or 0, rtt_ms / 2000) as relay:
        target = f"verifier:ws://127.0.0.1:{relay.port}"
        settings = settings_of({"profile": profile, "target": target, "threads": threads, "k": k})
        session = Session.load(settings, time.perf_counter, lambda _stage, _share: None)
        try:
            return {name: _prompt(session, text, k, repeats, max_tokens) for name, text in PROMPTS.items()}
        finally:
            session.close()


def _prompt(session: Session, text: str, k: int, repeats: int, max_tokens: int) -> dict[str, object]:
    start = Start(prompt=text, k=k, max_tokens=max_tokens, temperature=0.0, evidence=False, ignore_eos=True)
    request = session.prepare(start).request
    run(session, request, "overlap", k)  # the prompt is cached from here on
    runs = {mode: list[Measured]() for mode in MODES}
    for _ in range(repeats):
        for mode in MODES:
            runs[mode].append(run(session, request, mode, k))
    tps = {mode: statistics.median(one.tps for one in of_mode) for mode, of_mode in runs.items()}
    speedups = [a.tps / b.tps for a, b in zip(runs["overlap"], runs["streaming"], strict=True)]
    return {
        "tps": tps,
        "speedup": {"median": statistics.median(speedups), "least": min(speedups), "most": max(speedups)},
        "overlap": overlap_gain(runs["speculative"], runs["overlap"]),
        "acceptance_rate": _acceptance(runs["overlap"][0].rounds),
    }


def run(session: Session, request: Request, mode: str, k: int) -> Measured:
    """Decode in one mode. The rate of a run leaves its first token or round out, which pays for the prompt."""
    clock, target = session.clock, session.target
    if mode == "streaming":
        if not isinstance(target, RemoteTarget):
            raise TargetError("The target is not a remote one.", "Name one.")
        arrived = [clock() for _ in target.stream(request)]
        return Measured((len(arrived) - 1) / (arrived[-1] - arrived[0]))
    own = replace(request, overlap=mode == "overlap")
    policy = FixedPolicy(session.drafter, 0 if mode == "per_call" else k)
    rounds = tuple(decode(own, target, session.drafters, policy, seeded(0), clock))[1:]
    tokens = sum(len(round.emitted) for round in rounds)
    return Measured(1000 * tokens / sum(round.times.round_ms for round in rounds), rounds)


def overlap_gain(without: Sequence[Measured], overlapped: Sequence[Measured]) -> dict[str, float]:
    """What drafting ahead won of a round, beside the most that it could win.

    A guess that holds saves at most the drafting of the next round, and at most the time there was to draft in: the
    bound is the share of guesses that held times the smaller of the two.
    """
    plain = [round for one in without for round in one.rounds]
    ahead = [round for one in overlapped for round in one.rounds]
    flights = [r.times.network_ms + r.times.verify_ms for r in plain]
    hits = sum(round.draft.ahead > 0 for round in ahead) / len(ahead)
    draft_ms = statistics.fmean(round.times.draft_ms for round in plain)
    bound_ms = hits * min(draft_ms, statistics.fmean(flights))
    gained = [_mean_round_ms(a) - _mean_round_ms(b) for a, b in zip(without, overlapped, strict=True)]
    return {
        "hit_rate": hits,
        "draft_ms": draft_ms,
        "idle_ms": statistics.fmean(flights),
        "bound_ms": bound_ms,
        "gain_ms": statistics.median(gained),
        "share_of_bound": statistics.median(gained) / bound_ms if bound_ms else 0.0,
    }


def _mean_round_ms(measured: Measured) -> float:
    return statistics.fmean(round.times.round_ms for round in measured.rounds)


def _acceptance(rounds: Sequence[Round]) -> float:
    drafted = sum(round.drafted for round in rounds)
    return sum(round.accepted for round in rounds) / drafted if drafted else 0.0


def _halves() -> tuple[set[int], set[int]]:
    """The cores of the drafter and those of the verifier."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise TargetError("Two machines cannot be played here.", "Use Linux on two cores or more.")
    half = len(cores) // 2
    return set(cores[:half]), set(cores[half:])


@contextmanager
def verifier(profile: str, cores: set[int], sessions: int = 2) -> Iterator[str]:
    """A verifier on its own cores; its address."""
    command = [sys.executable, "-m", "speculatoviz.cli.app", "verifier", "--profile", profile, "--port", "0"]
    command += ["--context-tokens", "2048", "--sessions", str(sessions), "--threads", str(len(cores))]
    taken = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # inherited: OpenMP reads it when the library is loaded
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    os.sched_setaffinity(0, taken)
    try:
        assert process.stderr is not None
        line = next((line for line in process.stderr if "verifier:ws://" in line), None)
        if line is None:
            raise TargetError("The verifier did not start.", "Start one by hand to see why.")
        yield line.partition("verifier:")[2].split()[0]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    typer.run(errors()(main))
