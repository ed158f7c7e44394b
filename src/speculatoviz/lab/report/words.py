"""How the report writes numbers, models and choices."""

from __future__ import annotations

import math

from speculatoviz.lab.statistics import Estimate
from speculatoviz.telemetry.parts import ModelInfo

UNKNOWN = "–"


def number(value: float | None, digits: int = 2) -> str:
    """With a fixed number of decimals; a dash for what is not known."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def estimate(of: Estimate, digits: int = 2) -> str:
    """A figure, and its interval if there is one: `1.32 (1.20 to 1.45)`."""
    if math.isnan(of.low):
        return number(of.value, digits)
    return f"{number(of.value, digits)} ({number(of.low, digits)} to {number(of.high, digits)})"


def percent(of: Estimate) -> str:
    """A share and its interval, in percent."""
    if not of.known:
        return UNKNOWN
    if math.isnan(of.low):
        return f"{100 * of.value:.0f} %"
    return f"{100 * of.value:.0f} % ({100 * of.low:.0f} to {100 * of.high:.0f})"


def model(of: ModelInfo) -> str:
    """Name, quantisation and runtime."""
    quantisation = "" if of.quantisation == "unknown" else f" {of.quantisation}"
    return f"{of.name}{quantisation} on {of.runtime}"


def listed(values: list[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join([*([", ".join(values[:-1])] if len(values) > 1 else []), *values[-1:]])


def plural(count: int, noun: str) -> str:
    """`1 prompt`, `2 prompts`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
