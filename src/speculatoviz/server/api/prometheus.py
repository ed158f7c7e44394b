"""`/metrics`: the counts and times of all runs for Prometheus, under vLLM's names."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from speculatoviz.server.counters import Counters
from speculatoviz.server.latency import Histogram, Latencies

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("model_name", "engine")


def exposition(counters: Counters, latencies: Latencies, model: str, running: int, waiting: int) -> str:
    """The metrics as text. model: of the labels. running, waiting: runs that hold the models, and that wait."""
    registry = CollectorRegistry()
    registry.register(_Runs(counters, latencies, model, running, waiting))
    return generate_latest(registry).decode()


class _Runs(Collector):
    """One scrape. All series have the labels of vLLM."""

    def __init__(self, counters: Counters, latencies: Latencies, model: str, running: int, waiting: int) -> None:
        self._counters, self._latencies = counters, latencies
        self._labels, self._running, self._waiting = (model, "0"), running, waiting

    def collect(self) -> Iterator[Metric]:
        """Every family, with its current values."""
        counters, times = self._counters, self._latencies
        yield self._counter("spec_decode_num_drafts", "Rounds with a draft.", counters.drafts)
        yield self._counter("spec_decode_num_draft_tokens", "Drafted tokens.", counters.draft_tokens)
        accepted = "Drafted tokens that were emitted."
        yield self._counter("spec_decode_num_accepted_tokens", accepted, counters.accepted_tokens)
        yield self._by_position(counters.accepted_at)
        yield self._counter("prompt_tokens", "Tokens of the prompts of runs.", counters.prompt_tokens)
        yield self._counter("generation_tokens", "Emitted tokens.", counters.generation_tokens)
        yield self._gauge("num_requests_running", "Runs that use the models.", self._running)
        yield self._gauge("num_requests_waiting", "Runs that wait for the models.", self._waiting)
        yield self._histogram("request_queue_time_seconds", "From a request to its turn on the models.", times.queue)
        yield self._histogram("time_to_first_token_seconds", "From a request to its first tokens.", times.first)
        between = "From one round's tokens to those of the next."
        yield self._histogram("inter_token_latency_seconds", between, times.between)
        each = "Mean time of a token after the first round, of a finished run."
        yield self._histogram("request_time_per_output_token_seconds", each, times.per_token)
        yield self._histogram("e2e_request_latency_seconds", "From a request to its end.", times.whole)

    def _counter(self, name: str, text: str, value: int) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=_LABELS)
        family.add_metric(self._labels, value)
        return family

    def _by_position(self, counts: list[int]) -> Metric:
        text = "Drafts whose token at a position was emitted."
        labels = (*_LABELS, "position")
        family = CounterMetricFamily("vllm:spec_decode_num_accepted_tokens_per_pos", text, labels=labels)
        for position, count in enumerate(counts):
            family.add_metric((*self._labels, str(position)), count)
        return family

    def _gauge(self, name: str, text: str, value: int) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", text, labels=_LABELS)
        family.add_metric(self._labels, value)
        return family

    def _histogram(self, name: str, text: str, values: Histogram) -> Metric:
        bounds = [*map(str, values.bounds), "+Inf"]
        family = HistogramMetricFamily(f"vllm:{name}", text, labels=_LABELS)
        family.add_metric(self._labels, list(zip(bounds, values.cumulative, strict=True)), values.sum)
        return family
