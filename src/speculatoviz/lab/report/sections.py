"""The sections of the report: a sentence on what they show, a figure, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from speculatoviz.core.token_classes import TOKEN_CLASSES
from speculatoviz.lab.report import figures
from speculatoviz.lab.report.words import UNKNOWN, estimate, number, percent
from speculatoviz.lab.statistics import UNKNOWN as NOT_MEASURED
from speculatoviz.lab.sweep.cells import PLAIN, Cell
from speculatoviz.lab.sweep.summary import CONTEXTS, ENTROPIES, PARTS, Summary


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell of a table. href: where it leads, empty for nowhere."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """head: of the columns; the first column names the rows. folded: shown when it is asked for."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    folded: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """figure: an SVG element, empty for none."""

    title: str
    text: str
    figure: str
    tables: tuple[Table, ...]


Anchors = Mapping[tuple[float, Cell, str], str]  # of the texts, by temperature, cell and category


def at_temperature(temperature: float) -> str:
    """The end of a caption."""
    return f"T={temperature:g}"


def choices(summary: Summary) -> Section:
    """The best choice of each category at each temperature."""
    tables = []
    for temperature in summary.temperatures:
        found = {category: summary.best(temperature, category) for category in summary.groups}
        tables.append(
            _table(
                f"Best choice at {at_temperature(temperature)}",
                ("category", "prompts", "choice", "speedup (95 %)", "chosen on the other prompts (95 %)"),
                [
                    [
                        category,
                        str(len(summary.speedups(PLAIN, temperature, category))),
                        choice.cell.label,
                        estimate(choice.speedup),
                        estimate(choice.held_out),
                    ]
                    for category, choice in found.items()
                ],
                folded=False,
            )
        )
    text = (
        "The fastest of all choices, plain decoding included, in hindsight. The last column is what a choice made in "
        "advance gains: every prompt is decoded with the choice that is fastest on the other prompts of the category."
    )
    return Section("Best choice", text, "", tuple(tables))


def speedups(summary: Summary, temperature: float, anchors: Anchors) -> Section:
    """Speedups by category."""
    cells = figures.shown(summary, temperature)
    by_category = [
        [
            Entry(cell.label),
            *(
                Entry(
                    estimate(summary.of(cell, temperature, group).speedup), anchors.get((temperature, cell, group), "")
                )
                for group in summary.groups
            ),
        ]
        for cell in cells
    ]
    tokens = [
        [cell.label, *(estimate(summary.of(cell, temperature, group).tokens_per_round) for group in summary.groups)]
        for cell in summary.cells
    ]
    accepted = [
        [cell.label, *(percent(summary.of(cell, temperature, group).acceptance) for group in summary.groups)]
        for cell in summary.cells
    ]
    text = (
        "Tokens per second divided by those of plain runs of the same prompt just before and after; geometric means "
        "and their 95 % intervals over prompts. Right of the line at 1, speculation is faster. Each drafter is shown "
        "at its fastest depth."
    )
    groups = ("choice", *summary.groups)
    head = ("choice", "prompts", "speedup (95 %)", "tokens a round, τ (95 %)", "accepted of drafted (95 %)")
    return Section(
        f"Speedup, {at_temperature(temperature)}",
        text,
        figures.by_category(summary, temperature, cells, f"speedup-{temperature:g}"),
        (
            Table("Speedup by category (95 %); a number leads to the tokens of one run", groups, _rows(by_category)),
            _table("Tokens a round by category, τ (95 %)", groups, tokens),
            _table("Accepted of drafted by category (95 %)", groups, accepted),
            _table(
                "All choices",
                (*head, "exactness", "greedy texts that depart"),
                [[cell.label, *_overview(summary, cell, temperature)] for cell in summary.cells],
            ),
        ),
    )


def positions(summary: Summary, temperature: float) -> Section:
    """Acceptance by position, entropy, token class and context."""
    cells = [cell for cell in figures.deepest(summary, temperature) if summary.positions(cell, temperature).conditional]
    deepest = max((len(summary.positions(cell, temperature).conditional) for cell in cells), default=0)
    rows = []
    for cell in cells:
        found = summary.positions(cell, temperature)
        for name, marks in (("tested", found.conditional), ("drafted", found.unconditional)):
            values = [percent(mark) for mark in marks]
            rows.append([f"{cell.label}, of {name}", *values, *[UNKNOWN] * (deepest - len(values))])
    tables = [_table("Accepted by position (95 %)", ("choice", *map(str, range(1, deepest + 1))), rows)]
    entropies = [[cell.label, *map(percent, summary.by_entropy(cell, temperature))] for cell in cells]
    if any(summary.by_entropy(cell, temperature)[0].known for cell in cells):
        heads = classes(ENTROPIES, "nats")
        tables.append(_table("Accepted of tested, by the target's entropy (95 %)", ("choice", *heads), entropies))
    tokens = [[cell.label, *map(percent, summary.by_token_class(cell, temperature))] for cell in cells]
    if any(mark.known for cell in cells for mark in summary.by_token_class(cell, temperature)):
        caption = "Accepted of tested, by the class of the text's token there (95 %)"
        tables.append(_table(caption, ("choice", *TOKEN_CLASSES), tokens))
    contexts = [[cell.label, *map(percent, summary.by_context(cell, temperature))] for cell in cells]
    heads = classes(CONTEXTS, "tokens")
    tables.append(_table("Accepted of tested, by the tokens before it (95 %)", ("choice", *heads), contexts))
    text = (
        "A position is tested only if every token before it was accepted. Solid lines are shares of the rounds that "
        "tested a position, dotted lines of all rounds that drafted; both with intervals over prompts in the table. "
        "Each drafter is shown at its deepest chain."
    )
    figure = figures.by_position(summary, temperature, cells, f"position-{temperature:g}") if cells else ""
    return Section(f"Acceptance, {at_temperature(temperature)}", text, figure, tuple(tables))


def costs(summary: Summary, temperature: float) -> Section:
    """What a token costs, and when it arrives."""
    cells = figures.shown(summary, temperature)
    cost = [
        [cell.label, *(number(summary.of(cell, temperature).parts_ms[part], 1) for part in PARTS)]
        for cell in (PLAIN, *cells)
    ]
    arrival = []
    for cell in (PLAIN, *cells):
        found = summary.latency(cell, temperature)
        arrival.append([cell.label, *(estimate(mark, 1) for mark in (found.ttft_ms, *found.gaps_ms))])
    head = ("choice", "first token, median", "between tokens, 50 %", "95 %", "99 %")
    text = (
        "Where the time of a token goes. The dotted line is plain decoding: a bar that ends left of it is faster. "
        "Tokens of one round arrive together, so the time between two tokens is 0 inside a round and the whole round "
        "between rounds. Drafting contains the drafter's reading of the prompt, and the time to the first token all of "
        "the prompt, which no run takes from a cache."
    )
    return Section(
        f"Time, {at_temperature(temperature)}",
        text,
        figures.costs(summary, temperature, cells, f"cost-{temperature:g}"),
        (
            _table("Milliseconds for each emitted token", ("choice", *PARTS), cost),
            _table("Milliseconds until tokens arrive (95 %)", head, arrival),
        ),
    )


def depths(summary: Summary, temperature: float, pass_ms: Mapping[int, float]) -> Section | None:
    """Speedup by depth with the formula; None if no drafter has two depths."""
    found = figures.curves(summary, temperature, pass_ms)
    if not found:
        return None
    rows = [
        [curve.drafter, str(k), estimate(curve.measured.get(k, NOT_MEASURED)), number(curve.expected.get(k))]
        for curve in found
        for k in sorted({*curve.measured, *curve.expected})
    ]
    given = [
        f"{curve.drafter}: a = {number(curve.acceptance)}, {number(curve.draft_ms)} ms a drafted token"
        if curve.expected
        else f"{curve.drafter}: none, since it drafts in {100 * curve.drafting:.0f} % of the rounds only"
        for curve in found
    ]
    text = (
        "Dashed lines are computed: (1 - a^(k + 1)) / (1 - a) tokens a round, for k drafted tokens, one pass over "
        "k + 1 tokens and the rest of a plain round, each with its measured time; the pass is that of the plain runs "
        "times the measured ratio of the two passes. a is the measured share of tested tokens that were accepted, "
        f"taken as equal at every position ({'; '.join(given)}). The distance to the measured lines is what this "
        "leaves out: the drafter's reading of the prompt, acceptance that changes along a draft and along a text, and "
        "that the rest of a round grows with its drafts."
    )
    return Section(
        f"Depth, {at_temperature(temperature)}",
        text,
        figures.by_depth(summary, found, temperature, f"depth-{temperature:g}"),
        (_table("Speedup by depth", ("drafter", "k", "measured (95 %)", "by the formula"), rows),),
    )


def classes(ends: Sequence[float], unit: str) -> list[str]:
    """The classes up to each end, as a reader reads them."""
    names = [f"below {ends[0]:g} {unit}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(ends[:-1])]
    return [*names, f"{ends[-2]:g} or more"]


def _overview(summary: Summary, cell: Cell, temperature: float) -> list[str]:
    of = summary.of(cell, temperature)
    departed = f"{of.departed} of {of.prompts}" if temperature == 0.0 else UNKNOWN
    exactness = ", ".join(of.exactness)
    figures_of = [estimate(of.speedup), estimate(of.tokens_per_round), percent(of.acceptance)]
    return [str(of.prompts), *figures_of, exactness, departed]


def _table(caption: str, head: tuple[str, ...], rows: Iterable[Sequence[str]], *, folded: bool = True) -> Table:
    return Table(caption, head, _rows([Entry(text) for text in row] for row in rows), folded)


def _rows(rows: Iterable[Sequence[Entry]]) -> tuple[tuple[Entry, ...], ...]:
    return tuple(tuple(row) for row in rows)
