"""The figures of a run: a pure fold over its rounds.

Names follow vLLM. Windowed over the last rounds, except `overall_*`, counts, and the values of a finished run;
unknown is None.

acceptance_rate = accepted / drafted; mean_acceptance_length = 1 + accepted / drafting rounds; tokens_per_round over
all rounds; per_position_acceptance_rate[i] = rounds that accepted position i / drafting rounds;
conditional_acceptance_rate[i] = accepted / tested at i; effective_tps = emitted / sum of round_ms; speedup =
effective_tps / baseline_tps, the baseline being a run of the target alone: of a remote target one streaming call, and
per_call_tps is one call per token. kept_mass: share of the draft's q that the target's vocabulary has.
total_variation_bound, usage and shared_rounds are sums over the whole run.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from speculatoviz.core.rounds import Round, Usage
from speculatoviz.telemetry.events import MetricValues
from speculatoviz.telemetry.mapping import usage_info

WINDOW_ROUNDS = 50


class _Sums(NamedTuple):
    """What a round contributes, or several together. drafting: rounds with a draft."""

    drafting: int
    drafted: int
    accepted: int
    emitted: int
    draft_ms: float
    verify_ms: float
    network_ms: float
    hidden_draft_ms: float
    round_ms: float


class _Tally(NamedTuple):
    """A round. kept_mass: of its draft. Position i of the tuples is depth i of the draft, empty without one."""

    sums: _Sums
    kept_mass: float | None
    accepted_at: tuple[int, ...]
    tested_at: tuple[int, ...]


class MetricsFold:
    """Add rounds, ask for values. ttft_ms is given by whoever saw the request arrive."""

    def __init__(
        self, baseline_tps: float | None, window_rounds: int = WINDOW_ROUNDS, per_call_tps: float | None = None
    ) -> None:
        self._baseline_tps, self._per_call_tps = baseline_tps, per_call_tps
        self._window_rounds = window_rounds
        self._tallies: list[_Tally] = []
        self._rounds = self._tokens = self._accepted = self._drafted = self._drafting = 0
        self._bonus = self._resampled = self._plain = self._shared = 0
        self._round_ms = self._bound = 0.0
        self._usage: Usage | None = None
        self.ttft_ms: float | None = None

    def add(self, round: Round) -> None:
        tally = _tally(round)
        self._tallies.append(tally)
        self._rounds += 1
        self._tokens += tally.sums.emitted
        self._accepted += tally.sums.accepted
        self._drafted += tally.sums.drafted
        self._drafting += tally.sums.drafting
        self._round_ms += tally.sums.round_ms
        self._bonus += round.count("bonus")
        self._resampled += round.count("resampled")
        self._plain += round.count("plain")
        self._shared += round.verdict.shared is not None
        self._bound += round.verdict.total_variation_bound
        if (usage := round.verdict.usage) is not None:
            self._usage = usage if self._usage is None else self._usage + usage

    def values(self, *, whole: bool = False) -> MetricValues:
        """The metrics so far, over the last rounds or over the `whole` run."""
        window = self._tallies if whole else self._tallies[-self._window_rounds :]
        sums = _Sums(*map(sum, zip(*(tally.sums for tally in window), strict=True))) if window else _Sums(*[0] * 9)
        drafts = [tally for tally in window if tally.sums.drafting]
        accepted_at, tested_at = (
            _by_position([t.accepted_at for t in drafts]),
            _by_position([t.tested_at for t in drafts]),
        )
        tps = _ratio(1000 * sums.emitted, sums.round_ms)
        overall_tps = _ratio(1000 * self._tokens, self._round_ms)
        return MetricValues(
            window_rounds=len(window),
            acceptance_rate=_ratio(sums.accepted, sums.drafted),
            mean_acceptance_length=_length(sums.accepted, sums.drafting),
            tokens_per_round=_ratio(sums.emitted, len(window)),
            per_position_acceptance_rate=[count / sums.drafting for count in accepted_at],
            conditional_acceptance_rate=[
                _ratio(kept, tested) for kept, tested in zip(accepted_at, tested_at, strict=True)
            ],
            effective_tps=tps,
            baseline_tps=self._baseline_tps,
            speedup=_speedup(tps, self._baseline_tps),
            ttft_ms=self.ttft_ms,
            avg_draft_latency_ms=_ratio(sums.draft_ms, len(window)),
            avg_verify_latency_ms=_ratio(sums.verify_ms, len(window)),
            avg_network_ms=_ratio(sums.network_ms, len(window)),
            tokens=self._tokens,
            rounds=self._rounds,
            accepted=self._accepted,
            drafted=self._drafted,
            bonus=self._bonus,
            resampled=self._resampled,
            plain=self._plain,
            overall_acceptance_rate=_ratio(self._accepted, self._drafted),
            overall_mean_acceptance_length=_length(self._accepted, self._drafting),
            overall_tps=overall_tps,
            overall_speedup=_speedup(overall_tps, self._baseline_tps),
            per_call_tps=self._per_call_tps,
            per_call_speedup=_speedup(tps, self._per_call_tps),
            avg_hidden_draft_ms=_ratio(sums.hidden_draft_ms, len(window)),
            kept_mass=next((t.kept_mass for t in reversed(window) if t.kept_mass is not None), None),
            total_variation_bound=min(1.0, self._bound),
            usage=usage_info(self._usage),
            shared_rounds=self._shared,
        )


def _tally(round: Round) -> _Tally:
    depth = max((round.draft.position(node) + 1 for node in range(len(round.draft))), default=0)
    accepted_at, tested_at = [0] * depth, [0] * depth
    # Only what was emitted counts: an accepted token after an end token was dropped.
    for position in range(round.accepted):
        accepted_at[position] = tested_at[position] = 1
    for check in round.verdict.checks:
        if check.status in {"rejected", "discarded"}:  # tested as part of a prefix, or beside a longer path
            tested_at[round.draft.position(check.node)] = 1
    times = round.times
    sums = _Sums(
        drafting=int(round.drafted > 0),
        drafted=round.drafted,
        accepted=round.accepted,
        emitted=len(round.emitted),
        draft_ms=times.draft_ms,
        verify_ms=times.verify_ms,
        network_ms=times.network_ms,
        hidden_draft_ms=times.hidden_draft_ms,
        round_ms=times.round_ms,
    )
    return _Tally(sums, round.draft.kept_mass, tuple(accepted_at), tuple(tested_at))


def _by_position(columns: Sequence[tuple[int, ...]]) -> list[int]:
    return [sum(column) for column in itertools.zip_longest(*columns, fillvalue=0)]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _length(accepted: int, drafting_rounds: int) -> float | None:
    return 1 + accepted / drafting_rounds if drafting_rounds else None


def _speedup(tps: float | None, baseline_tps: float | None) -> float | None:
    return tps / baseline_tps if tps and baseline_tps else None
