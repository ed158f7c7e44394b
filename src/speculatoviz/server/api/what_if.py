"""`POST /api/runs/ID/whatif`: what a kept run would have been with other choices, computed from its record alone."""

from __future__ import annotations

import threading
from collections import OrderedDict

from pydantic import Field

from speculatoviz.config import PolicyName
from speculatoviz.core.types import Rule
from speculatoviz.lab.pass_tables import pass_times
from speculatoviz.lab.round_costs import RoundCosts, costs_of
from speculatoviz.lab.run_record import RunRecord, run_record
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.what_if import SEEDS, Question, what_if
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.parts import PassTime, Strict

_LONGEST_TABLE = 1 << 20  # characters
_LONGEST_MS = 1e6
_LARGEST_BATCH = 1024
_RECORDS = 4  # that are held
_MOST_REPLAYED = 50_000  # tokens; about 50 µs each
_SOME_DEPTHS = (1, 2, 4, 8, 16)  # of a longer record


class WhatIfQuestion(Strict):
    """What is asked about a kept run. Null, or an empty text: as the run was.

    `rtt_ms`: of the way to the target and back. `draft_ms`: of each drafted token. `passes`: pass times of another
    machine, as `1:25,2:36,4:51` or as `llama-batched-bench` or `vllm bench serve` gives them. `batch`: sequences that
    decode together.
    """

    policy: PolicyName = "fixed"
    rule: Rule | None = None
    rtt_ms: float | None = Field(None, ge=0, le=_LONGEST_MS)
    draft_ms: float | None = Field(None, ge=0, le=_LONGEST_MS)
    passes: str = Field("", max_length=_LONGEST_TABLE)
    batch: int = Field(1, ge=1, le=_LARGEST_BATCH)


class WhatIfChoice(Strict):
    """One depth. Times are means over the rounds; `low` and `high` bound the interval of `tps`, null for short outputs.

    `exact`: whether the accepted tokens follow from the record without a random choice; else they are an estimate.
    `measured_passes`: whether every pass has a size that was measured; else some times are interpolated.
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


class RecordedCosts(Strict):
    """What the run itself measured: milliseconds of the way to the target and back, and of a drafted token."""

    rtt_ms: float
    draft_ms: float


class WhatIfAnswer(Strict):
    """`POST /api/runs/ID/whatif`. Rates are tokens per second, of all sequences of the batch together.

    `measured_tps`: of the run as it was, without the time for evidence. `plain_tps`: of decoding without drafts,
    computed from the same passes. `best`: the depth of the highest rate, 0 for plain decoding, which is the highest in
    the share `best_share` of the resamples. `level`: of the intervals. `left_out`: depths whose pass is larger than
    every measured one. `whole`: false if the record ends before the output. `passes`: the pass times that were used,
    and `passes_given` whether they came with the question.
    """

    tokens: int
    drafter: str
    policy: PolicyName
    rule: Rule
    temperature: float
    batch: int
    measured_tps: float | None
    plain_tps: float
    choices: list[WhatIfChoice]
    best: int
    best_share: float | None
    level: float
    left_out: list[int]
    whole: bool
    own: RecordedCosts
    passes: list[PassTime]
    passes_given: bool


class Records:
    """The records of the runs that were asked about last, so that a next question need not read the trace again."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, int], RunRecord] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, store: RunStore, run: str) -> RunRecord:
        """The record of a run. Raises UnknownRunError, StoreError, and BadRequestError for a run without a record."""
        about = store.get(run)
        key = about.id, about.trace_bytes  # a run that goes on has a longer trace the next time
        with self._lock:
            if (known := self._found.get(key)) is not None:
                self._found.move_to_end(key)
                return known
        record = run_record(trace.parse(b"".join(store.trace(about.id)), f"Run {about.id}").events)
        with self._lock:
            self._found[key] = record
            if len(self._found) > _RECORDS:
                self._found.popitem(last=False)
        return record


def _depths(record: RunRecord) -> tuple[int, ...]:
    """Every recorded depth; some of them for a record whose answer would take seconds."""
    seeds = 1 if record.sampling.greedy else SEEDS
    if record.depth * len(record.places) * seeds <= _MOST_REPLAYED:
        return ()
    return tuple(sorted({*(depth for depth in _SOME_DEPTHS if depth < record.depth), record.depth}))


def answered(record: RunRecord, asked: WhatIfQuestion) -> WhatIfAnswer:
    """The answer for every recorded depth, or for some depths of a long record.

    Raises BadRequestError for what the record or the table does not hold.
    """
    table = pass_times(asked.passes, "The table") if asked.passes.strip() else None

    def changed(own: RoundCosts) -> RoundCosts:
        return own.changed(table, network_ms=asked.rtt_ms)

    own = costs_of(record)
    question = Question(_depths(record), asked.policy, asked.rule, asked.batch, asked.draft_ms, changed)
    values = what_if([record], question)._asdict()
    del values["runs"]
    choices = [WhatIfChoice(**choice._asdict()) for choice in values.pop("choices")]
    used = changed(own)
    return WhatIfAnswer(
        **values,
        choices=choices,
        own=RecordedCosts(rtt_ms=own.network_ms, draft_ms=own.draft_ms),
        passes=[PassTime(tokens=rows, ms=used.scale * ms) for rows, ms in sorted(used.pass_ms.items())],
        passes_given=table is not None,
    )
