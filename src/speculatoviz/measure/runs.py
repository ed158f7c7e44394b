"""What a model costs on this machine: pass times, the plain baseline, the noise floor. All of it is run."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock

from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Draft, Floats, Limits, Request, Round, Sampling
from speculatoviz.engine import speculate
from speculatoviz.machine import processor, usable_cores
from speculatoviz.models.base import Description
from speculatoviz.models.window import Window
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.base import RemoteTarget, Target

BASELINE_TOKENS = 16
CALIBRATION_PROMPT = "write a function that merges two sorted lists"
LARGEST_PASS = 17


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A measured run of the target alone. measured_at_s: on the clock it was measured with."""

    tps: float
    tokens: int
    context_tokens: int
    measured_at_s: float
    kind: Literal["startup", "plain_run", "streaming", "per_call"]


@dataclass(frozen=True, slots=True)
class Noise:
    """Total variation of the next-token distribution between one-by-one and batched passes over the same tokens."""

    mean_total_variation: float
    max_total_variation: float
    argmax_agreement: float
    tokens: int


def plain_run(
    target: Target,
    prompt: Sequence[int],
    clock: Callable[[], float],
    kind: Literal["startup", "per_call"] = "startup",
) -> tuple[PlainRun, list[int]]:
    """Decode 16 tokens with the engine at depth 0; the run and its ids."""
    limits = Limits(BASELINE_TOKENS, ignore_eos=True)
    request = Request(tuple(prompt), Sampling(), limits, evidence=False)
    steps = speculate(request, target, {}, FixedPolicy("none", 0), seeded(0), clock)
    rounds = [step for step in steps if isinstance(step, Round)]
    ids = [token for round in rounds for token in round.emitted]
    round_ms = sum(round.times.round_ms for round in rounds)
    return PlainRun(1000 * len(ids) / round_ms, len(ids), len(prompt), clock(), kind), ids


def streaming_run(target: RemoteTarget, prompt: Sequence[int], clock: Callable[[], float]) -> PlainRun | None:
    """Let a remote target decode alone, in one call. The rate is that behind the first token, which pays the prompt.

    None where it gave fewer than three tokens, too few for a rate.
    """
    limits = Limits(BASELINE_TOKENS + 1, ignore_eos=True)
    request = Request(tuple(prompt), Sampling(), limits, evidence=False)
    arrived_s = [clock() for _ in target.stream(request)]
    if len(arrived_s) < 3 or arrived_s[-1] <= arrived_s[0]:
        return None
    tokens = len(arrived_s) - 1
    return PlainRun(tokens / (arrived_s[-1] - arrived_s[0]), tokens, len(prompt), clock(), "streaming")


def round_ms(
    target: Target, prompt: Sequence[int], draft: Sequence[int], clock: Callable[[], float], repeats: int = 2
) -> float:
    """Milliseconds of one verification of `draft` behind a prompt that is in place; the fastest of the repeats."""
    request = Request(tuple(prompt), Sampling(), Limits(len(draft) + 1, ignore_eos=True), evidence=False)
    times_ms: list[float] = []
    for index in range(repeats):
        target.begin(request)
        begun = clock()
        target.submit(Draft.chain(index, list(draft), (), "measure")).result()
        times_ms.append((clock() - begun) * 1000)
    return min(times_ms)


def noise_floor(window: Window, prompt: Sequence[int], ids: Sequence[int], rows: int) -> Noise:
    """Compare the distributions behind `ids`, fed one by one and `rows` at a time."""
    single = _distributions(window, prompt, ids, 1)
    batched = _distributions(window, prompt, ids, rows)
    variations = [0.5 * float(np.abs(a - b).sum()) for a, b in zip(single, batched, strict=True)]
    agreements = [int(a.argmax()) == int(b.argmax()) for a, b in zip(single, batched, strict=True)]
    return Noise(statistics.fmean(variations), max(variations), statistics.fmean(agreements), len(ids))


def _distributions(window: Window, prompt: Sequence[int], ids: Sequence[int], rows: int) -> list[Floats]:
    window.prefill(prompt, lambda: False)
    result: list[Floats] = []
    for start in range(0, len(ids), rows):
        logits = window.feed(ids[start : start + rows]).astype(np.float64)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        result += list(weights / weights.sum(axis=1, keepdims=True))
    return result


def pass_ms(window: Window, ids: Sequence[int], rows: int, clock: Callable[[], float], repeats: int = 3) -> float:
    """Median milliseconds of one pass over `rows` tokens behind the first half of `ids`.

    ids: at least `rows` + 1 tokens of ordinary text; the cache is left holding a prefix of them.
    """
    base = len(ids) - rows
    window.prefill(ids[:base], lambda: False)
    times_ms: list[float] = []
    for _ in range(repeats):
        begun = clock()
        window.feed(ids[base:])
        times_ms.append((clock() - begun) * 1000)
        window.keep(base)
    return statistics.median(times_ms)


class PassTimes:
    """Pass times per batch size, kept per model, machine and thread count.

    They feed choices, never a displayed baseline. Of several measurements the fastest stays: what else a machine
    does can only slow a pass down.
    """

    def __init__(self, folder: Path, model: Description, threads: int) -> None:
        loaded = (model.runtime, model.name, model.quantisation, model.size_bytes)
        facts = (*loaded, model.computes_on, processor(), usable_cores(), threads)
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        self._path = folder / f"{key}.json"
        self._about = {"model": model.name, "quantisation": model.quantisation, "processor": processor()}
        self._ms = self._load()

    @property
    def ms(self) -> Mapping[int, float]:
        """Milliseconds by tokens in the pass, ascending."""
        return dict(sorted(self._ms.items()))

    def record(self, rows: int, ms: float) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            stored = self._load()
            self._ms = stored | {rows: min(ms, stored.get(rows, ms))}
            document = {"about": self._about, "pass_ms": {str(n): t for n, t in sorted(self._ms.items())}}
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(document, indent=1))
            part.replace(self._path)

    def _load(self) -> dict[int, float]:
        try:
            stored = json.loads(self._path.read_text())["pass_ms"]
            return {int(rows): float(ms) for rows, ms in stored.items()}
        except (OSError, ValueError, KeyError, AttributeError):
            return {}  # not measured yet, or written by something else: measure again
