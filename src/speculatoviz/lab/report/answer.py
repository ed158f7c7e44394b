"""The answer of a sweep in two sentences: whether speculation pays, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

from speculatoviz.lab.processor import QUIET
from speculatoviz.lab.report.words import listed, number, plural
from speculatoviz.lab.statistics import Estimate
from speculatoviz.lab.sweep.cells import Cell
from speculatoviz.lab.sweep.summary import Choice, Summary

_STEADY, _UNSTEADY = 1.1, 1.3  # factors between plain runs of one prompt: named from here on, too much from here on
_BUSY = 0.25  # of the processor time for other programs: too much


def answer(summary: Summary, target: str) -> tuple[str, str]:
    """Both sentences. target: its name."""
    by_temperature = {temperature: summary.best(temperature) for temperature in summary.temperatures}
    first = "; ".join(_verdict(summary, temperature, choice) for temperature, choice in by_temperature.items())
    coldest = summary.temperatures[0]
    busy = " The machine was too busy to tell." if too_noisy(summary) else ""
    return f"{target} on this machine: {first}.{busy}", _why(summary, coldest, by_temperature[coldest])


def caution(summary: Summary) -> str:
    """What speaks against the answer, in a few sentences; empty for nothing."""
    found = []
    if summary.foreign_share > QUIET:
        found.append(f"Other programs used {100 * summary.foreign_share:.0f} % of the processor time meanwhile.")
    if summary.plain_spread > _STEADY:
        found.append(f"Plain runs of one prompt differ by a factor of {number(summary.plain_spread)} in the median.")
    return " ".join([*found, "Measure again on a quiet machine."]) if found else ""


def too_noisy(summary: Summary) -> bool:
    """Whether the machine was too busy to tell anything. NaN, for not known, is not too busy."""
    return summary.foreign_share > _BUSY or summary.plain_spread > _UNSTEADY


def fastest(summary: Summary, temperature: float) -> Cell:
    """The fastest cell that speculates, whether or not it is faster than plain decoding."""
    return max(compared(summary, temperature), key=lambda cell: summary.of(cell, temperature).speedup.value)


def compared(summary: Summary, temperature: float) -> list[Cell]:
    """The cells that ran on every prompt; all that ran, as long as there is none."""
    known = [cell for cell in summary.cells if summary.of(cell, temperature).speedup.known]
    return summary.whole(temperature) or known


def _verdict(summary: Summary, temperature: float, choice: Choice) -> str:
    cell = fastest(summary, temperature)
    figures = summary.of(cell, temperature)
    honest = choice.held_out if choice.held_out.known else figures.speedup
    pays = {1: "speculation pays", 0: "it is not clear whether speculation pays", -1: "speculation does not pay"}
    verdict = pays[0 if too_noisy(summary) else _sign(honest, figures.speedup)]
    prompts, choices = plural(figures.prompts, "prompt"), plural(len(compared(summary, temperature)), "choice")
    held_out = ""
    if choice.held_out.known and not choice.cell.plain:
        held_out = f", and {number(choice.held_out.value)} if each prompt's choice is made on the other prompts"
    return (
        f"at T={temperature:g} {verdict}: the fastest of {choices}, {cell.label}, "
        f"decodes {number(figures.speedup.value)} times as fast as the target alone "
        f"({_interval(figures.speedup)}{prompts}){held_out}"
    )


def _sign(honest: Estimate, measured: Estimate) -> int:
    """1 if both intervals are above 1, -1 if the measured one is below, else 0."""
    if math.isnan(measured.low):
        return 0
    if measured.high < 1.0:
        return -1
    return 1 if measured.low > 1.0 and not honest.low <= 1.0 else 0


def _interval(of: Estimate) -> str:
    return "" if math.isnan(of.low) else f"95 % interval {number(of.low)} to {number(of.high)}, "


def _why(summary: Summary, temperature: float, choice: Choice) -> str:
    cell = fastest(summary, temperature) if choice.cell.plain else choice.cell
    figures = summary.of(cell, temperature)
    tokens, speedup = figures.tokens_per_round.value, figures.speedup.value
    sentence = (
        f"At T={temperature:g} a round of {cell.label} brings {number(tokens)} tokens and takes as long as "
        f"{number(tokens / speedup)} plain tokens"
    )
    return f"{sentence}{_categories(summary, temperature, cell)}."


def _categories(summary: Summary, temperature: float, cell: Cell) -> str:
    """Where it gains most and where least; empty for a single category."""
    if len(summary.categories) < 2:
        return ""
    gains = {category: summary.of(cell, temperature, category).speedup.value for category in summary.categories}
    known = {category: gain for category, gain in gains.items() if not math.isnan(gain)}
    if len(known) < 2:
        return ""
    most, least = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
    faster = [category for category, gain in known.items() if gain > 1.0]
    where = f"faster in {_few(faster, len(known))}" if faster else "faster in none of the categories"
    return f"; it is {where}, from {number(known[least])} ({least}) to {number(known[most])} ({most})"


def _few(categories: Sequence[str], of: int) -> str:
    if len(categories) > 4:
        return f"{len(categories)} of {of} categories"
    return listed(list(categories))
