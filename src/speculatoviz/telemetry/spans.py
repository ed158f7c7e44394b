"""Runs as OpenTelemetry spans: one for the run, one for each round, and within it draft, verification and network.

A round's parts are drawn one after the other, with the times that its `metrics` event has; the engine does not report
when each began. The attributes have the names of OpenTelemetry's conventions for generative AI where those have one.
No prompt and no text is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speculatoviz.errors import BadRequestError
from speculatoviz.telemetry.events import Done, Event, Metrics, Started

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_NS_PER_MS = 1_000_000
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def provider_of(environ: Mapping[str, str]) -> TracerProvider | None:
    """What sends spans to the endpoint that OpenTelemetry's own variables name; None without one.

    Raises BadRequestError if the extra `otel` is not installed.
    """
    if not any(environ.get(name) for name in _ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise BadRequestError(
            "Spans are asked for (OTEL_EXPORTER_OTLP_ENDPOINT), and OpenTelemetry's SDK is not installed.",
            "Install it (pip install 'speculatoviz[otel]'), or unset the variable.",
        ) from error
    named = {} if environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "speculatoviz"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@dataclass(slots=True)
class _Open:
    """A run that goes on. begun_ns: since 1970. context: with the run's span as the parent."""

    span: Span
    context: Context
    begun_ns: int


class RunSpans:
    """Turns the events of runs into spans. now_ns: nanoseconds since 1970.

    The span of a run is a child of the current span, for example that of the request that started it.
    """

    def __init__(self, tracer: Tracer, now_ns: Callable[[], int]) -> None:
        self._tracer, self._now_ns = tracer, now_ns
        self._open: dict[str, _Open] = {}

    def add(self, event: Event) -> None:
        """Take an event of a run."""
        if event.run is None:
            return
        match event:
            case Started():
                self._begin(event)
            case Metrics() if (run := self._open.get(event.run)) is not None:
                self._round(run, event)
            case Done() if (run := self._open.get(event.run)) is not None:
                run.span.set_attributes(
                    {
                        "gen_ai.response.finish_reasons": [event.finish_reason],
                        "gen_ai.usage.output_tokens": event.total_tokens,
                        "speculatoviz.rounds": event.total_rounds,
                        "speculatoviz.drafted": event.total_drafted,
                        "speculatoviz.accepted": event.total_accepted,
                    }
                )
                self._end(event.run, run.begun_ns + _ns(event.t_ms))

    def ended(self, run: str, error: BaseException | None) -> None:
        """The run is over. error: why it failed; None if it is done or was given up."""
        from opentelemetry.trace import Status, StatusCode

        found = self._open.get(run)
        if found is not None:
            if error is not None:  # what an error says can contain parts of the prompt
                found.span.set_attribute("error.type", type(error).__name__)
                found.span.set_status(Status(StatusCode.ERROR))
            self._end(run, self._now_ns())

    def _begin(self, event: Started) -> None:
        from opentelemetry.trace import set_span_in_context

        assert event.run is not None
        begun_ns = self._now_ns() - _ns(event.t_ms)
        span = self._tracer.start_span(
            "run",
            start_time=begun_ns,
            attributes={
                "gen_ai.operation.name": "text_completion",
                "gen_ai.request.model": event.target_model.name,
                "gen_ai.request.max_tokens": event.max_tokens,
                "gen_ai.request.temperature": event.sampling.temperature,
                "gen_ai.usage.input_tokens": event.prompt_tokens,
                "speculatoviz.run": event.run,
                "speculatoviz.drafter": event.drafter,
                "speculatoviz.policy": event.policy,
                "speculatoviz.exactness": event.exactness.label,
            },
        )
        self._open[event.run] = _Open(span, set_span_in_context(span), begun_ns)

    def _round(self, run: _Open, event: Metrics) -> None:
        end_ns = run.begun_ns + _ns(event.t_ms)
        start_ns = end_ns - _ns(event.round_ms)
        if event.prefill_ms:
            self._span(run.context, "prefill", start_ns - _ns(event.prefill_ms), event.prefill_ms)
        counts: dict[str, str | int] = {
            "speculatoviz.round": event.round,
            "speculatoviz.drafter": event.drafter,
            "speculatoviz.drafted": event.round_drafted,
            "speculatoviz.accepted": event.round_accepted,
            "speculatoviz.emitted": event.round_emitted,
        }
        inside = self._span(run.context, "round", start_ns, event.round_ms, counts)
        at_ns = start_ns
        for name, ms in (("draft", event.draft_ms), ("network", event.network_ms), ("verify", event.verify_ms)):
            if ms:
                self._span(inside, name, at_ns, ms)
                at_ns += _ns(ms)

    def _span(
        self, parent: Context, name: str, start_ns: int, ms: float, attributes: Mapping[str, str | int] | None = None
    ) -> Context:
        """A span that is over already; the context in which it is the parent."""
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span(name, parent, start_time=start_ns, attributes=attributes)
        span.end(start_ns + _ns(ms))
        return set_span_in_context(span)

    def _end(self, run: str, end_ns: int) -> None:
        self._open.pop(run).span.end(end_ns)


def _ns(ms: float) -> int:
    return round(ms * _NS_PER_MS)
