"""What a recorded run would have been with another depth, rule, policy, network, drafter's speed or machine.

No model is needed: the record has what would be drafted after every token of the output. docs/whatif.md has the
formulas, and says which answers are exact.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speculatoviz.config import PolicyName
from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Rule
from speculatoviz.drafters.about import WITH_HEAD, WITH_MODEL
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.replay import Replay, replay
from speculatoviz.lab.round_costs import RoundCosts, costs_of
from speculatoviz.lab.run_record import MeasuredRound, RunRecord
from speculatoviz.measure.calibration import OTHERS_ACCEPTANCE, TYPICAL_ACCEPTANCE
from speculatoviz.policies.auto import Experience
from speculatoviz.policies.base import Policy
from speculatoviz.policies.costs import Costs
from speculatoviz.session.planning import make_policy

LEVEL = 0.9  # of the intervals
_RESAMPLES = 1000
_FEWEST = 8  # prompts or blocks that an interval is computed from
_BLOCK = 16  # tokens
SEEDS = 8  # replays of a sampled output

_IN_PASSES = WITH_MODEL | WITH_HEAD | {"selfspec"}  # drafters that compute passes; the others look matches up

_EXACT_RULES = "Ask for the rule token, block or match."

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. depths: of the drafts, or the largest of a policy that chooses; empty for 1 to the record's depth.

    rule: None for the run's own. batch: sequences that decode together, all with the depth of `fixed`. draft_ms: of a
    drafted token, of all sequences together; None for what follows from the run. costs: of a record, from its own
    measured ones.
    """

    depths: tuple[int, ...] = ()
    policy: PolicyName = "fixed"
    rule: Rule | None = None
    batch: int = 1
    draft_ms: float | None = None
    costs: Callable[[RoundCosts], RoundCosts] = field(default=lambda own: own)


class Choice(NamedTuple):
    """One depth. Means over the rounds, and tokens per second with the interval's bounds, None for too short outputs.

    exact: whether the accepted tokens follow from the record without a random choice; else they are an estimate.
    measured_passes: whether every pass has a size that was measured; else some times are interpolated.
    """

    depth: int
    rounds: float
    accepted: float
    tokens_per_round: float
    draft_ms: float
    verify_ms: float
    round_ms: float
    tps: float
    low: float | None
    high: float | None
    speedup: float
    exact: bool
    measured_passes: bool


class Answer(NamedTuple):
    """plain_tps: of decoding without drafts, computed from the same passes. choices: by depth. Rates are those of all
    `batch` sequences together, and the times of a round too.

    best: of the choices and plain decoding, the depth of the highest rate, 0 for plain. best_share: of the resamples in
    which it is the best; None without intervals. measured_tps: of the runs as they were, without the time for evidence.
    left_out: depths whose pass is larger than every measured one.
    """

    runs: int
    tokens: int
    drafter: str
    policy: PolicyName
    rule: Rule
    temperature: float
    batch: int
    measured_tps: float | None
    plain_tps: float
    choices: list[Choice]
    best: int
    best_share: float | None
    level: float
    left_out: list[int]
    whole: bool


class _Replayed(NamedTuple):
    """All runs at one depth.

    token_ms: of each run, float[L], the time of every token of the output, shared by the sequences of a batch.
    """

    depth: int
    replays: list[Replay]
    token_ms: list[Floats]

    @property
    def rounds(self) -> list[MeasuredRound]:
        return [round for replay in self.replays for round in replay.rounds]


def what_if(records: Sequence[RunRecord], question: Question, seed: int = 0) -> Answer:
    """Answer a question about recorded runs of one drafter, together. seed: of the tests and of the resamples.

    Raises BadRequestError for runs that do not go together, and for depths that were not recorded or measured.
    """
    first = _alike(records)
    rule = question.rule or first.started.rule
    if rule == "typical":
        raise BadRequestError("Typical acceptance changes the output, so nothing follows from a record.", _EXACT_RULES)
    if question.batch > 1 and question.policy != "fixed":
        raise BadRequestError(
            f"Under {question.policy}, sequences that decode together draft differently deep, which no record shows.",
            "Ask for the policy fixed, or for one sequence.",
        )
    costs = [_costs(question, record) for record in records]
    asked = _depths(min(record.depth for record in records), question.depths)
    largest = min(own.largest_pass for own in costs)
    depths = [depth for depth in asked if depth < largest]
    if not depths:
        rows = (min(asked) + 1) * question.batch
        raise BadRequestError(
            f"No pass over {rows} tokens was measured, only over up to {min(max(own.pass_ms) for own in costs)}.",
            f"Ask for a smaller depth or batch, or give such a time, as in the table 1:25,{rows}:60.",
        )
    plain = _replayed(records, costs, 0, "fixed", rule, seed)
    drafted = [_replayed(records, costs, depth, question.policy, rule, seed) for depth in depths]
    drawn = _drawn([plain, *drafted], seed)
    plain_tps = _tps(plain)
    choices = [
        _choice(one, costs, plain_tps, None if drawn is None else drawn[:, place], exact=question.policy != "auto")
        for place, one in enumerate(drafted, start=1)
    ]
    rates = [plain_tps, *(choice.tps for choice in choices)]
    place = rates.index(max(rates))
    measured = [round for record in records for round in record.rounds]
    measured_ms = sum(round.own_ms for round in measured)
    return Answer(
        runs=len(records),
        tokens=sum(len(record.places) for record in records),
        drafter=first.drafter,
        policy=question.policy,
        rule=rule,
        temperature=first.sampling.temperature,
        batch=question.batch,
        measured_tps=1000 * sum(round.emitted for round in measured) / measured_ms if measured_ms else None,
        plain_tps=plain_tps,
        choices=choices,
        best=[0, *depths][place],
        best_share=None if drawn is None else float((drawn.argmax(axis=1) == place).mean()),
        level=LEVEL,
        left_out=[depth for depth in asked if depth not in depths],
        whole=all(record.whole for record in records),
    )


def _costs(question: Question, record: RunRecord) -> RoundCosts:
    own = question.costs(costs_of(record))
    if question.batch > 1:
        own = own.together(question.batch, record.drafter in _IN_PASSES)
    return own.changed(draft_ms=question.draft_ms)


def _alike(records: Sequence[RunRecord]) -> RunRecord:
    """The first record. Raises BadRequestError unless all have its drafter, sampling and rule."""
    if not records:
        raise BadRequestError("There is no record to ask about.", "Name at least one trace.")
    first = records[0]
    what = (first.drafter, first.sampling, first.started.rule)
    if any((record.drafter, record.sampling, record.started.rule) != what for record in records):
        raise BadRequestError("These runs differ in their drafter, rule or sampling.", "Ask about them one by one.")
    return first


def _depths(deepest: int, asked: tuple[int, ...]) -> list[int]:
    """deepest: that is recorded of every run."""
    depths = sorted(set(asked)) or list(range(1, deepest + 1))
    if depths[0] < 1 or depths[-1] > deepest:
        raise BadRequestError(
            f"What was recorded has depth {deepest}, and depths of {depths[0]} to {depths[-1]} are asked for.",
            f"Ask for depths of 1 to {deepest}, or record a run with a larger --record-depth.",
        )
    return depths


def _policy(name: PolicyName, record: RunRecord, depth: int, costs: RoundCosts) -> Policy:
    """The policy of one replay; `auto` begins without experience of earlier runs."""
    verify_ms = costs.pass_times()
    table = {rows: verify_ms(rows) for rows in costs.sizes}
    prior = TYPICAL_ACCEPTANCE.get(record.drafter, OTHERS_ACCEPTANCE)
    known = Experience(Costs(lambda: table, lambda _name: costs.draft_ms), {record.drafter: prior})
    return make_policy(name, record.drafter, depth, 0, known, (record.drafter,))


def _replayed(
    records: Sequence[RunRecord], costs: Sequence[RoundCosts], depth: int, policy: PolicyName, rule: Rule, seed: int
) -> _Replayed:
    """Once for an output whose acceptance is certain, else with several seeds."""

    def with_seed(own_seed: int) -> list[Replay]:
        pairs = zip(records, costs, strict=True)
        return [
            replay(record, _policy(policy, record, depth, own), rule, own, seeded(own_seed)) for record, own in pairs
        ]

    found = [with_seed(seed)]
    if not all(one.exact for one in found[0]):
        found += [with_seed(other) for other in range(seed + 1, seed + SEEDS)]
    token_ms = [
        np.mean([_by_token(one.rounds) for one in of_run], axis=0) / own.batch
        for of_run, own in zip(zip(*found, strict=True), costs, strict=True)
    ]
    return _Replayed(depth, [one for of_seed in found for one in of_seed], token_ms)


def _by_token(rounds: Sequence[MeasuredRound]) -> Floats:
    """The time of every token, float[L]: a round's time is shared by its tokens alike."""
    shares = [round.own_ms / round.emitted for round in rounds]
    return np.repeat(shares, [round.emitted for round in rounds])


def _tps(replayed: _Replayed) -> float:
    """Tokens per second over all runs."""
    tokens = sum(len(ms) for ms in replayed.token_ms)
    taken_ms = float(sum(ms.sum() for ms in replayed.token_ms))
    return 1000.0 * tokens / taken_ms if taken_ms > 0.0 else 0.0


def _drawn(replayed: Sequence[_Replayed], seed: int) -> Floats | None:
    """Tokens per second, float[1000, D], over resampled prompts, or blocks of 16 tokens for few prompts.

    The same prompts or blocks are drawn for all depths. None for fewer than 8 blocks.
    """
    runs = len(replayed[0].token_ms)
    units = [[part for ms in one.token_ms for part in ([ms] if runs >= _FEWEST else _blocks(ms))] for one in replayed]
    count = len(units[0])
    if count < _FEWEST:
        return None
    tokens = np.array([len(part) for part in units[0]], np.float64)
    taken_ms = np.array([[part.sum() for part in own] for own in units])
    picked = np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))
    spent_ms = np.stack([own[picked].sum(axis=1) for own in taken_ms], axis=1)
    rates: Floats = 1000.0 * tokens[picked].sum(axis=1)[:, None] / np.maximum(spent_ms, sys.float_info.min)
    return rates


def _blocks(ms: Floats) -> list[Floats]:
    return [ms[start : start + _BLOCK] for start in range(0, len(ms), _BLOCK)]


def _choice(
    one: _Replayed, costs: Sequence[RoundCosts], plain_tps: float, drawn: Floats | None, *, exact: bool
) -> Choice:
    rounds, tps = one.rounds, _tps(one)
    count, runs = len(rounds), len(one.replays) / len(one.token_ms)
    bounds = None if drawn is None else np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    sizes = {round.drafted + 1 for round in rounds}
    return Choice(
        depth=one.depth,
        rounds=count / runs,
        accepted=sum(round.accepted for round in rounds) / runs,
        tokens_per_round=sum(round.emitted for round in rounds) / count,
        draft_ms=sum(round.draft_ms for round in rounds) / count,
        verify_ms=sum(round.verify_ms + round.network_ms for round in rounds) / count,
        round_ms=sum(round.own_ms for round in rounds) / count,
        tps=tps,
        low=None if bounds is None else float(bounds[0]),
        high=None if bounds is None else float(bounds[1]),
        speedup=tps / plain_tps if plain_tps else 0.0,
        exact=exact and all(found.exact for found in one.replays),
        measured_passes=all(own.measured(size) for own in costs for size in sizes),
    )
