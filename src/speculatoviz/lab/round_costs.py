"""What a round takes, computed from measured times: of this run, of another machine, or typed in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Literal

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.run_record import MeasuredRound, RunRecord
from speculatoviz.policies.costs import VerifyCosts

LARGEST_PASS = 1024  # tokens
_LEAST_SHARE = 0.05  # of a round trip that is at least the target's own time
_HOW = "Write tokens and milliseconds, such as 1:25,2:36,4:51, or name a file that llama-batched-bench printed."


@dataclass(frozen=True, slots=True)
class RoundCosts:
    """Milliseconds of the parts of a round.

    pass_ms[n]: a pass of the target over n tokens. scale: by how much passes in rounds took longer than that.
    first_draft_ms, draft_ms: the first drafted token of a round, and each later one. network_ms: the way to a remote
    target and back. other_ms: everything else. source: where the passes were measured.
    """

    pass_ms: Mapping[int, float]
    scale: float
    first_draft_ms: float
    draft_ms: float
    network_ms: float
    other_ms: float
    source: Literal["run", "given"] = "run"

    @property
    def largest_pass(self) -> int:
        """The most tokens of a measured pass."""
        return max(self.pass_ms)

    def pass_times(self) -> Callable[[int], float]:
        """Milliseconds of a verification by tokens in its pass; between two measured sizes it is interpolated."""
        table = VerifyCosts(lambda: self.pass_ms)
        known: dict[int, float] = {}

        def verify_ms(rows: int) -> float:
            if rows not in known:
                known[rows] = self.scale * table.ms(rows)
            return known[rows]

        return verify_ms

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


# --- pass times of other machines -------------------------------------------------------------------------


def read_pass_times(text: str) -> dict[int, float]:
    """Milliseconds of a pass by its tokens: from `1:25,2:36,4:51`, or from a file that llama-batched-bench printed.

    Raises BadRequestError for anything else.
    """
    if re.fullmatch(r"[\d\s.:,eE+-]+", text) and ":" in text:
        return _checked(_typed(text), text)
    try:
        printed = Path(text).read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        what = f"{text!r} is neither a table of pass times nor a file that can be read."
        raise BadRequestError(what, _HOW) from error
    return _checked(batched_bench(printed), text)


def _typed(text: str) -> dict[int, float]:
    try:
        pairs = [part.split(":") for part in text.split(",") if part.strip()]
        return {int(rows): float(ms) for rows, ms in pairs}
    except ValueError as error:
        raise BadRequestError(f"{text!r} is no table of pass times.", _HOW) from error


def batched_bench(printed: str) -> dict[int, float]:
    """The time of a step of text generation by the sequences in it: 1000 T_TG / TG ms for B rows.

    Of several contexts or lengths, the shortest time is taken for each B. Reads the table, and JSON lines
    (`--output-format jsonl`). Empty if the text holds neither.
    """
    found: dict[int, float] = {}
    for line in printed.splitlines():
        row = _json_row(line) if "{" in line else _table_row(line)
        if row is None:
            continue
        rows, steps, seconds = row
        if rows > 0 and steps > 0 and seconds > 0.0:
            ms = 1000.0 * seconds / steps
            found[rows] = min(ms, found.get(rows, ms))
    return found


def _json_row(line: str) -> tuple[int, int, float] | None:
    try:
        values = json.loads(line[line.index("{") :])
        return int(values["pl"]), int(values["tg"]), float(values["t_tg"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _table_row(line: str) -> tuple[int, int, float] | None:
    """B, TG and T_TG of a row `| PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | …`."""
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    try:
        return int(cells[2]), int(cells[1]), float(cells[6])
    except (IndexError, ValueError):
        return None


def _checked(found: dict[int, float], text: str) -> dict[int, float]:
    if not found:
        raise BadRequestError(f"{text!r} holds no pass times.", _HOW)
    wrong = [rows for rows, ms in found.items() if not (1 <= rows <= LARGEST_PASS and 0.0 < ms < float("inf"))]
    if wrong:
        raise BadRequestError(f"The time of a pass over {wrong[0]} tokens in {text!r} cannot be used.", _HOW)
    if 1 not in found:
        raise BadRequestError(
            f"{text!r} has no time of a pass over one token, which plain decoding takes.", "Add it, such as 1:25."
        )
    return dict(sorted(found.items()))
