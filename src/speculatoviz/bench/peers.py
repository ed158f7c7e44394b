"""This engine's choices, and llama.cpp's own decoding of the same files, on the same prompts.

Every prompt is decoded in all ways in turn, between two plain runs of this engine. A way's ratio is its rate divided by
the mean rate of these two: a machine whose speed drifts affects both. Rates leave out the prompt's prefill.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from speculatoviz.bench.drafters import Prompt
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.decode import decode_prompt
from speculatoviz.machine import describe
from speculatoviz.session.session import Session
from speculatoviz.telemetry.messages import Start

OWN = "speculatoviz"
PLAIN = "plain"
_RESAMPLES = 2000  # of the prompts, for an interval
_FIXED = (1, 2, 3, 5, 7)  # depths


@dataclass(frozen=True, slots=True)
class Timing:
    """What one run gave. ms: of decoding, without the prefill."""

    tokens: int
    ms: float
    drafted: int
    accepted: int

    @property
    def tps(self) -> float:
        return 1000.0 * self.tokens / self.ms if self.ms > 0.0 else math.nan


class Peer(Protocol):
    """An engine that decodes in one way. name: of the engine. way: how, in a few words."""

    @property
    def name(self) -> str: ...
    @property
    def way(self) -> str: ...
    def decode(self, prompt: Prompt, ids: Sequence[int], max_tokens: int, temperature: float) -> Timing:
        """Decode after the prompt's ids."""


@dataclass(frozen=True, slots=True)
class OwnWay:
    """One way of this engine: the fields of a start message that make it."""

    session: Session
    way: str
    start: Mapping[str, Any]
    name: str = OWN

    def decode(self, prompt: Prompt, ids: Sequence[int], max_tokens: int, temperature: float) -> Timing:
        del ids  # the session encodes the prompt itself, to the same ids
        start = {"prompt": prompt.text, "max_tokens": max_tokens, "temperature": temperature, "seed": prompt.number}
        decoded = decode_prompt(self.session, Start(**{**start, **self.start}))
        return Timing(decoded.tokens, decoded.round_ms, decoded.drafted, decoded.accepted)


def own_ways(session: Session) -> list[OwnWay]:
    """Plain decoding, the usual drafter and matches in the text at fixed depths, `adaptive` and `auto`."""
    ways = [OwnWay(session, PLAIN, {"k": 0, "policy": "fixed"})]
    for drafter in dict.fromkeys((session.drafter, "suffix")):
        ways += [
            OwnWay(session, f"{drafter}, depth {k}", {"drafter": drafter, "k": k, "policy": "fixed"}) for k in _FIXED
        ]
    ways.append(OwnWay(session, "adaptive", {"policy": "adaptive"}))
    ways.append(OwnWay(session, "auto", {"policy": "auto"}))
    return ways


@dataclass(frozen=True, slots=True)
class PeerRun:
    """The figures of one run. ratio: its rate divided by that of this engine's plain runs around it."""

    engine: str
    way: str
    category: str
    prompt: int
    temperature: float
    tokens: int
    ms: float
    drafted: int
    accepted: int
    ratio: float


def read_runs(file: Path) -> list[PeerRun]:
    """The runs that an earlier measurement wrote; none if there is no such file."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [PeerRun(**line) for line in lines if "engine" in line]


def measure_prompt(
    ways: Sequence[Peer], prompt: Prompt, ids: Sequence[int], max_tokens: int, temperature: float
) -> Iterator[PeerRun]:
    """All ways on one prompt. The first one is this engine's plain decoding, and comes again at the end."""
    plain, *others = ways
    before = plain.decode(prompt, ids, max_tokens, temperature)
    timings = [way.decode(prompt, ids, max_tokens, temperature) for way in others]
    after = plain.decode(prompt, ids, max_tokens, temperature)
    base_tps = (before.tps + after.tps) / 2
    for way, timing in zip(ways, [after, *timings], strict=True):
        yield PeerRun(
            engine=way.name,
            way=way.way,
            category=prompt.category,
            prompt=prompt.number,
            temperature=temperature,
            **asdict(timing),
            ratio=timing.tps / base_tps,
        )


def measure_all(
    ways: Sequence[Peer],
    encode: Callable[[str], Sequence[int]],
    prompts: Sequence[Prompt],
    max_tokens: int,
    temperature: float,
    out: Path,
    progress: Callable[[str], None],
) -> None:
    """Append a JSON line for each run to `out`. Prompts that it holds in full are not repeated.

    progress: called for each prompt. The first prompt is decoded plainly once before, to warm up.
    """
    known = {(run.category, run.prompt) for run in read_runs(out) if run.temperature == temperature}
    todo = [prompt for prompt in prompts if (prompt.category, prompt.number) not in known]
    with out.open("a", encoding="utf-8") as file:
        if todo:
            print(json.dumps({"machine": describe(), "max_tokens": max_tokens}), file=file)
            ways[0].decode(todo[0], encode(todo[0].text), max_tokens, temperature)
        for prompt in todo:
            try:
                runs = list(measure_prompt(ways, prompt, encode(prompt.text), max_tokens, temperature))
            except BadRequestError as error:
                progress(f"{prompt.category} {prompt.number}: {error}")
                continue
            file.write("".join(json.dumps(asdict(run)) + "\n" for run in runs))
            file.flush()
            progress(f"{prompt.category} {prompt.number}")


# --- the result ---------------------------------------------------------------------------------------


def geometric_mean(ratios: Sequence[float]) -> float:
    """exp of the mean logarithm; NaN of nothing."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else math.nan


def interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the geometric mean over prompts that are drawn again with replacement (bootstrap)."""
    logs = np.log(ratios)
    drawn = np.random.default_rng(seed).integers(0, len(logs), (_RESAMPLES, len(logs)))
    low, high = np.quantile(logs[drawn].mean(axis=1), [0.025, 0.975])
    return float(np.exp(low)), float(np.exp(high))


def table(runs: Sequence[PeerRun]) -> str:
    """Markdown: a row for each way, the geometric mean of its ratios in all and in each category."""
    categories = sorted({run.category for run in runs})
    lines = [
        "| engine | way | all (95 %) | " + " | ".join(categories) + " |",
        "|---|---|---:|" + "---:|" * len(categories),
    ]
    for engine, way in dict.fromkeys((run.engine, run.way) for run in runs):
        own = [run for run in runs if (run.engine, run.way) == (engine, way)]
        low, high = interval([run.ratio for run in own])
        cells = [geometric_mean([run.ratio for run in own if run.category == category]) for category in categories]
        whole = f"{geometric_mean([run.ratio for run in own]):.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {engine} | {way} | {whole} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return "\n".join(lines)


def summary(runs: Sequence[PeerRun]) -> dict[str, object]:
    """One object for a machine to read: the mean of every way, and `auto` against the best way in hindsight.

    hindsight: for each category the best of this engine's fixed choices, plain included; the mean over categories.
    """
    categories = sorted({run.category for run in runs})

    def mean(engine: str, way: str, category: str | None = None) -> float:
        return geometric_mean(
            [r.ratio for r in runs if (r.engine, r.way) == (engine, way) and category in (None, r.category)]
        )

    ways = list(dict.fromkeys((run.engine, run.way) for run in runs))
    fixed = [way for engine, way in ways if engine == OWN and way not in ("auto", "adaptive")]
    best = {category: max(mean(OWN, way, category) for way in fixed) for category in categories}
    peers = [mean(engine, way) for engine, way in ways if engine != OWN]
    auto = {category: mean(OWN, "auto", category) for category in categories}
    return {
        "means": {f"{engine}: {way}": mean(engine, way) for engine, way in ways},
        "auto_lowest_category": min(auto.values()),
        "auto_share_of_hindsight": {category: auto[category] / best[category] for category in categories},
        "auto_against_best_peer": mean(OWN, "auto") / max(peers) if peers else None,
    }
