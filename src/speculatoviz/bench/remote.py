"""What speculation across a network gains, at several round-trip times.

A verifier process and this process get half of the processor's cores each, as two machines would have their own: the
drafter works while the verifier computes. A relay between them adds the round-trip time. A server with both models on
the verifier's cores is a baseline (`colocated`).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from speculatoviz.bench.colocated import Streamed, capacity, stream
from speculatoviz.bench.relay import Relay
from speculatoviz.config import Settings
from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Request
from speculatoviz.engine import decode
from speculatoviz.errors import TargetError
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start

PROMPTS = {
    "coding": "Write a Python function that merges two sorted lists, with a docstring and three tests.",
    "writing": "Compose an engaging travel blog post about a recent trip to Hawaii, highlighting cultural experiences "
    "and must-see attractions.",
}
MODES = ("per_call", "streaming", "speculative", "overlap", "colocated")


@dataclass(frozen=True, slots=True)
class ModeRun:
    """One run. tps: tokens per second after the first token. rounds: without the first one."""

    tps: float
    rounds: tuple[Round, ...] = ()


def measure(
    verifying: str, both: str, rtt_ms: float, settings: Settings, k: int, repeats: int, max_tokens: int
) -> dict[str, object]:
    """Every prompt in every mode, over relays that add a round-trip time.

    verifying: the verifier's address. both: that of a server with both models. settings: all of them but the target.
    """
    with _relayed(verifying, rtt_ms) as near, _relayed(both, rtt_ms) as far:
        target = {"target": f"verifier:{near.replace('http', 'ws', 1)}", "target_quantisation": None}
        own = settings.model_copy(update={**target, "k": k})
        session = Session.load(own, time.perf_counter, lambda _stage, _share: None)
        try:
            return {name: _prompt(session, far, text, k, repeats, max_tokens) for name, text in PROMPTS.items()}
        finally:
            session.close()


@contextmanager
def _relayed(url: str, rtt_ms: float) -> Iterator[str]:
    """The http address of a relay to the host and port of an address."""
    where = urlsplit(url)
    with Relay(where.hostname or "127.0.0.1", where.port or 0, rtt_ms / 2000) as relay:
        yield f"http://127.0.0.1:{relay.port}"


def _prompt(session: Session, far: str, text: str, k: int, repeats: int, max_tokens: int) -> dict[str, object]:
    start = Start(prompt=text, k=k, max_tokens=max_tokens, temperature=0.0, evidence=False, ignore_eos=True)
    request = session.prepare(start).request
    run(session, request, "overlap", k)  # the prompt is cached from here on
    stream(far, request.prompt, k, max_tokens, session.clock)
    runs = {mode: list[ModeRun]() for mode in MODES}
    there = list[Streamed]()
    for _ in range(repeats):
        for mode in MODES[:-1]:
            runs[mode].append(run(session, request, mode, k))
        there.append(stream(far, request.prompt, k, max_tokens, session.clock))
        runs["colocated"].append(ModeRun(there[-1].tps))
    rounds = [round for one in runs["speculative"] for round in one.rounds]
    return {
        "tps": {mode: statistics.median(one.tps for one in of_mode) for mode, of_mode in runs.items()},
        "speedup": _ratios(runs["overlap"], runs["streaming"]),
        "colocated": {
            "speedup": _ratios(runs["colocated"], runs["streaming"]),
            "against_overlap": _ratios(runs["colocated"], runs["overlap"]),
        },
        "capacity": capacity(
            there, [round.times.draft_ms for round in rounds], [round.times.verify_ms for round in rounds], k
        ),
        "overlap": overlap_gain(runs["speculative"], runs["overlap"]),
        "acceptance_rate": _acceptance(runs["overlap"][0].rounds),
    }


def _ratios(runs: Sequence[ModeRun], baseline: Sequence[ModeRun]) -> dict[str, float]:
    """Rates by those of the same turn."""
    found = [a.tps / b.tps for a, b in zip(runs, baseline, strict=True)]
    return {"median": statistics.median(found), "least": min(found), "most": max(found)}


def run(session: Session, request: Request, mode: str, k: int) -> ModeRun:
    """Decode in one mode. The rate leaves out the first token or round, whose time contains the prompt."""
    clock, target = session.clock, session.target
    if mode == "streaming":
        if target.remote is None:
            raise TargetError("The target is not a remote one.", "Name one.")
        arrived = [clock() for _ in target.remote.stream(request)]
        return ModeRun((len(arrived) - 1) / (arrived[-1] - arrived[0]))
    own = replace(request, overlap=mode == "overlap")
    policy = FixedPolicy(session.drafter, 0 if mode == "per_call" else k)
    rounds = tuple(decode(own, target, session.drafters, policy, seeded(0), clock))[1:]
    tokens = sum(len(round.emitted) for round in rounds)
    return ModeRun(1000 * tokens / sum(round.times.round_ms for round in rounds), rounds)


def overlap_gain(without: Sequence[ModeRun], overlapped: Sequence[ModeRun]) -> dict[str, float]:
    """The milliseconds that drafting ahead saved of a round, and an upper bound on them.

    A right guess saves at most the drafting of the next round, and at most the time of the flight:
    bound = share of right guesses * min(draft, flight).
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


def _mean_round_ms(measured: ModeRun) -> float:
    return statistics.fmean(round.times.round_ms for round in measured.rounds)


def _acceptance(rounds: Sequence[Round]) -> float:
    drafted = sum(round.drafted for round in rounds)
    return sum(round.accepted for round in rounds) / drafted if drafted else 0.0


def halves() -> tuple[set[int], set[int]]:
    """The cores of the drafter and those of the verifier. Raises TargetError on a machine without two cores."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise TargetError(
            "This needs two cores or more, and a system that can assign them.",
            "Run it on Linux with two cores or more.",
        )
    half = len(cores) // 2
    return set(cores[:half]), set(cores[half:])


@contextmanager
def verifier(arguments: Sequence[str], cores: set[int], sessions: int = 2) -> Iterator[str]:
    """Starts a verifier on these cores; yields its address. arguments: that name its target."""
    command = [sys.executable, "-m", "speculatoviz.cli.app", "verifier", *arguments, "--port", "0"]
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
