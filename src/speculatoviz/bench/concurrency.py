"""Clients at the same time: what the server gives them together and each, with speculation and without.

The server runs in a process of its own; the clients stream answers of the same length from it. All kinds of speculation
and all numbers of clients take turns, so that a machine whose speed drifts affects all alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from speculatoviz.errors import TargetError

PROMPTS = (
    "Write a Python function that merges two sorted lists",
    "Summarise in three sentences how speculative decoding makes language models faster.",
    "Translate to German: The train to the coast leaves at seven and arrives before noon.",
    "What should I look at on a first visit to Lisbon?",
    "Explain how a bicycle stays upright.",
    "Write a short letter to a neighbour about a noisy dog.",
    "List five vegetables that grow well in shade, with one sentence on each.",
    "Why is the sky blue at noon and red in the evening?",
)
KINDS = ("plain", "auto", "fixed")
_LARGEST_PASS = 64  # rows: the server has measured all sizes once it knows this one
_READY_S, _ANSWER_S = 600.0, 600.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class ClientRun:
    """One client's answer. begun_s, ended_s: on one clock. first_s: from the request to the first text."""

    tokens: int
    begun_s: float
    first_s: float
    ended_s: float

    @property
    def tps(self) -> float:
        """Tokens per second, waiting included."""
        return self.tokens / (self.ended_s - self.begun_s)


@dataclass(frozen=True, slots=True)
class Measured:
    """Some clients at the same time with one kind of speculation: medians over the repeats.

    total_tps: tokens per second of all clients. slowest_tps, fastest_tps: of single clients. balance: slowest by
    fastest. first_s: the median time to the first text. gain: total_tps relative to plain decoding with as many
    clients, in pairs. depth: drafted tokens of a round.
    """

    clients: int
    kind: str
    total_tps: float
    slowest_tps: float
    fastest_tps: float
    balance: float
    first_s: float
    gain: float
    depth: float


@contextmanager
def served(
    arguments: Sequence[str], concurrency: int, report: Callable[[str], None], largest_pass: int = _LARGEST_PASS
) -> Iterator[str]:
    """A server of its own, once its models are loaded and measured. Yields its address.

    arguments: of `serve`. largest_pass: rows of a pass that it must have measured; 0 for none. Raises TargetError if it
    does not start.
    """
    command = [sys.executable, "-m", "speculatoviz.cli.app", "serve", "--port", "0", *arguments]
    command += ["--concurrency", str(concurrency)]
    environment = os.environ | {"SPECULATOVIZ_STORE": "none"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        line = next((line for line in process.stderr if "SpeculatoViz on http" in line), None)
        if line is None:
            raise TargetError("The server did not start.", "Start one by hand to see why.")
        threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop the server
        url = line.partition(" on ")[2].split()[0].rstrip("/")
        _wait(url, report, largest_pass)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, report: Callable[[str], None], largest_pass: int) -> None:
    """Until the models are loaded, and a pass over so many rows is measured."""
    deadline_s = time.monotonic() + _READY_S
    with httpx.Client(base_url=url, trust_env=False, timeout=_READY_S) as client:
        while time.monotonic() < deadline_s:
            health = client.get("/api/health").json()
            if health["status"] == "failed":
                raise TargetError(f"The server could not load its models. {health['message']}", health["hint"] or "")
            report(str(health["stage"]))
            if health["status"] == "ready":
                known = client.get("/api/settings").json()["pass_times"]
                if not largest_pass or any(entry["tokens"] >= largest_pass for entry in known):
                    return
            time.sleep(_POLL_S)


def measure(
    url: str,
    clients: Sequence[int],
    k: int,
    max_tokens: int,
    repeats: int,
    report: Callable[[str], None],
    prompts: Sequence[str] = PROMPTS,
) -> list[Measured]:
    """Every number of clients with every kind of speculation. k: the depth of `fixed`."""
    found: dict[tuple[int, str], list[tuple[list[ClientRun], float]]] = {}
    with ThreadPoolExecutor(max(clients)) as pool, httpx.Client(trust_env=False, timeout=_ANSWER_S) as http:
        for repeat in range(-1, repeats):  # the first one fills caches, and is not counted
            for count in clients:
                for kind in KINDS:
                    report(f"{count} clients, {kind}")
                    texts = [prompts[number % len(prompts)] for number in range(count)]
                    asked = [_asked(text, kind, k, max_tokens) for text in texts]
                    before = _drafted(http, url)
                    runs = list(pool.map(lambda body: _stream(http, url, body), asked))
                    if repeat >= 0:
                        found.setdefault((count, kind), []).append((runs, _depth(before, _drafted(http, url))))
    return [_summed(count, kind, found) for count in clients for kind in KINDS]


def _asked(prompt: str, kind: str, k: int, max_tokens: int) -> dict[str, Any]:
    kinds: dict[str, Any] = {"plain": False, "auto": {"policy": "auto"}, "fixed": {"policy": "fixed", "k": k}}
    return {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "speculation": kinds[kind],
    }


def _stream(http: httpx.Client, url: str, body: Mapping[str, Any]) -> ClientRun:
    begun_s, first_s, tokens = time.perf_counter(), None, 0
    with http.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            part = json.loads(line.removeprefix("data: "))
            if "error" in part:
                raise TargetError(part["error"]["message"])
            if first_s is None and part["choices"] and part["choices"][0]["delta"].get("content"):
                first_s = time.perf_counter() - begun_s
            tokens = (part.get("usage") or {}).get("completion_tokens", tokens)
    ended_s = time.perf_counter()
    return ClientRun(tokens, begun_s, ended_s - begun_s if first_s is None else first_s, ended_s)


def _drafted(http: httpx.Client, url: str) -> tuple[float, float]:
    """Drafted tokens and emitted tokens of the server so far."""
    names = ("vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total")
    values = dict.fromkeys((*names, "vllm:generation_tokens_total"), 0.0)
    for line in http.get(f"{url}/metrics").text.splitlines():
        name = line.partition("{")[0]
        if name in values:
            values[name] = float(line.rpartition(" ")[2])
    drafted, accepted = (values[name] for name in names)
    return drafted, values[
        "vllm:generation_tokens_total"
    ] - accepted  # each round emits one token that is not a draft's


def _depth(before: tuple[float, float], after: tuple[float, float]) -> float:
    rounds = after[1] - before[1]
    return (after[0] - before[0]) / rounds if rounds else 0.0


def _summed(
    count: int, kind: str, found: Mapping[tuple[int, str], Sequence[tuple[Sequence[ClientRun], float]]]
) -> Measured:
    measured, plain = found[count, kind], found[count, "plain"]
    gains = [_total(runs) / _total(alone) for (runs, _), (alone, _) in zip(measured, plain, strict=True)]
    slowest = [min(run.tps for run in runs) for runs, _ in measured]
    fastest = [max(run.tps for run in runs) for runs, _ in measured]
    return Measured(
        count,
        kind,
        statistics.median(_total(runs) for runs, _ in measured),
        statistics.median(slowest),
        statistics.median(fastest),
        statistics.median(low / high for low, high in zip(slowest, fastest, strict=True)),
        statistics.median(run.first_s for runs, _ in measured for run in runs),
        statistics.median(gains),
        statistics.median(depth for _, depth in measured),
    )


def _total(runs: Sequence[ClientRun]) -> float:
    """Tokens per second of all clients, from the first request to the last end."""
    elapsed_s = max(run.ended_s for run in runs) - min(run.begun_s for run in runs)
    return sum(run.tokens for run in runs) / elapsed_s


def table(found: Sequence[Measured]) -> str:
    """The figures as Markdown."""
    head = ("clients", "speculation", "tokens/s", "slowest", "fastest", "first text", "depth", "gain over plain")
    rows = [
        (
            str(one.clients),
            one.kind,
            f"{one.total_tps:.1f}",
            f"{one.slowest_tps:.1f}",
            f"{one.fastest_tps:.1f}",
            f"{one.first_s:.2f} s",
            f"{one.depth:.1f}",
            f"{one.gain:.2f}",
        )
        for one in found
    ]
    lines = [head, ("---:", "---", *["---:"] * 6), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report_of(found: Sequence[Measured]) -> dict[str, object]:
    """The figures as JSON, and the total of the most clients relative to one client's, by kind."""
    totals = {(one.clients, one.kind): one.total_tps for one in found}
    fewest, most = min(one.clients for one in found), max(one.clients for one in found)
    ratios = {kind: totals[most, kind] / totals[fewest, kind] for kind in KINDS}
    return {"measured": [asdict(one) for one in found], "total_ratio": ratios}
