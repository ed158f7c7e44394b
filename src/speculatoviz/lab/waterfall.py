"""Why a run is not faster: from the formula's speedup to the measured one, bar by bar, each measured in the run.

The formula is Leviathan et al. 2023, theorem 3.8: with acceptance a, depth g and cost ratio c it gives
(1 - a^(g + 1)) / ((1 - a) (g c + 1)). Everything that it leaves out is a bar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import NamedTuple

from speculatoviz.core.theory import expected_tokens
from speculatoviz.errors import BadRequestError
from speculatoviz.telemetry.events import Event, Metrics, Started, VerifyResult
from speculatoviz.telemetry.unlike import BaselineCheck, UnlikePasses


class Bar(NamedTuple):
    """One step. change_ms: what it adds to a round; None for the bar that replaces the tokens.

    tokens: of a round, from this bar on. speedup: with this bar and those before it; None where the baseline cannot be
    compared with the run.
    """

    name: str
    change_ms: float | None
    tokens: float
    speedup: float | None


class Waterfall(NamedTuple):
    """The bars from `formula` to `measured`, both speedups against plain decoding.

    plain_ms: a token of measured plain decoding. acceptance: accepted / tested. depth: mean drafted tokens of a round.
    cost: a drafted token's time / plain_ms. expected: tokens of a round by the formula. remainder: `measured` minus the
    speedup after the last bar. unlike: where passes of the run and of its baseline took unlike times. Then every
    speedup is None, and what the load of one of the two adds is part of the bars.
    """

    rounds: int
    plain_ms: float
    acceptance: float
    depth: float
    cost: float
    expected: float
    formula: float | None
    bars: list[Bar]
    measured: float | None
    remainder: float | None
    unlike: UnlikePasses | None = None


def waterfall(events: Iterable[Event]) -> Waterfall:
    """The waterfall of a run's whole rounds. Raises BadRequestError without a measured baseline or without a draft.

    1. By the formula a round takes the time of its drafted tokens and of one plain token, and has the tokens that its
       depth and one acceptance everywhere give.
    2. The first bar puts the measured tokens in their place: acceptance differs by position and along the text.
    3. Every other bar adds a time that the formula leaves out, as the mean over the rounds.
    """
    rounds, plain_ms, pass_ms, tested, accepted = list[Metrics](), None, dict[int, float](), 0, 0
    check = BaselineCheck()
    for event in events:
        check.add(event)
        match event:
            case Started() if event.baseline is not None:
                plain_ms = 1000.0 / event.baseline.tps
                pass_ms = {one.tokens: one.ms for one in event.pass_times}
            case VerifyResult() if event.node is not None and event.status in {"accepted", "rejected"}:
                tested, accepted = tested + 1, accepted + (event.status == "accepted")
            case Metrics():
                rounds.append(event)
    if plain_ms is None:
        raise BadRequestError(
            "This run has no measured baseline to compare with.", "Record it again with generate --trace."
        )
    if not any(round.round_drafted for round in rounds) or not tested:
        raise BadRequestError(
            "No drafted token was tested in this run.",
            "Record a run with a drafter and a depth, such as --drafter suffix --k 4.",
        )
    found, unlike = _bars(rounds, plain_ms, pass_ms, accepted / tested), check.unlike()
    return found if unlike is None else _without_speedups(found, unlike)


def _bars(rounds: list[Metrics], plain_ms: float, pass_ms: Mapping[int, float], acceptance: float) -> Waterfall:
    depth = fmean(round.round_drafted for round in rounds)
    draft_ms = fmean(round.draft_ms for round in rounds)
    growth_ms = fmean(_growth_ms(round.round_drafted, pass_ms) for round in rounds)
    expected = fmean(expected_tokens(acceptance, round.round_drafted) for round in rounds)
    emitted = fmean(round.round_emitted for round in rounds)
    sampling_ms = fmean(round.sampling_ms for round in rounds)
    cache_ms = fmean(round.cache_ms for round in rounds)
    verify_ms = fmean(round.verify_ms for round in rounds)
    steps: list[tuple[str, float]] = [
        ("growth of the pass", growth_ms),
        ("sampling", sampling_ms),
        ("cache", cache_ms),
        ("rest of verification", verify_ms - plain_ms - growth_ms - sampling_ms - cache_ms),
        ("network and serialisation", fmean(round.network_ms for round in rounds)),
        ("evidence", fmean(round.evidence_ms for round in rounds)),
        ("bookkeeping", fmean(round.other_ms for round in rounds)),
    ]
    formula = expected * plain_ms / (draft_ms + plain_ms)
    bars = [Bar("acceptance by position and text", None, emitted, emitted * plain_ms / (draft_ms + plain_ms))]
    spent_ms = draft_ms + plain_ms
    for name, ms in steps:
        spent_ms += ms
        bars.append(Bar(name, ms, emitted, emitted * plain_ms / spent_ms))
    measured = emitted * plain_ms / fmean(round.round_ms for round in rounds)
    cost = draft_ms / depth / plain_ms
    remainder = measured - emitted * plain_ms / spent_ms
    return Waterfall(len(rounds), plain_ms, acceptance, depth, cost, expected, formula, bars, measured, remainder)


def _without_speedups(found: Waterfall, unlike: UnlikePasses) -> Waterfall:
    bars = [bar._replace(speedup=None) for bar in found.bars]
    return found._replace(formula=None, bars=bars, measured=None, remainder=None, unlike=unlike)


def _growth_ms(drafted: int, pass_ms: Mapping[int, float]) -> float:
    """By how much a measured pass over a draft is longer than one over a token; 0 if either was not measured."""
    longer, single = pass_ms.get(drafted + 1), pass_ms.get(1)
    return longer - single if longer is not None and single is not None else 0.0
