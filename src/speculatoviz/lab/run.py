"""One run as an object: its text, its rounds, its figures. Made of events, live or from a trace."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from speculatoviz.config import PolicyName
from speculatoviz.core.types import Rule
from speculatoviz.errors import TraceError
from speculatoviz.lab import html
from speculatoviz.lab import what_if as asking
from speculatoviz.lab.run_record import run_record
from speculatoviz.lab.waterfall import Waterfall, waterfall
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import (
    Done,
    DraftToken,
    Event,
    Metrics,
    MetricValues,
    RunWarning,
    Started,
    VerifyResult,
)
from speculatoviz.telemetry.metrics import WINDOW_ROUNDS
from speculatoviz.telemetry.unlike import BaselineCheck, UnlikePasses


@dataclass(frozen=True, slots=True)
class Round:
    """One round: what was drafted, what verification decided, how long it took.

    index: from 0. drafted: the nodes of the draft. verified: a result for each node, then one for the token after the
    accepted path. metrics: the round's own times and counts, and those of the run up to it.
    """

    index: int
    drafted: tuple[DraftToken, ...]
    verified: tuple[VerifyResult, ...]
    metrics: Metrics

    @property
    def text(self) -> str:
        """What the round adds to the visible text."""
        return "".join(event.text for event in self.verified)

    @property
    def accepted(self) -> int:
        """The number of drafted tokens that were accepted."""
        return self.metrics.round_accepted

    @property
    def emitted(self) -> int:
        """The number of tokens that the round added."""
        return self.metrics.round_emitted

    @property
    def round_ms(self) -> float:
        """Milliseconds of the round, without the prompt's."""
        return self.metrics.round_ms


def rounds_of(events: Iterable[Event]) -> Iterator[Round]:
    """The whole rounds of a run, each as soon as its last event is there."""
    drafted, verified = list[DraftToken](), list[VerifyResult]()
    for event in events:
        match event:
            case DraftToken():
                drafted.append(event)
            case VerifyResult():
                verified.append(event)
            case Metrics():
                yield Round(event.round, tuple(drafted), tuple(verified), event)
                drafted, verified = [], []


class Run:
    """A run, from `started` to `done`, or up to where its trace ends.

    events: in order. header: of a run that was read from a trace, with the machine that it was measured on.
    """

    def __init__(self, events: Sequence[Event], header: trace.Header | None = None) -> None:
        self.events, self.header = list(events), header

    @cached_property
    def started(self) -> Started:
        """Models, settings, exactness and baseline. Raises TraceError if the trace has none of it."""
        found = next((event for event in self.events if isinstance(event, Started)), None)
        if found is None:
            raise TraceError("The run has not begun in this trace.", "Record it again.")
        return found

    @cached_property
    def done(self) -> Done | None:
        """The end of the run; None if the trace ends before it."""
        return next((event for event in self.events if isinstance(event, Done)), None)

    @cached_property
    def rounds(self) -> list[Round]:
        """Its whole rounds, in order."""
        return list(rounds_of(self.events))

    @property
    def text(self) -> str:
        """The visible text."""
        return self.done.generated_text if self.done else "".join(round.text for round in self.rounds)

    @property
    def token_ids(self) -> list[int]:
        """The emitted ids."""
        emitted = (event for event in self.events if isinstance(event, VerifyResult) and event.final_token is not None)
        return self.done.token_ids if self.done else [event.token_id for event in emitted]

    @property
    def metrics(self) -> MetricValues | None:
        """The figures of the whole run, or of its last rounds if it is not whole; None without a round."""
        return self.done.metrics if self.done else self.rounds[-1].metrics if self.rounds else None

    @property
    def warnings(self) -> list[str]:
        """What went wrong while the run went on, and what to do about it."""
        return [f"{event.message} {event.hint}" for event in self.events if isinstance(event, RunWarning)]

    @cached_property
    def unlike(self) -> UnlikePasses | None:
        """Why no speedup over the stored baseline is claimed: passes of the two took unlike times. None if one is."""
        check = BaselineCheck()
        for event in self.events:
            check.add(event)
        return check.unlike(None if self.done else WINDOW_ROUNDS)

    def speedup_over(self, plain: Run) -> float:
        """The rate of this run divided by that of another one, which should be a plain run of the same prompt.

        Runs vary: measure several in turn, or `sweep`. Rates leave out the prompt's time. NaN without rounds.
        """
        rates = [run.metrics.overall_tps if run.metrics else None for run in (self, plain)]
        return rates[0] / rates[1] if rates[0] and rates[1] else float("nan")

    def why(self) -> Waterfall:
        """Why the run is not faster. Raises BadRequestError without a measured baseline or without a draft."""
        return waterfall(self.events)

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the run as a trace. Raises TraceError if that is not possible."""
        failed = list[str]()
        with trace.create(Path(file), failed.append) as writer:
            for event in self.events:
                writer.write(event)
        if failed:
            raise TraceError(failed[0], "Make room there, or name another file.")

    def __repr__(self) -> str:
        return f"<Run: {html.in_brief(self.metrics, self.unlike)}>"

    def _repr_html_(self) -> str:
        return html.run(self.events, self.metrics, self.unlike)


def open_trace(file: str | os.PathLike[str]) -> Run:
    """A run from a trace, which `Run.save` or `speculatoviz generate --trace` wrote.

    A trace that was cut off is read up to its last whole line. Raises TraceError if it is none.
    """
    read = trace.read(Path(file))
    return Run(read.events, read.header)


def why(run: Run | str | os.PathLike[str]) -> Waterfall:
    """Why a run, or that of a trace, is not faster: from the formula's speedup to the measured one, bar by bar.

    Raises TraceError for a file that is no trace, and BadRequestError without a measured baseline or without a draft.
    """
    return (run if isinstance(run, Run) else open_trace(run)).why()


def what_if(
    *runs: Run | str | os.PathLike[str],
    k: Sequence[int] = (),
    policy: PolicyName = "fixed",
    rule: Rule | None = None,
    pass_ms: Mapping[int, float] | None = None,
    draft_ms: float | None = None,
    rtt_ms: float | None = None,
    batch: int = 1,
) -> asking.Answer:
    """What recorded runs, or those of traces, would have been with other choices; docs/whatif.md has the formulas.

    k: depths; empty for 1 to the recorded depth. rule: None for the runs' own. pass_ms: of another machine, by tokens
    in a pass of the target. draft_ms: of a drafted token. rtt_ms: to a remote target and back. What is None is as it
    was measured. batch: sequences that decode together. Raises TraceError for a file that is no trace, and
    BadRequestError without a record, for runs that do not go together, and for depths that were not recorded or
    measured.
    """
    opened = [run if isinstance(run, Run) else open_trace(run) for run in runs]
    question = asking.Question(
        tuple(k), policy, rule, batch, draft_ms, lambda own: own.changed(pass_ms, network_ms=rtt_ms)
    )
    return asking.what_if([run_record(run.events) for run in opened], question)
