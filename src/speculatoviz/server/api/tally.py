"""The statistics of the runs of one request, in the terms of every server that reports them."""

from __future__ import annotations

from dataclasses import dataclass, field

from speculatoviz.core.constraint import PREDICTED
from speculatoviz.server.api.answers import (
    CompletionTokensDetails,
    PromptTokensDetails,
    ServerMetrics,
    SpeculationUsage,
    SpeculativeDecoding,
    Timings,
    Usage,
)
from speculatoviz.telemetry.events import DraftToken, Event, Metrics, Started, VerifyResult


@dataclass(slots=True)
class Tally:
    """Sums over the rounds of all choices. Add the events of the runs in order, then read it.

    histogram[i]: drafting rounds in which exactly i drafted tokens were emitted. predicted_accepted,
    predicted_rejected: tokens that were drafted from the prediction, by whether they were emitted.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0
    histogram: list[int] = field(default_factory=list)
    prefill_ms: float = 0.0
    round_ms: float = 0.0
    predicted_accepted: int = 0
    predicted_rejected: int = 0
    started: Started | None = None
    _predicted: set[int] = field(default_factory=set)  # nodes of the round's draft
    _cached: bool = True

    def begin(self, prompt_tokens: int, *, cached: bool) -> None:
        """Count the prompt of the next run. cached: whether what the cache had of it is a hit of this request."""
        self.prompt_tokens += prompt_tokens
        self._cached = cached

    def add(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Started():
                self.started = self.started or event
            case DraftToken() if event.source == PREDICTED:
                self._predicted.add(event.node)
            case VerifyResult() if event.node in self._predicted:
                self.predicted_accepted += event.status == "accepted"
                self.predicted_rejected += event.status != "accepted"
            case Metrics():
                self._predicted.clear()
                self._add_round(event)

    def _add_round(self, event: Metrics) -> None:
        self.rounds += 1
        self.completion_tokens += event.round_emitted
        self.drafted += event.round_drafted
        self.accepted += event.round_accepted
        self.prefill_ms += event.prefill_ms
        self.round_ms += event.round_ms
        if event.prompt_cache is not None and self._cached:
            self.cached_tokens += event.prompt_cache.hit_tokens
        if event.round_drafted:
            missing = event.round_accepted + 1 - len(self.histogram)
            self.histogram += [0] * missing
            self.histogram[event.round_accepted] += 1

    @property
    def drafting_rounds(self) -> int:
        """Rounds with a draft; vLLM's num_drafts and num_spec_steps."""
        return sum(self.histogram)

    @property
    def acceptance_rate(self) -> float | None:
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_acceptance_length(self) -> float | None:
        return 1 + self.accepted / self.drafting_rounds if self.drafting_rounds else None

    @property
    def accepted_at(self) -> list[int]:
        """accepted_at[i]: drafting rounds that emitted the drafted token of position i."""
        return [sum(self.histogram[position + 1 :]) for position in range(len(self.histogram) - 1)]

    def usage(self, predicted: bool) -> Usage:
        """`usage` of an answer. predicted: whether the request had a prediction."""
        details = None
        if predicted:
            details = CompletionTokensDetails(
                accepted_prediction_tokens=self.predicted_accepted, rejected_prediction_tokens=self.predicted_rejected
            )
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            total_tokens=self.prompt_tokens + self.completion_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=self.cached_tokens),
            completion_tokens_details=details,
            speculation=self._speculation(),
        )

    def metrics(self) -> ServerMetrics | None:
        """vLLM's statistics of a request; None if nothing was drafted."""
        length, rate = self.mean_acceptance_length, self.acceptance_rate
        if length is None or rate is None or self.started is None:
            return None
        return ServerMetrics(
            speculative_decoding=SpeculativeDecoding(
                mean_acceptance_length=length,
                draft_acceptance_rate=rate,
                acceptance_histogram=self.histogram,
                num_spec_steps=self.drafting_rounds,
                num_accepted_draft_tokens=self.accepted,
                num_draft_tokens=self.drafted,
                num_spec_tokens=self.started.k,
            )
        )

    def timings(self) -> Timings:
        """llama.cpp's times of a request."""
        computed = self.prompt_tokens - self.cached_tokens
        return Timings(
            cache_n=self.cached_tokens,
            prompt_n=computed,
            prompt_ms=self.prefill_ms,
            predicted_n=self.completion_tokens,
            predicted_ms=self.round_ms,
            predicted_per_second=1000 * self.completion_tokens / self.round_ms if self.round_ms else None,
            draft_n=self.drafted,
            draft_n_accepted=self.accepted,
        )

    def _speculation(self) -> SpeculationUsage | None:
        if self.started is None:
            return None
        steps = self.drafting_rounds
        return SpeculationUsage(
            drafter=self.started.drafter,
            policy=self.started.policy,
            k=self.started.k,
            seed=self.started.seed,
            exactness=self.started.exactness.label,
            rounds=self.rounds,
            drafting_rounds=steps,
            drafted=self.drafted,
            accepted=self.accepted,
            acceptance_rate=self.acceptance_rate,
            mean_acceptance_length=self.mean_acceptance_length,
            tokens_per_round=self.completion_tokens / self.rounds if self.rounds else None,
            per_position_acceptance_rate=[count / steps for count in self.accepted_at],
        )
