"""What a round takes, computed from measured times: of this run, of another machine, or typed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Literal

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.run_record import MeasuredRound, RunRecord
from speculatoviz.policies.costs import VerifyCosts

_LEAST_SHARE = 0.05  # of a round trip that is at least the target's own time


@dataclass(frozen=True, slots=True)
class RoundCosts:
    """Milliseconds of the parts of a round.

    pass_ms[n]: a pass of the target over n tokens. scale: by how much passes in rounds took longer than that.
    first_draft_ms, draft_ms: the first drafted token of a round, and each later one. network_ms: the way to a remote
    target and back. other_ms: everything else. source: where the passes were measured. batch: sequences that decode
    together; then a round is one of all of them.
    """

    pass_ms: Mapping[int, float]
    scale: float
    first_draft_ms: float
    draft_ms: float
    network_ms: float
    other_ms: float
    source: Literal["run", "given"] = "run"
    batch: int = 1

    @property
    def largest_pass(self) -> int:
        """The most tokens of each sequence in a measured pass; 0 if none was over a token of each."""
        return max(self.pass_ms) // self.batch

    @property
    def sizes(self) -> list[int]:
        """Tokens of each sequence in passes that were measured, or that lie near such a pass."""
        return sorted({rows // self.batch for rows in self.pass_ms if rows >= self.batch})

    def measured(self, rows: int) -> bool:
        """Whether a pass over so many tokens of each sequence was measured."""
        return rows * self.batch in self.pass_ms

    def pass_times(self) -> Callable[[int], float]:
        """Milliseconds of a verification by tokens of each sequence; between two measured sizes it is interpolated."""
        table = VerifyCosts(lambda: self.pass_ms)
        known: dict[int, float] = {}

        def verify_ms(rows: int) -> float:
            if rows not in known:
                known[rows] = self.scale * table.ms(rows * self.batch)
            return known[rows]

        return verify_ms

    def together(self, batch: int, drafts_in_passes: bool) -> RoundCosts:
        """The costs of rounds of several sequences that draft equally deep at the same time.

        The target's pass holds the tokens of all. Drafting grows as a pass of the target over one token of each does,
        if the drafter computes passes, and with their number if it does not; so does everything else in a round. Only
        the network is paid once. The growth of drafting is an assumption; `changed` takes a measured time instead.
        """
        alone = replace(self, batch=1).pass_times()
        growth = alone(batch) / alone(1) if drafts_in_passes else float(batch)
        return replace(
            self,
            batch=batch,
            first_draft_ms=self.first_draft_ms * growth,
            draft_ms=self.draft_ms * growth,
            other_ms=self.other_ms * batch,
        )

    def changed(
        self,
        pass_ms: Mapping[int, float] | None = None,
        draft_ms: float | None = None,
        network_ms: float | None = None,
    ) -> RoundCosts:
        """The same costs with what is given in place of the run's own; None leaves a part as it is."""
        found = self
        if pass_ms is not None:
            found = replace(found, pass_ms=dict(pass_ms), scale=1.0, source="given")
        if draft_ms is not None:
            found = replace(found, first_draft_ms=draft_ms, draft_ms=draft_ms)
        return found if network_ms is None else replace(found, network_ms=network_ms)


def costs_of(record: RunRecord) -> RoundCosts:
    """The costs that a recorded run shows.

    1. Passes: the table that was measured as the run began, times the mean ratio of its rounds to it, which holds the
       acceptance tests and a machine that has become slower. Without a table, the mean of the rounds of each size. The
       table of a remote target contains the network, which is taken off.
    2. Drafting: means of the run's drafts; of the recorded drafts if it drafted nothing.
    3. Everything else: means over the rounds.
    """
    rounds = record.rounds
    network_ms = fmean(round.network_ms for round in rounds) if rounds else 0.0
    table = record.pass_ms or _by_size(rounds)
    if not table:
        raise BadRequestError("This trace has no measured times of the target.", "Record the run again.")
    if record.pass_ms and record.started.remote is not None:
        table = {rows: max(ms - network_ms, _LEAST_SHARE * ms) for rows, ms in table.items()}
    known = [round for round in rounds if round.drafted + 1 in table]
    expected_ms = sum(table[round.drafted + 1] for round in known)
    scale = sum(round.verify_ms for round in known) / expected_ms if expected_ms else 1.0
    first_ms, later_ms = _drafting(record)
    other_ms = fmean(round.other_ms for round in rounds) if rounds else 0.0
    return RoundCosts(table, scale or 1.0, first_ms, later_ms, network_ms, other_ms)


def _by_size(rounds: Sequence[MeasuredRound]) -> dict[int, float]:
    sizes = sorted({round.drafted + 1 for round in rounds})
    return {rows: fmean(round.verify_ms for round in rounds if round.drafted + 1 == rows) for rows in sizes}


def _drafting(record: RunRecord) -> tuple[float, float]:
    """Milliseconds of the first token of a draft, with what is paid once for a draft, and of each later one."""
    drafting = [round for round in record.rounds if round.token_ms]
    if not drafting:
        each_ms = [place.draft_ms / len(place.drafted) for place in record.places if place.drafted]
        return (median(each_ms), median(each_ms)) if each_ms else (0.0, 0.0)
    later = [ms for round in drafting for ms in round.token_ms[1:]]
    first_ms = fmean(round.draft_ms - sum(round.token_ms[1:]) for round in drafting)
    return max(0.0, first_ms), fmean(later) if later else max(0.0, first_ms)
