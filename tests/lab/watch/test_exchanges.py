"""What passes on a connection becomes the events of runs, however the bytes are cut, in the forms of each engine."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from speculatoviz.lab.store.summary import RunFold
from speculatoviz.lab.watch.exchanges import Asked, ExchangeTap
from speculatoviz.lab.watch.narration import WatchedRun
from speculatoviz.lab.watch.requests import Wanted, wanted
from speculatoviz.telemetry.events import EVENT, Done, Event, Failure, Metrics, RunWarning, Started, VerifyResult

Json = dict[str, Any]
CHAT: Json = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5, "seed": 3}
WHOLE = "one two three"


class Wire:
    """A tap with a clock that goes on by a second at every look, and the runs that it makes."""

    def __init__(self, engine: str | None = None) -> None:
        self.engine = engine
        self.now_s, self.events, self.asked = 0.0, list[list[Event]](), list[Wanted]()
        self.tap = ExchangeTap(self._begin, self._clock)

    def _clock(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def _begin(self, asked: Asked) -> WatchedRun | None:
        request = wanted(asked.method, asked.target, asked.body)
        if request is None:
            return None
        self.asked.append(request)
        self.events.append([])
        run, emit = f"watch-{len(self.events)}", self.events[-1].append
        return WatchedRun(run, "http://h:1", request, asked.at_s, emit, self.engine)

    def passes(self, sent: bytes, received: bytes, size: int = 1 << 20) -> Wire:
        for piece in cut(sent, size):
            self.tap.sent(piece)
        for piece in cut(received, size):
            self.tap.received(piece)
        return self


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def request(body: Json, path: str = "/v1/chat/completions") -> bytes:
    text = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(text), text)


def answer(body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> bytes:
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{named}\r\n"
    return head.encode() + body


def chunked(*events: Json | str) -> bytes:
    texts = (e if isinstance(e, str) else f"data: {json.dumps(e)}\n\n" for e in events)
    parts = [f"{len(t.encode()):x}\r\n{t}\r\n".encode() for t in texts]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(parts) + b"0\r\n\r\n"


def delta(text: str, **more: Any) -> Json:
    return {"choices": [{"index": 0, "delta": {"content": text}} | more]}


VLLM = chunked(
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    delta("one ", token_ids=[1, 2]),
    delta("two ", token_ids=[3]),
    delta("three", token_ids=[4, 5], finish_reason="length"),
    {
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
        "metrics": {
            "speculative_decoding": {
                "mean_acceptance_length": 2.0,
                "draft_acceptance_rate": 0.5,
                "acceptance_histogram": [1, 0, 1],
                "num_spec_steps": 2,
                "num_accepted_draft_tokens": 2,
                "num_draft_tokens": 4,
                "num_spec_tokens": 2,
            }
        },
    },
    "data: [DONE]\n\n",
)
LLAMACPP = chunked(
    *({"content": text, "stop": False} for text in ("one ", "two ", "three")),
    {
        "content": "",
        "stop": True,
        "stop_type": "limit",
        "timings": {"prompt_n": 4, "cache_n": 3, "predicted_n": 5, "draft_n": 4, "draft_n_accepted": 2},
    },
)
SGLANG = chunked(
    *({"text": WHOLE[:end], "meta_info": {"prompt_tokens": 7, "completion_tokens": n}} for end, n in ((4, 2), (8, 3))),
    {
        "text": WHOLE,
        "meta_info": {
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "finish_reason": {"type": "length"},
            "spec_verify_ct": 2,
            "spec_num_correct_drafts": 2,
            "spec_num_proposed_drafts": 4,
        },
    },
    "data: [DONE]\n\n",
)


@pytest.mark.parametrize(
    ("path", "body", "received", "engine"),
    [
        ("/v1/chat/completions", CHAT, VLLM, "vLLM"),
        ("/completion", {"prompt": "hi", "n_predict": 5, "stream": True}, LLAMACPP, "llama.cpp"),
        ("/generate", {"text": "hi", "sampling_params": {"max_new_tokens": 5}, "stream": True}, SGLANG, "SGLang"),
    ],
    ids=["vLLM", "llama.cpp", "SGLang"],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_becomes_a_run_however_its_bytes_are_cut(
    path: str, body: Json, received: bytes, engine: str, size: int
) -> None:
    [events] = Wire(engine).passes(request(body, path), received, size).events
    started, done = events[0], events[-1]

    assert isinstance(started, Started)
    assert isinstance(done, Done)
    assert started.watched is not None
    assert (started.watched.route, started.watched.status, started.watched.streamed) == (path, 200, True)
    assert (started.exactness.label, started.max_tokens, started.k) == ("unverified", 5, 0)
    assert [e.text for e in events if isinstance(e, VerifyResult)] == ["one ", "two ", "three"]
    assert {e.status for e in events if isinstance(e, VerifyResult)} == {"received"}
    assert (done.generated_text, done.finish_reason) == (WHOLE, "length")
    assert (done.total_tokens, done.total_drafted, done.total_accepted) == (5, 4, 2)
    assert done.metrics.usage is not None
    assert done.metrics.usage.prompt_tokens == 7
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    for event in events:  # a trace of it can be read again
        assert EVENT.validate_json(event.model_dump_json()) == event
    fold = RunFold(started)
    for event in events:
        fold.add(event)
    summary = fold.summary
    assert (summary.tokens, summary.prompt_tokens, summary.tokens_per_round, summary.ended) == (5, 7, None, "length")
    assert started.watched.engine == engine


def test_times_are_those_of_the_pieces() -> None:
    [events] = Wire().passes(request(CHAT), VLLM, 1 << 20).events
    rounds = [event for event in events if isinstance(event, Metrics)]
    done = events[-1]

    assert isinstance(done, Done)
    assert rounds[0].round_ms == 0.0  # what came before it is the time to the first token
    assert rounds[0].prefill_ms == done.metrics.ttft_ms == rounds[0].t_ms > 0
    later = [after.t_ms - before.t_ms for before, after in itertools.pairwise(rounds)]
    assert [event.round_ms for event in rounds[1:]] == later
    assert all(event.round_ms == event.other_ms for event in rounds)
    span_s = sum(later) / 1000
    assert done.metrics.overall_tps == pytest.approx((5 - 5 / 3) / span_s)


def test_one_document_is_one_piece_and_several_requests_share_a_connection() -> None:
    whole = json.dumps(
        {
            "choices": [{"index": 0, "message": {"content": WHOLE}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5},
        }
    ).encode()
    body = CHAT | {"stream": False}
    sent = request(body) + b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n" + request(body)
    packed = answer(gzip.compress(whole), Content_Encoding="gzip", Server="llama.cpp")
    received = answer(whole) + answer(b"{}") + packed
    for size in (1, 1 << 20):
        wire = Wire().passes(sent, received, size)
        assert len(wire.events) == 2  # the list of models is no run
        for events in wire.events:
            done = events[-1]
            assert isinstance(done, Done)
            assert (done.generated_text, done.total_tokens, done.total_rounds) == (WHOLE, 5, 1)
        engines = [event.watched.engine for event, *_ in wire.events if isinstance(event, Started) and event.watched]
        assert engines == [None, "llama.cpp"]


def test_without_usage_pieces_are_counted_and_that_is_told() -> None:
    [events] = Wire().passes(request(CHAT), chunked(delta("one "), delta("two"), "data: [DONE]\n\n")).events
    [warning] = [event for event in events if isinstance(event, RunWarning)]
    done = events[-1]

    assert isinstance(done, Done)
    assert "pieces of text are counted" in warning.message
    assert (done.total_tokens, done.total_drafted, done.metrics.overall_acceptance_rate) == (2, 0, None)


def test_errors_and_cut_answers_are_failures() -> None:
    refused = answer(b'{"error": {"message": "too long"}}', status=400)
    [events] = Wire().passes(request(CHAT), refused).events
    assert isinstance(events[-1], Failure)
    assert (events[-1].code, events[-1].message) == ("target", "too long")

    wire = Wire().passes(request(CHAT), VLLM[: VLLM.index(b"two")])
    wire.tap.closed()
    [events] = wire.events
    assert isinstance(events[-1], Failure)
    assert events[-1].code == "cancelled"
    assert [e.text for e in events if isinstance(e, VerifyResult)] == ["one "]


@pytest.mark.parametrize(
    "received",
    [
        b"\x00\x01 no HTTP at all\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    ],
    ids=["noise", "websocket"],
)
def test_what_is_no_answer_is_not_read_on(received: bytes) -> None:
    wire = Wire().passes(request(CHAT), received)
    wire.passes(request(CHAT), VLLM)
    assert [[type(event) for event in events] for events in wire.events] == [[]]


@pytest.mark.parametrize(
    "body",
    [b"", b"[1]", b"{", b'{"messages": 3}', b'{"prompt": [1, 2]}', b'{"messages": [{"content": [{"text": "a"}]}]}'],
)
def test_any_body_is_read_without_a_failure(body: bytes) -> None:
    found = wanted("POST", "/v1/completions", body)
    assert found is None or isinstance(found.prompt, str)
    assert wanted("GET", "/v1/completions", body) is None
    assert wanted("POST", "/v1/embeddings", body) is None
