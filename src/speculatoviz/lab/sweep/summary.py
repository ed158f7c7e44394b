"""The figures of a sweep over its prompts, each with a 95 % interval over prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

from speculatoviz.core.theory import expected_tokens
from speculatoviz.core.token_classes import TOKEN_CLASSES
from speculatoviz.lab.statistics import UNKNOWN, Estimate, geometric, geometric_mean, quantile, share
from speculatoviz.lab.sweep.cells import PLAIN, Cell
from speculatoviz.lab.sweep.records import SweepRun

ALL = "all prompts"
GAPS = (0.5, 0.95, 0.99)  # quantiles of the time between two tokens
# What a token's time is spent on; drafting begins with the drafter's prefill of the prompt.
PARTS: Mapping[str, Callable[[SweepRun], float]] = {
    "draft": lambda run: run.draft_prefill_ms + run.draft_ms,
    "verify": lambda run: run.verify_ms,
    "network": lambda run: run.network_ms,
    "other": lambda run: run.other_ms,
}
# Upper ends of the classes, the last one open.
ENTROPIES = (0.1, 0.5, 1.0, 2.0, math.inf)  # nats
CONTEXTS = (128, 256, 512, 1024, 2048, math.inf)  # tokens

PromptKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """A cell at a temperature, over the prompts of a category.

    speedup: geometric mean of the ratios to plain runs. tokens_per_round: emitted / rounds (τ). acceptance: accepted /
    drafted. parts_ms: milliseconds for each emitted token, by the parts of a round. exactness: the labels of the runs.
    departed: greedy runs whose text is not the plain one.
    """

    prompts: int
    speedup: Estimate
    tokens_per_round: Estimate
    acceptance: Estimate
    parts_ms: Mapping[str, float]
    exactness: tuple[str, ...]
    departed: int


class Positions(NamedTuple):
    """Acceptance by position in the draft, from 0.

    unconditional: rounds that accepted the position / rounds that drafted. conditional: rounds that accepted it /
    rounds that tested it.
    """

    unconditional: tuple[Estimate, ...]
    conditional: tuple[Estimate, ...]


class Latency(NamedTuple):
    """ttft_ms: median time to the first token. gaps_ms: quantiles `GAPS` of the time between two tokens."""

    ttft_ms: Estimate
    gaps_ms: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The best cell of a category, plain decoding included.

    speedup: of its runs. held_out: the geometric mean over prompts of the speedup on a prompt of the cell that is best
    on the other ones: what choosing in advance would have gained. NaN for a single prompt.
    """

    cell: Cell
    speedup: Estimate
    held_out: Estimate


class Summary:
    """The runs of a sweep that succeeded. Figures are computed when they are asked for."""

    def __init__(self, runs: Sequence[SweepRun]) -> None:
        self.runs = list(runs)
        self._known: dict[tuple[Cell, float, str], Figures] = {}

    @cached_property
    def temperatures(self) -> list[float]:
        """Those at which something was compared."""
        return sorted({run.temperature for run in self.runs if run.speedup is not None})

    @cached_property
    def categories(self) -> list[str]:
        """In the order of their first runs."""
        return list(dict.fromkeys(run.category for run in self.runs))

    @cached_property
    def foreign_share(self) -> float:
        """The mean share of the used processor time that other programs had; NaN if it is not known."""
        known = [run.foreign_share for run in self.runs if run.foreign_share is not None]
        return math.fsum(known) / len(known) if known else math.nan

    @cached_property
    def plain_spread(self) -> float:
        """By which factor the rates of plain runs of one prompt differ, median over prompts; NaN with one run each."""
        rates: dict[tuple[PromptKey, float], list[float]] = {}
        for run in self.runs:
            if run.cell.plain and run.tps is not None:
                rates.setdefault(((run.category, run.prompt), run.temperature), []).append(run.tps)
        ratios = [max(some) / min(some) for some in rates.values() if len(some) > 1]
        return median(ratios) if ratios else math.nan

    @cached_property
    def groups(self) -> list[str]:
        """The categories, and all prompts together; only these if there is one category."""
        return [*self.categories, ALL] if len(self.categories) > 1 else [ALL]

    @cached_property
    def cells(self) -> list[Cell]:
        """Without plain decoding: by drafter, then fixed depths before policies."""

        def place(cell: Cell) -> tuple[object, ...]:
            return cell.drafter == "", cell.source, cell.policy != "fixed", cell.policy, cell.nodes, cell.k or 0

        return sorted({run.cell for run in self.runs if not run.cell.plain}, key=place)

    def of(self, cell: Cell, temperature: float, category: str = ALL) -> Figures:
        """The figures of a cell."""
        key = (cell, temperature, category)
        if key not in self._known:
            self._known[key] = _figures(self.select(cell, temperature, category))
        return self._known[key]

    def select(self, cell: Cell, temperature: float, category: str = ALL) -> list[SweepRun]:
        """The runs of a cell."""
        return [
            run
            for run in self.runs
            if run.cell == cell and run.temperature == temperature and category in (ALL, run.category)
        ]

    def speedups(self, cell: Cell, temperature: float, category: str = ALL) -> dict[PromptKey, float]:
        """By prompt; 1 for plain decoding."""
        if cell.plain:
            others = [run for run in self.runs if run.temperature == temperature and category in (ALL, run.category)]
            return {(run.category, run.prompt): 1.0 for run in others if run.speedup is not None}
        runs = self.select(cell, temperature, category)
        return {(run.category, run.prompt): run.speedup for run in runs if run.speedup is not None}

    def whole(self, temperature: float, category: str = ALL) -> list[Cell]:
        """The cells that ran on every prompt that was compared."""
        prompts = len(self.speedups(PLAIN, temperature, category))
        return [cell for cell in self.cells if prompts == len(self.speedups(cell, temperature, category)) > 0]

    def best(self, temperature: float, category: str = ALL) -> Choice:
        """The cell with the highest speedup; plain decoding if no cell that ran on every prompt is faster."""
        cells = (PLAIN, *self.whole(temperature, category))
        whole = {cell: self.speedups(cell, temperature, category) for cell in cells}
        if not whole[PLAIN]:
            return Choice(PLAIN, UNKNOWN, UNKNOWN)
        cell = _fastest(whole)
        return Choice(cell, geometric(list(whole[cell].values())), geometric(_held_out(whole)))

    def positions(self, cell: Cell, temperature: float) -> Positions:
        """Acceptance by position."""
        prompts = _by_prompt(self.select(cell, temperature))
        depth = max((place for some in prompts for run in some for place in run.tested_position), default=-1) + 1
        return Positions(
            tuple(_share(prompts, _accepting(place), _drafting) for place in range(depth)),
            tuple(_share(prompts, _accepting(place), _testing(place)) for place in range(depth)),
        )

    def latency(self, cell: Cell, temperature: float) -> Latency:
        """Times as a user sees them."""
        prompts = _by_prompt(self.select(cell, temperature))
        firsts = [[run.ttft_ms for run in some if run.ttft_ms is not None] for some in prompts]
        gaps = [[gap for run in some for gap in run.gaps_ms] for some in prompts]
        return Latency(quantile(firsts, 0.5), tuple(quantile(gaps, at) for at in GAPS))

    def by_entropy(self, cell: Cell, temperature: float) -> list[Estimate]:
        """accepted / tested by the target's entropy at the token, for the classes of `ENTROPIES`."""
        return self._by(cell, temperature, lambda run: run.tested_entropy, ENTROPIES)

    def by_token_class(self, cell: Cell, temperature: float) -> list[Estimate]:
        """accepted / tested by the class of the text's token at the place, for `TOKEN_CLASSES`."""
        runs = self.select(cell, temperature)
        found = list[Estimate]()
        for wanted in TOKEN_CLASSES:
            counts = [_counts(run, [own == wanted for own in run.tested_token_class]) for run in runs]
            found.append(share([accepted for accepted, _ in counts], [tested for _, tested in counts]))
        return found

    def by_context(self, cell: Cell, temperature: float) -> list[Estimate]:
        """accepted / tested by the tokens before the token, for the classes of `CONTEXTS`."""
        return self._by(cell, temperature, lambda run: run.tested_context_tokens, CONTEXTS)

    def _by(
        self,
        cell: Cell,
        temperature: float,
        of: Callable[[SweepRun], Sequence[float | None]],
        ends: Sequence[float],
    ) -> list[Estimate]:
        runs = self.select(cell, temperature)
        found, low = list[Estimate](), -math.inf
        for high in ends:
            inside = [[value is not None and low <= value < high for value in of(run)] for run in runs]
            counts = [_counts(run, own) for run, own in zip(runs, inside, strict=True)]
            found.append(share([accepted for accepted, _ in counts], [tested for _, tested in counts]))
            low = high
        return found


class PlainRound(NamedTuple):
    """Mean milliseconds of a plain round: its pass, and the rest, which does not grow with the pass."""

    verify_ms: float
    other_ms: float


def plain_round(runs: Iterable[SweepRun]) -> PlainRound:
    """The mean of the rounds of plain runs; NaN without rounds."""
    listed = list(runs)
    rounds = sum(len(run.round_ms) for run in listed)
    if not rounds:
        return PlainRound(math.nan, math.nan)
    verify_ms = math.fsum(run.verify_ms for run in listed) / rounds
    other_ms = math.fsum(run.draft_ms + run.network_ms + run.other_ms for run in listed) / rounds
    return PlainRound(verify_ms, other_ms)


def expected_speedup(
    acceptance: float, depth: int, draft_ms: float, pass_ms: Mapping[int, float], plain: PlainRound
) -> float:
    """The expected rate relative to plain rounds (Leviathan et al. 2023, theorem 3.8, with measured passes).

    acceptance: of a drafted token, the same at every position. draft_ms: of one drafted token. pass_ms: of a pass over
    as many tokens, as measured before the runs; only the ratio to a single one counts, since the machine can be slower
    in the runs. plain: of the runs. NaN if a pass was not measured.
    """
    if 1 not in pass_ms or depth + 1 not in pass_ms or math.isnan(acceptance + draft_ms + plain.verify_ms):
        return math.nan
    verify_ms = plain.verify_ms * pass_ms[depth + 1] / pass_ms[1]
    plain_ms = plain.verify_ms + plain.other_ms
    return expected_tokens(acceptance, depth) * plain_ms / (depth * draft_ms + verify_ms + plain.other_ms)


def acceptance_of(runs: Iterable[SweepRun]) -> float:
    """accepted / tested over all positions; NaN if nothing was tested."""
    listed = list(runs)
    tested = sum(len(run.tested_accepted) for run in listed)
    return sum(sum(run.tested_accepted) for run in listed) / tested if tested else math.nan


def drafting_share(runs: Iterable[SweepRun]) -> float:
    """The share of rounds that drafted anything; NaN without rounds."""
    rounds = [drafted > 0 for run in runs for drafted in run.drafted]
    return sum(rounds) / len(rounds) if rounds else math.nan


def drafted_token_ms(runs: Iterable[SweepRun]) -> float:
    """Milliseconds of one drafted token; NaN without one."""
    listed = list(runs)
    drafted = sum(sum(run.drafted) for run in listed)
    return sum(run.draft_ms for run in listed) / drafted if drafted else math.nan


def _figures(runs: Sequence[SweepRun]) -> Figures:
    prompts = _by_prompt(runs)
    tokens = sum(run.tokens for run in runs)
    return Figures(
        prompts=len(prompts),
        speedup=geometric([run.speedup for run in runs if run.speedup is not None]),
        tokens_per_round=_share(prompts, lambda run: run.tokens, lambda run: len(run.emitted)),
        acceptance=_share(prompts, lambda run: sum(run.accepted), lambda run: sum(run.drafted)),
        parts_ms={part: math.fsum(map(of, runs)) / tokens if tokens else math.nan for part, of in PARTS.items()},
        exactness=tuple(dict.fromkeys(run.exactness for run in runs)),
        departed=sum(run.departure is not None for run in runs),
    )


def _by_prompt(runs: Iterable[SweepRun]) -> list[list[SweepRun]]:
    """The runs of each prompt: several of plain decoding, one of any other cell."""
    found: dict[PromptKey, list[SweepRun]] = {}
    for run in runs:
        found.setdefault((run.category, run.prompt), []).append(run)
    return list(found.values())


def _share(
    prompts: Sequence[Sequence[SweepRun]], part: Callable[[SweepRun], float], whole: Callable[[SweepRun], float]
) -> Estimate:
    """The sum of the parts of all runs divided by that of the wholes."""
    parts = [math.fsum(part(run) for run in runs) for runs in prompts]
    return share(parts, [math.fsum(whole(run) for run in runs) for runs in prompts])


def _drafting(run: SweepRun) -> float:
    return sum(drafted > 0 for drafted in run.drafted)


def _accepting(position: int) -> Callable[[SweepRun], float]:
    """Rounds that accepted the position."""
    return lambda run: sum(accepted > position for accepted in run.accepted)


def _testing(position: int) -> Callable[[SweepRun], float]:
    """Rounds that tested the position."""
    return lambda run: run.tested_position.count(position)


def _counts(run: SweepRun, inside: Sequence[bool]) -> tuple[int, int]:
    """(accepted, tested) among the tested tokens that are inside of a class; empty: none is."""
    return sum(accepted for accepted, own in zip(run.tested_accepted, inside, strict=bool(inside)) if own), sum(inside)


def _fastest(by_cell: Mapping[Cell, Mapping[PromptKey, float]]) -> Cell:
    means = {cell: geometric_mean(list(ratios.values())) for cell, ratios in by_cell.items()}
    return max(means, key=means.__getitem__)


def _held_out(by_cell: Mapping[Cell, Mapping[PromptKey, float]]) -> list[float]:
    """For every prompt the ratio there of the cell that is fastest on the others; empty for a single prompt."""
    prompts = list(next(iter(by_cell.values())))
    if len(prompts) < 2:
        return []
    found = []
    for prompt in prompts:
        others = {cell: {key: r for key, r in ratios.items() if key != prompt} for cell, ratios in by_cell.items()}
        found.append(by_cell[_fastest(others)][prompt])
    return found
