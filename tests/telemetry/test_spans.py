"""Runs as OpenTelemetry spans: their names, times and parents; sent only where OpenTelemetry's variables say so."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from speculatoviz.errors import BadRequestError
from speculatoviz.session.session import Session
from speculatoviz.telemetry.events import Done, Event, Metrics
from speculatoviz.telemetry.messages import Start
from speculatoviz.telemetry.spans import RunSpans, provider_of
from support.api_client import post
from support.live_server import Server, Toys

PROMPT = "once upon a secret"
NOW_NS = 1_700_000_000_000_000_000
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of a run."""
    session: Session = Toys(tmp_path_factory.mktemp("toys")).load(lambda _stage, _share: None)
    return list(session.run("r1", session.prepare(Start(prompt=PROMPT, k=3)), lambda: False))


class Recorded:
    """Spans in memory. run: takes events."""

    def __init__(self) -> None:
        self._memory, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.run = RunSpans(provider.get_tracer("test"), lambda: NOW_NS)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._memory.get_finished_spans() if span.name == name]


@pytest.fixture
def recorded(events: list[Event]) -> Recorded:
    """The spans of the run."""
    found = Recorded()
    for event in events:
        found.run.add(event)
    return found


def ms(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e6


def test_the_parts_of_every_round_have_the_times_of_its_metrics(events: list[Event], recorded: Recorded) -> None:
    metrics = [event for event in events if isinstance(event, Metrics)]
    [run] = recorded.named("run")

    assert [ms(span) for span in recorded.named("round")] == pytest.approx([m.round_ms for m in metrics], abs=1e-3)
    for name in ("draft", "verify", "network", "prefill"):
        expected = [found for event in metrics if (found := getattr(event, f"{name}_ms"))]
        assert [ms(span) for span in recorded.named(name)] == pytest.approx(expected, abs=1e-3), name
        assert bool(expected) == (name != "network"), "the target is in this process"
    done = events[-1]
    assert isinstance(done, Done)
    assert run.start_time == NOW_NS - round(events[0].t_ms * 1e6)
    assert ms(run) == pytest.approx(done.t_ms, abs=1e-3)
    assert run.attributes is not None
    assert (run.attributes["speculatoviz.run"], run.attributes["gen_ai.usage.output_tokens"]) == (
        "r1",
        done.total_tokens,
    )


def test_parts_lie_within_their_round_and_rounds_within_the_run(recorded: Recorded) -> None:
    [run] = recorded.named("run")
    rounds = {span.get_span_context().span_id: span for span in recorded.named("round")}
    for span in rounds.values():
        assert span.parent is not None
        assert span.parent.span_id == run.get_span_context().span_id
    for part in (*recorded.named("draft"), *recorded.named("verify")):
        assert part.parent is not None
        inside = rounds[part.parent.span_id]
        assert (inside.start_time or 0) <= (part.start_time or 0)
        assert (part.end_time or 0) <= (inside.end_time or 0) + 1_000


def test_no_prompt_and_no_text_is_in_a_span(events: list[Event], recorded: Recorded) -> None:
    done = events[-1]
    assert isinstance(done, Done)
    shown = " ".join(span.to_json() for name in ("run", "round", "draft") for span in recorded.named(name))

    assert PROMPT not in shown
    assert len(done.generated_text) > 8
    assert done.generated_text not in shown


@pytest.mark.parametrize("error", [None, ValueError(PROMPT)])
def test_a_run_that_ends_early_has_a_span_that_ends(events: list[Event], error: Exception | None) -> None:
    recorded = Recorded()
    for event in events[:9]:
        recorded.run.add(event)
    for run, failure in (("r1", error), ("r1", error), ("another", None)):
        recorded.run.ended(run, failure)
    [span] = recorded.named("run")

    assert span.end_time == NOW_NS
    assert span.status.status_code.name == ("UNSET" if error is None else "ERROR")
    assert PROMPT not in span.to_json()
    assert ("error.type" in (span.attributes or {})) == (error is not None)


# ---- what is sent, and when ----


class Collector(ThreadingHTTPServer):
    """Receives spans as a collector does. spans: those that came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[SentSpan] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.spans += [
            span for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_sends_its_runs_as_parts_of_the_callers_trace(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    toys = Toys(tmp_path)
    server = Server(toys.settings, toys.load)
    server.wait_until("ready")
    traced = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    for stream in (False, True):
        body = {"prompt": PROMPT, "max_tokens": 6, "stream": stream}
        assert post(server, "completions", body, **traced).status_code == 200
    with server.client() as client:
        client.run()
    server.stop()

    runs = [span for span in collector.spans if span.name == "run"]
    assert [span.parent_span_id.hex() for span in runs] == [PARENT, PARENT, ""]
    assert {span.trace_id.hex() for span in runs[:2]} == {TRACE}
    assert {"round", "verify", "prefill"} <= {span.name for span in collector.spans}


def test_nothing_is_sent_unless_it_is_asked_for() -> None:
    assert provider_of({}) is None
    assert provider_of({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
    assert provider_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}) is None


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = builtins.__import__

    def without(name: str, *arguments: object, **more: object) -> object:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadRequestError, match="SDK is not installed") as refused:
        provider_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert "speculatoviz[otel]" in refused.value.hint
