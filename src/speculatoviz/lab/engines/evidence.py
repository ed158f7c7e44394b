"""What recorded runs prove about one drafter on one target: the evidence for settings and for passports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from speculatoviz.core.types import Rule
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.acceptance import (
    Acceptance,
    CountedRound,
    RecordedRun,
    acceptance,
    length_interval,
    recorded_runs,
    usual_depth,
)
from speculatoviz.telemetry.events import Started
from speculatoviz.telemetry.parts import SamplingInfo
from speculatoviz.telemetry.trace import Trace

_FEW_DRAFTS = 50
_MANY_SHORT = 0.05  # the share of drafts that lack the last position, from which on it is mentioned


class NamedTrace(NamedTuple):
    """A trace with the name under which a user knows it."""

    name: str
    trace: Trace


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the traces prove about `drafter`.

    depth: tokens of a draft. acceptance: of drafts of at most that depth; its `rounds` are those of the drafter and
    plain ones. length_interval: of the mean acceptance length; None if there are too few rounds. drawn: the drafted
    tokens were drawn from q, not chosen as the most probable. left_out: rounds at the ends of the texts. notes: what
    limits the evidence, one sentence each.
    """

    traces: tuple[str, ...]
    started: Started
    drafter: str
    depth: int
    acceptance: Acceptance
    length_interval: tuple[float, float] | None
    drawn: bool
    left_out: int
    runs: int
    created: tuple[str, ...]
    machines: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def rule(self) -> Rule:
        return self.started.rule

    @property
    def sampling(self) -> SamplingInfo:
        return self.started.sampling

    @property
    def greedy(self) -> bool:
        """Whether the target took its most probable token at every place."""
        return self.sampling.temperature == 0.0


def evidence(traces: Sequence[NamedTrace], drafter: str | None = None, depth: int | None = None) -> Evidence:
    """The evidence of traces that were recorded under the same conditions.

    drafter: which of several that drafted; by default the one with the most drafts. depth: by default the usual one of
    its drafts. Raises BadRequestError with what the traces cannot prove.
    """
    runs = [run for named in traces for run in recorded_runs(named.trace.events)]
    if not runs:
        raise BadRequestError("These traces contain no run.", "Name files written with generate --trace.")
    check_conditions(runs)
    chosen = drafter or _most_drafts(runs)
    own = [_rounds_of(chosen, run.rounds) for run in runs]
    rounds = [round for of_run in own for round in of_run]
    if not any(round.drafted for round in rounds):
        raise BadRequestError(
            f"The drafter {chosen} drafted in no round that counts (rounds at the end of a text do not)."
            if chosen
            else "No round of these traces that counts has a draft (rounds at the end of a text do not).",
            "Record a longer run with a drafter and a depth, such as --drafter model -k 4 --max-tokens 256.",
        )
    usual, counted = usual_depth(rounds), acceptance(rounds)
    depth = depth if depth is not None else usual
    _check_depth(depth, usual, counted, runs[0].started.rule)
    return Evidence(
        traces=tuple(named.name for named in traces),
        started=runs[0].started,
        drafter=chosen,
        depth=depth,
        acceptance=counted.first(depth),
        length_interval=length_interval([_shortened(of_run, depth) for of_run in own]),
        drawn=any(chosen in run.drawn for run in runs),
        left_out=sum(run.left_out for run in runs),
        runs=len(runs),
        created=_unique(named.trace.header.created for named in traces),
        machines=_unique(named.trace.header.machine for named in traces),
        notes=tuple(_notes(runs, chosen, depth, counted)),
    )


def _rounds_of(drafter: str, rounds: Iterable[CountedRound]) -> list[CountedRound]:
    """The rounds of a drafter, and those without a draft."""
    return [round for round in rounds if round.drafter == drafter or not round.drafted]


def _shortened(rounds: Iterable[CountedRound], depth: int) -> list[CountedRound]:
    return [round._replace(drafted=min(round.drafted, depth), accepted=min(round.accepted, depth)) for round in rounds]


def _most_drafts(runs: Sequence[RecordedRun]) -> str:
    counts = Counter(round.drafter for run in runs for round in run.rounds if round.drafted)
    return max(counts, key=lambda name: counts[name], default="")


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


# --- what has to hold ---------------------------------------------------------------------------------

_CONDITIONS: tuple[tuple[str, Callable[[Started], object]], ...] = (
    ("target", lambda s: f"{s.target_model.name} ({s.target_model.quantisation})"),
    ("vocabulary", lambda s: s.target_model.fingerprint),
    ("draft model", lambda s: f"{s.draft_model.name} ({s.draft_model.quantisation})" if s.draft_model else "none"),
    ("rule", lambda s: s.rule),
    ("temperature", lambda s: s.sampling.temperature),
    ("top-k", lambda s: s.sampling.top_k),
    ("top-p", lambda s: s.sampling.top_p),
    ("min-p", lambda s: s.sampling.min_p),
)


def check_conditions(runs: Sequence[RecordedRun]) -> None:
    """Raises BadRequestError unless the acceptance of all runs means the same: one pair, one sampling, chains."""
    for name, value in _CONDITIONS:
        found = _unique(str(value(run.started)) for run in runs)
        if len(found) > 1:
            raise BadRequestError(
                f"The traces differ in their {name}: {' and '.join(found[:3])}.", "Name traces that agree in it."
            )
    if any(len(run.samplings) > 1 for run in runs):
        raise BadRequestError(
            "The sampling was changed in the middle of a run, so its acceptance belongs to no single setting.",
            "Record a run whose settings stay as they are.",
        )
    if any(run.branched for run in runs):
        raise BadRequestError(
            "The drafts of these traces are trees. The acceptance by position of a chain does not follow from them.",
            "Record a run with chains: give a depth, such as -k 4, and no --nodes.",
        )


def _check_depth(depth: int, usual: int, counted: Acceptance, rule: Rule) -> None:
    deepest = len(counted.drafted_at)
    if depth < 1:
        raise BadRequestError(f"A draft of {depth} tokens is no draft.", "Give a depth of at least 1.")
    if depth > deepest:
        raise BadRequestError(
            f"The traces have drafts of at most {deepest} tokens, so nothing is known of a depth of {depth}.",
            f"Leave the depth out, or record a run with -k {depth}.",
        )
    if rule == "block" and depth != usual:
        raise BadRequestError(
            "Block verification decides on a token together with the later ones, so these traces do not show the "
            f"acceptance at a depth of {depth}.",
            f"Leave the depth out, or record a run with -k {depth}.",
        )


def _notes(runs: Sequence[RecordedRun], drafter: str, depth: int, counted: Acceptance) -> Iterable[str]:
    if counted.drafts < _FEW_DRAFTS:
        yield f"Only {counted.drafts} drafts were counted: the rates can be far from those of other texts."
    short = 1.0 - counted.drafted_at[depth - 1] / counted.drafts
    if short > _MANY_SHORT:
        yield (
            f"{100 * short:.0f} % of the drafts had fewer than {depth} tokens; a position that a draft lacks counts as "
            "not accepted in the unconditional rates."
        )
    without = counted.rounds - counted.drafts
    if without:
        yield (
            f"{without} of {counted.rounds} rounds had no draft; over all rounds, "
            f"{counted.first(depth).accepted / counted.rounds:.4f} drafted tokens were accepted per round."
        )
    others = Counter(
        round.drafter for run in runs for round in run.rounds if round.drafted and round.drafter != drafter
    )
    for name, count in others.most_common():
        yield f"{name} drafted {count} {'round' if count == 1 else 'rounds'}, which are not counted."
