"""The statistics of an answer in every dialect, and the counts of `/metrics`, against the rounds of the same runs."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from speculatoviz.server.api import prometheus
from speculatoviz.server.api.tally import Tally
from speculatoviz.server.counters import Counters
from speculatoviz.server.latency import Histogram, Latencies, RunTimes
from speculatoviz.telemetry.events import Done, Event, Metrics, Started
from support import toy_session
from support.api_client import CHAT, FIXED, TEXT, Json, chat, complete, documents
from support.live_server import Server

FIELDS: Json = {"temperature": 0.8, "seed": 3, "ignore_eos": True, "max_tokens": 60, "speculation": FIXED}


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> list[Metrics]:
    """The rounds of the same run in a session."""
    session = toy_session.load(tmp_path_factory.mktemp("alone"))
    start = {name: value for name, value in FIELDS.items() if name != "speculation"}
    events = toy_session.run(session, TEXT, raw=True, **start | FIXED)
    session.close()
    return [event for event in events if isinstance(event, Metrics)]


def test_the_usage_has_the_figures_of_the_rounds(shared_server: Server, rounds: list[Metrics]) -> None:
    figures = complete(shared_server, **FIELDS)["usage"]["speculation"]
    drafted, accepted = sum(r.round_drafted for r in rounds), sum(r.round_accepted for r in rounds)
    drafting = sum(r.round_drafted > 0 for r in rounds)

    assert 0 < accepted < drafted
    assert (figures["drafted"], figures["accepted"], figures["rounds"]) == (drafted, accepted, len(rounds))
    assert (figures["drafting_rounds"], figures["seed"], figures["exactness"]) == (drafting, 3, "exact")
    assert figures["acceptance_rate"] == pytest.approx(accepted / drafted)
    assert figures["mean_acceptance_length"] == pytest.approx(1 + accepted / drafting)
    assert figures["tokens_per_round"] == pytest.approx(60 / len(rounds))
    by_position = [sum(r.round_accepted > place for r in rounds) / drafting for place in range(3)]
    assert figures["per_position_acceptance_rate"] == pytest.approx([rate for rate in by_position if rate])


def test_vllms_statistics_are_those_of_the_rounds(shared_server: Server, rounds: list[Metrics]) -> None:
    figures = complete(shared_server, **FIELDS)["metrics"]["speculative_decoding"]
    drafting = [r for r in rounds if r.round_drafted]
    counts = Counter(r.round_accepted for r in drafting)

    assert figures["acceptance_histogram"] == [counts[i] for i in range(max(counts) + 1)]
    assert figures["num_spec_steps"] == len(drafting) == sum(figures["acceptance_histogram"])
    assert figures["num_draft_tokens"] == sum(r.round_drafted for r in rounds)
    assert figures["num_accepted_draft_tokens"] == sum(r.round_accepted for r in rounds)
    assert figures["draft_acceptance_rate"] == pytest.approx(
        figures["num_accepted_draft_tokens"] / figures["num_draft_tokens"]
    )
    assert figures["mean_acceptance_length"] == pytest.approx(
        1 + figures["num_accepted_draft_tokens"] / figures["num_spec_steps"]
    )
    assert figures["num_spec_tokens"] == 3


def test_llamacpps_timings_are_those_of_the_rounds(shared_server: Server, rounds: list[Metrics]) -> None:
    timings = complete(shared_server, **FIELDS)["timings"]

    assert timings["draft_n"] == sum(r.round_drafted for r in rounds)
    assert timings["draft_n_accepted"] == sum(r.round_accepted for r in rounds)
    assert timings["predicted_n"] == 60
    assert timings["prompt_n"] + timings["cache_n"] == len(TEXT)
    assert timings["predicted_ms"] > 0
    assert timings["predicted_per_second"] == pytest.approx(60_000 / timings["predicted_ms"])


def test_a_request_without_drafts_has_no_acceptance(shared_server: Server) -> None:
    answer = complete(shared_server, **FIELDS | {"speculation": False})

    assert "metrics" not in answer
    assert (answer["timings"]["draft_n"], answer["usage"]["speculation"]["acceptance_rate"]) == (0, None)


def test_what_the_cache_had_of_a_prompt_is_reported_once(shared_server: Server) -> None:
    complete(shared_server, prompt="something else", **FIELDS)
    fresh, again = (complete(shared_server, prompt="a new text", n=2, **FIELDS)["usage"] for _ in range(2))

    assert fresh["prompt_tokens_details"]["cached_tokens"] == 0
    assert again["prompt_tokens_details"]["cached_tokens"] == len("a new text") - 1
    scored = complete(shared_server, prompt="a new text", echo=True, logprobs=1, **FIELDS)["usage"]
    assert scored["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize("include", [False, True])
def test_a_stream_ends_with_its_statistics(shared_server: Server, include: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include else {}
    streamed = documents(shared_server, "chat/completions", messages=CHAT, n=2, **FIELDS | options)
    whole = chat(shared_server, n=2, **FIELDS)

    assert ["metrics" in document for document in streamed] == [False] * (len(streamed) - 1) + [True]
    assert streamed[-1]["metrics"] == whole["metrics"]
    assert streamed[-1]["timings"]["draft_n"] == whole["timings"]["draft_n"]
    assert (streamed[-1].get("usage") is not None) is include
    if include:
        assert streamed[-1]["usage"]["speculation"] == whole["usage"]["speculation"]
        assert streamed[-1]["choices"] == []


def test_one_chunk_of_a_stream_is_one_round(shared_server: Server, rounds: list[Metrics]) -> None:
    streamed = documents(shared_server, "completions", prompt=TEXT, return_token_ids=True, **FIELDS)
    tokens = [len(document["choices"][0]["token_ids"]) for document in streamed[:-1]]

    assert tokens == [r.round_emitted for r in rounds]


# ---- /metrics ----


def scraped(server: Server) -> dict[str, float]:
    """Samples by name, with a position or an upper bound."""
    response = server.get("/metrics")
    assert response.headers["content-type"] == prometheus.CONTENT_TYPE
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert (labels.pop("model_name"), labels.pop("engine")) == ("toy-0", "0")
            found[sample.name + "".join(labels.values())] = sample.value
    return found


def scraped_when_idle(server: Server) -> dict[str, float]:
    """A run gives the models back after its last event has been sent."""
    while (found := scraped(server))["vllm:num_requests_running"]:
        time.sleep(0.01)
    return found


def test_metrics_count_the_runs_of_the_api_and_of_the_page(shared_server: Server, rounds: list[Metrics]) -> None:
    before = scraped(shared_server)
    complete(shared_server, **FIELDS)
    page: dict[str, Any] = {name: value for name, value in FIELDS.items() if name != "speculation"} | FIXED
    with shared_server.client() as client:
        assert client.run(prompt=TEXT, raw=True, **page)[-1]["type"] == "done"
    after = scraped_when_idle(shared_server)

    grown = {name: after[name] - before[name] for name in after}
    drafting = [r for r in rounds if r.round_drafted]
    assert grown["vllm:spec_decode_num_drafts_total"] == 2 * len(drafting)
    assert grown["vllm:spec_decode_num_draft_tokens_total"] == 2 * sum(r.round_drafted for r in rounds)
    assert grown["vllm:spec_decode_num_accepted_tokens_total"] == 2 * sum(r.round_accepted for r in rounds)
    for place in range(16):
        count = sum(r.round_accepted > place for r in rounds)
        assert grown[f"vllm:spec_decode_num_accepted_tokens_per_pos_total{place}"] == 2 * count
    assert grown["vllm:prompt_tokens_total"] == 2 * len(TEXT)
    assert grown["vllm:generation_tokens_total"] == 2 * 60
    assert (after["vllm:num_requests_running"], after["vllm:num_requests_waiting"]) == (0, 0)


def test_names_of_models_are_escaped() -> None:
    text = prometheus.exposition(Counters(), Latencies(), 'a"b\\c\nd', 1, 2)
    [running] = [f for f in text_string_to_metric_families(text) if f.name == "vllm:num_requests_running"]

    assert running.samples[0].labels["model_name"] == 'a"b\\c\nd'
    assert running.samples[0].value == 1


def test_histograms_count_the_runs_and_their_rounds(shared_server: Server, rounds: list[Metrics]) -> None:
    before = scraped(shared_server)
    complete(shared_server, **FIELDS)
    after = scraped(shared_server)
    grown = {name: after[name] - before[name] for name in after}

    for name in ("request_queue_time", "time_to_first_token", "e2e_request_latency", "request_time_per_output_token"):
        assert grown[f"vllm:{name}_seconds_count"] == grown[f"vllm:{name}_seconds_bucket+Inf"] == 1
    assert grown["vllm:inter_token_latency_seconds_count"] == len(rounds) - 1
    assert grown["vllm:e2e_request_latency_seconds_sum"] >= grown["vllm:time_to_first_token_seconds_sum"] > 0


def test_latencies_are_those_of_the_events() -> None:
    latencies = Latencies()
    times = RunTimes(latencies, 0.5)
    for event in _events([(0.0, 0), (100.0, 3), (150.0, 1), (150.0, 0), (350.0, 3)], 400.0):
        times.add(event)

    assert latencies.queue.sum == pytest.approx(0.5)
    assert latencies.first.sum == pytest.approx(0.6)
    assert latencies.between.sum == pytest.approx(0.25)
    assert latencies.between.cumulative[-1] == 2
    assert latencies.per_token.sum == pytest.approx(0.25 / 4)
    assert latencies.whole.sum == pytest.approx(0.9)


def test_a_cancelled_run_has_no_length() -> None:
    latencies = Latencies()
    times = RunTimes(latencies, 0.0)
    for event in _events([(10.0, 1)], 20.0, finish_reason="cancelled"):
        times.add(event)

    assert latencies.first.cumulative[-1] == 1
    assert latencies.whole.cumulative[-1] == latencies.per_token.cumulative[-1] == 0


def _events(metrics: list[tuple[float, int]], done_ms: float, finish_reason: str = "stop") -> list[Event]:
    """The events of a run: the time of each round in ms with the tokens that it emitted, and the time of the end."""
    started = Started.model_construct(t_ms=0.0)
    rounds = [Metrics.model_construct(t_ms=t_ms, round_emitted=count) for t_ms, count in metrics]
    return [started, *rounds, Done.model_construct(t_ms=done_ms, finish_reason=finish_reason)]


def test_a_value_is_counted_below_its_bound_and_at_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(value)
    assert histogram.cumulative == [2, 3, 4]
    assert histogram.sum == 6.0


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    dashboard = Path(__file__).parents[3] / "docs" / "grafana.json"
    panels = [panel for panel in json.loads(dashboard.read_text(encoding="utf-8"))["panels"] if "targets" in panel]
    asked = {
        name for panel in panels for target in panel["targets"] for name in re.findall(r"vllm:\w+", target["expr"])
    }
    text = prometheus.exposition(Counters(), Latencies(), "toy", 0, 0)
    known = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}

    assert asked <= known
    without_suffix = {
        re.sub("_(bucket|sum|count)$", "", name) for name in known - {name for name in known if "_created" in name}
    }
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in asked} == without_suffix


def test_a_position_that_is_counted_one_too_far_is_caught(shared_server: Server, rounds: list[Metrics]) -> None:
    class Shifted(Tally):
        def add(self, event: Event) -> None:
            more = event.round_accepted + 1 if isinstance(event, Metrics) and event.round_drafted else 0
            super().add(event.model_copy(update={"round_accepted": more}) if more else event)

    honest, shifted = Tally(), Shifted()
    for event in rounds:
        honest.add(event)
        shifted.add(event)
    figures = complete(shared_server, **FIELDS)["metrics"]["speculative_decoding"]

    assert honest.histogram == figures["acceptance_histogram"]
    assert shifted.histogram != figures["acceptance_histogram"]


def test_before_the_models_are_loaded_there_are_counts_too() -> None:
    text = prometheus.exposition(Counters(), Latencies(), "", 0, 0)

    assert 'vllm:spec_decode_num_drafts_total{engine="0",model_name=""} 0.0' in text
