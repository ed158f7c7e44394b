"""What a store knows of a run without reading its trace: settings, figures, and how it ended."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from speculatoviz.core.types import FinishReason, Label, Rule
from speculatoviz.telemetry.events import Done, Event, Failure, Metrics, Started
from speculatoviz.telemetry.metrics import WINDOW_ROUNDS
from speculatoviz.telemetry.parts import SamplingInfo, Strict, WatchedInfo
from speculatoviz.telemetry.trace import Header
from speculatoviz.telemetry.unlike import BaselineCheck, UnlikePasses


class Kept(Strict):
    """Read from a store: fields that a later program added are left out."""

    model_config = ConfigDict(extra="ignore")


class SweepSummary(Kept):
    """Of a sweep: its folder, which has its traces, what it compared, and its answer.

    `best`: the fastest choice at the lowest temperature, plain decoding included; `low` and `high` bound the 95 %
    interval of its speedup over the prompts.
    """

    folder: str
    prompts: int
    choices: int
    runs: int
    temperatures: list[float]
    best: str
    low: float | None
    high: float | None
    answer: str


class RunSummary(Kept):
    """Settings and figures of a run. A figure is null where it is not known; `docs/metrics.md` defines them.

    The settings are those at the start of the run. `ended`: null while the run goes on, and if its process was ended
    before it. `failure`: why a run ended with an error. `watched`: null unless another server computed the run.
    `sweep`: null for a run; an entry with it is a sweep, and its other fields are the settings and sums of the runs of
    its best choice. `unlike`: why there is no speedup although there is a baseline, in words: passes of the run and of
    its baseline took unlike times.
    """

    target: str
    draft: str | None
    drafter: str
    policy: str
    k: int
    nodes: int
    rule: Rule
    sampling: SamplingInfo
    max_tokens: int
    seed: int
    exactness: Label
    prompt_tokens: int
    tokens: int = 0
    rounds: int = 0
    accepted: int = 0
    drafted: int = 0
    acceptance_rate: float | None = None
    tokens_per_round: float | None = None
    tps: float | None = None
    baseline_tps: float | None = None
    speedup: float | None = None
    unlike: str | None = None
    ttft_ms: float | None = None
    ended: FinishReason | None = None
    failure: str | None = None
    sweep: SweepSummary | None = None
    watched: WatchedInfo | None = None


class StoredRun(Kept):
    """A run of a store, without its trace.

    `created_ms` is since 1970, in UTC. `prompt`: in a list only its beginning. `trace_bytes`: compressed, as stored.
    """

    id: str
    created_ms: int
    name: str | None
    prompt: str
    summary: RunSummary
    trace_bytes: int


class StoredRunDetail(StoredRun):
    """A run of a store with the whole prompt. `header`: of its trace, with version and machine."""

    header: Header = Field(description="of the trace: when, with which version and on which machine it ran")


class RunFold:
    """Follows the events of a run. summary: of those so far."""

    def __init__(self, started: Started) -> None:
        self.summary = _begun(started)
        self._check = BaselineCheck()
        self._check.add(started)

    def add(self, event: Event) -> None:
        """See the next event of the run."""
        self._check.add(event)
        if isinstance(event, Metrics | Done):
            unlike = self._check.unlike(WINDOW_ROUNDS if isinstance(event, Metrics) else None)
            self.summary = _updated(self.summary, event, unlike)
        elif isinstance(event, Failure):
            self.summary = self.summary.model_copy(update=_failure(event))


def _begun(started: Started) -> RunSummary:
    baseline = started.baseline
    return RunSummary(
        target=started.target_model.name,
        draft=started.draft_model.name if started.draft_model else None,
        drafter=started.drafter,
        policy=started.policy,
        k=started.k,
        nodes=started.nodes,
        rule=started.rule,
        sampling=started.sampling,
        max_tokens=started.max_tokens,
        seed=started.seed,
        exactness=started.exactness.label,
        prompt_tokens=started.prompt_tokens,
        baseline_tps=baseline.tps if baseline else None,
        watched=started.watched,
    )


def _updated(summary: RunSummary, event: Metrics | Done, unlike: UnlikePasses | None) -> RunSummary:
    values = event if isinstance(event, Metrics) else event.metrics
    rounds = values.rounds if summary.watched is None else 0  # the rounds of another server are not known
    figures: dict[str, object] = {
        "tokens": values.tokens,
        "rounds": values.rounds,
        "accepted": values.accepted,
        "drafted": values.drafted,
        "acceptance_rate": values.overall_acceptance_rate,
        "tokens_per_round": values.tokens / rounds if rounds else None,
        "tps": values.overall_tps,
        "baseline_tps": values.baseline_tps,
        "speedup": None if unlike else values.overall_speedup,
        "unlike": None if unlike is None else str(unlike),
        "ttft_ms": values.ttft_ms,
    }
    if isinstance(event, Metrics):
        return summary.model_copy(update=figures | {"exactness": event.exactness})
    usage = values.usage if summary.watched else None  # its prompt is counted by the server, at the end
    if usage is not None and usage.prompt_tokens is not None:
        figures["prompt_tokens"] = usage.prompt_tokens
    return summary.model_copy(update=figures | {"ended": event.finish_reason})


def _failure(event: Failure) -> dict[str, object]:
    if event.code == "cancelled":
        return {"ended": "cancelled"}
    return {"ended": "error", "failure": f"{event.message} {event.hint}".strip()}
