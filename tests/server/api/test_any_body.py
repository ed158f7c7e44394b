"""Whatever a client sends, it gets an answer or an error in words, and the server goes on."""

from __future__ import annotations

import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speculatoviz.server.api.requests import ChatRequest, CompletionRequest
from support.api_client import CHAT, TEXT, Json, complete, post
from support.live_server import Server

FIELDS = sorted(CompletionRequest.model_fields.keys() | ChatRequest.model_fields.keys())
NUMBERS = st.integers(-2, 4) | st.integers() | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=6) | st.characters(categories=["Cs"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
PARTS = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"]) | VALUES}, optional={"text": VALUES})
TURNS = st.fixed_dictionaries({"role": st.sampled_from(["user", "tool", "system"]) | VALUES, "content": PARTS | VALUES})
LIKELY = {
    "messages": st.lists(TURNS, max_size=3),
    "prompt": st.lists(st.integers(-1, 40) | st.lists(st.integers(0, 28), max_size=3) | st.text("ab", max_size=3)),
    "speculation": st.fixed_dictionaries({}, optional={"k": NUMBERS, "drafter": VALUES, "policy": VALUES}),
    "stream_options": st.fixed_dictionaries({"include_usage": VALUES}),
    "prediction": st.fixed_dictionaries({"type": st.just("content"), "content": st.text("ab") | VALUES}),
}
BODIES = st.fixed_dictionaries({}, optional={name: LIKELY.get(name, st.nothing()) | VALUES for name in FIELDS})


def in_words(response: httpx.Response) -> bool:
    """Whether a response is an answer, or an error with a message."""
    if response.status_code == 200:
        if response.text.endswith("data: [DONE]\n\n"):
            return '"error"' not in response.text
        return bool(response.json()["choices"])
    error = response.json()["error"]
    return response.status_code in {400, 404} and bool(error["message"]) and error["type"] != "server_error"


@given(st.sampled_from(["completions", "chat/completions"]), BODIES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_fields_are_answered_in_words(shared_server: Server, path: str, fields: Json) -> None:
    body: Json = {"prompt": TEXT, "messages": CHAT, "max_tokens": 2, "model": None} | fields
    assert in_words(post(shared_server, path, body)), body


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_any_json_is_answered_in_words(shared_server: Server, body: Any) -> None:
    response = post(shared_server, "completions", body)

    assert response.status_code == 400, json.dumps(body)
    assert response.json()["error"]["message"]
    assert complete(shared_server, max_tokens=1)["choices"]
