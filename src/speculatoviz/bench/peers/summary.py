"""A measurement as tables for a reader, and as one object for a program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from speculatoviz.bench.peers.comparison import ALL, Comparison, Standing
from speculatoviz.bench.peers.own import DEEP
from speculatoviz.bench.peers.runs import About, PeerRun
from speculatoviz.lab.processor import QUIET
from speculatoviz.lab.statistics import interval

Cells = Sequence[str]


def by_temperature(runs: Sequence[PeerRun], about: About) -> dict[float, Comparison]:
    """The runs of each temperature."""
    temperatures = sorted({run.temperature for run in runs})
    return {
        temperature: Comparison([run for run in runs if run.temperature == temperature], about.reference)
        for temperature in temperatures
    }


# --- for a reader ---------------------------------------------------------------------------------------


def tables(runs: Sequence[PeerRun], about: About) -> str:
    """Markdown. For each temperature: every way by category, and for each runtime what became of `auto`."""
    parts = []
    for temperature, comparison in by_temperature(runs, about).items():
        parts.append(f"T={temperature:g}. Rates relative to {about.reference.label}, geometric means.")
        parts.append(_markdown(_ways(comparison), text_columns=1))
        parts += [f"{way.label} failed: {error}" for way, error in comparison.failures.items()]
        for runtime in comparison.runtimes:
            parts.append(_sentence(comparison, runtime, temperature))
            standings = comparison.standings(runtime, about.pass_ms.get(runtime, {}))
            parts.append(_markdown(_standings(standings), text_columns=1))
    parts += [_outside(runtime, shares) for runtime, shares in about.outside_passes.items()]
    parts.append(_others(_foreign_share(runs)))
    return "\n\n".join(parts)


def _ways(comparison: Comparison) -> Iterator[Cells]:
    yield ("way", "all (95 %)", *comparison.categories)
    for way in comparison.ways:
        low, high = interval(list(comparison.ratios(way).values()))
        if way in comparison.failures and math.isnan(comparison.mean(way)):
            yield (way.label, "failed", *("–" for _ in comparison.categories))
            continue
        spread = "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
        cells = [_number(comparison.mean(way, category)) for category in comparison.categories]
        yield (way.label, _number(comparison.mean(way)) + spread, *cells)


def _sentence(comparison: Comparison, runtime: str, temperature: float) -> str:
    mean, low, high = comparison.headline(runtime)
    against = "llama.cpp was not measured"
    if not math.isnan(mean):
        spread = "" if math.isnan(low) else f" (95 %: {low:.2f} to {high:.2f})"
        against = f"{mean:.2f} times the rate of llama.cpp's fastest way of each category{spread}"
    return f"auto on {runtime} at T={temperature:g}: {against}."


def _outside(runtime: str, shares: Mapping[float, float | None]) -> str:
    known = {temperature: "–" if share is None else f"{share:.1%}" for temperature, share in shares.items()}
    listed = ", ".join(f"{share} at T={temperature:g}" for temperature, share in known.items())
    return f"Outside forward passes on {runtime}, of a round at depth {DEEP}: {listed}."


def _others(share: float) -> str:
    """How busy the machine was with other programs."""
    if math.isnan(share):
        return "How busy the machine was with other programs is not known here."
    used = f"Other programs used {share:.1%} of the processor time."
    return used if share <= QUIET else f"{used} That slows down some engines more than others: measure again."


def _foreign_share(runs: Sequence[PeerRun]) -> float:
    """The mean over the runs; NaN if it is not known."""
    known = [run.foreign_share for run in runs if run.foreign_share is not None]
    return math.fsum(known) / len(known) if known else math.nan


def _standings(standings: Mapping[str, Standing]) -> Iterator[Cells]:
    yield (
        "category",
        "auto",
        "÷ plain",
        "÷ best fixed",
        "best fixed",
        "bound, fixed",
        "bound",
        "share of bound",
        "÷ llama.cpp plain",
        "÷ llama.cpp best",
        "llama.cpp best",
    )
    for category, standing in standings.items():
        yield (
            category,
            _number(standing.auto),
            _number(standing.against_plain),
            _number(standing.against_fixed),
            standing.fixed_way or "–",
            _number(standing.bound_fixed),
            _number(standing.bound),
            _number(standing.share_of_bound),
            _number(standing.auto / standing.llamacpp_plain),
            _number(standing.against_llamacpp),
            standing.llamacpp_way or "–",
        )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _markdown(rows: Iterator[Cells], text_columns: int) -> str:
    head, *body = rows
    rule = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


# --- for a program --------------------------------------------------------------------------------------


def summary(runs: Sequence[PeerRun], about: About) -> dict[str, Any]:
    """One object that JSON can hold; what was not measured is None."""
    spent_ms = math.fsum(run.timing.ms for run in runs if run.timing is not None and run.waiting_ms is not None)
    waiting_ms = math.fsum(run.waiting_ms for run in runs if run.waiting_ms is not None)
    whole = {
        "machine": about.machine,
        "target": about.target,
        "draft": about.draft or None,
        "reference": about.reference.label,
        "max_tokens": about.max_tokens,
        "pass_ms": about.pass_ms,
        "outside_passes": about.outside_passes,
        "waiting_processor_share": waiting_ms / spent_ms if spent_ms else math.nan,
        "foreign_processor_share": _foreign_share(runs),
        "temperatures": {
            f"{temperature:g}": _temperature(comparison, about)
            for temperature, comparison in by_temperature(runs, about).items()
        },
    }
    return {key: _finite(value) for key, value in whole.items()}


def _temperature(comparison: Comparison, about: About) -> dict[str, Any]:
    return {
        "ways": {way.label: _way(comparison, list(comparison.ratios(way).values()), way) for way in comparison.ways},
        "failed": {way.label: error for way, error in comparison.failures.items()},
        "runtimes": {
            runtime: _runtime(comparison, runtime, about.pass_ms.get(runtime, {})) for runtime in comparison.runtimes
        },
    }


def _runtime(comparison: Comparison, runtime: str, pass_ms: Mapping[int, float]) -> dict[str, Any]:
    standings = comparison.standings(runtime, pass_ms)
    mean, low, high = comparison.headline(runtime)
    each = [standing for category, standing in standings.items() if category != ALL]
    return {
        "auto_against_llamacpp": {"ratio": mean, "low": low, "high": high},
        "auto_against_plain_lowest": min((standing.against_plain for standing in each), default=math.nan),
        "auto_against_fixed_lowest": min((standing.against_fixed for standing in each), default=math.nan),
        "categories": {category: _standing(standing) for category, standing in standings.items()},
    }


def _standing(standing: Standing) -> dict[str, Any]:
    return asdict(standing) | {
        "auto_against_plain": standing.against_plain,
        "auto_against_fixed": standing.against_fixed,
        "auto_share_of_bound": standing.share_of_bound,
        "auto_against_llamacpp": standing.against_llamacpp,
    }


def _way(comparison: Comparison, ratios: Sequence[float], way: Any) -> dict[str, Any]:
    low, high = interval(ratios)
    categories = {category: comparison.mean(way, category) for category in comparison.categories}
    return {"ratio": comparison.mean(way), "low": low, "high": high, "categories": categories}


def _finite(value: Any) -> Any:
    """The same with None instead of NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
