"""Which values and fields are refused, in words and with the name of the field, and which are ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.api_client import CHAT, FIXED, MODEL, TEXT, Json, chat, complete, only, refusal
from support.live_server import Server, Toys

LONG: Json = {"temperature": 0, "speculation": FIXED, "ignore_eos": True, "max_tokens": 30}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("max_tokens", [0, -1, 4097, "many", 1.5]),
        ("temperature", [-0.1, 2.1, "hot"]),
        ("top_p", [0, 1.1]),
        ("top_k", [-2, 1001, 0.5]),
        ("min_p", [-0.1, 1.1]),
        ("presence_penalty", [-2.1, 2.1, "much"]),
        ("frequency_penalty", [-2.1, 2.1]),
        ("repetition_penalty", [0, -1, 11]),
        ("repeat_penalty", [0, 11]),
        ("repeat_last_n", [-2, 0.5]),
        (
            "logit_bias",
            [
                *(5, "5", [5], [[5]], [[5, False]], [[1.5, 1]], {str(i): 1 for i in range(1025)}),
                *({"a": 1}, {"-1": 1}, {"5": 101}, {"5": "1"}, {"5": None}, {"5": True}),
            ],
        ),
        ("seed", ["a", 0.5, 2**128, -(2**128)]),
        ("stop", [["a"] * 17, [""], "", [1], {}]),
        ("n", [0, 129, "a"]),
        ("stream", ["perhaps"]),
        ("stream_options", [1]),
        ("speculation", [1, "on", {"k": 17}, {"depth": 3}, {"policy": "none"}, {"drafter": 5}]),
    ],
)
@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_values_out_of_range_are_refused_with_the_name_of_the_field(
    shared_server: Server, path: str, field: str, values: list[Any]
) -> None:
    for value in values:
        error = refusal(shared_server, path, {"prompt": TEXT, "messages": CHAT, field: value})
        if (path, field, value) == ("completions", "max_tokens", 0):  # allowed with echo
            continue
        assert error["param"] == field, value
        assert error["type"] == "invalid_request_error"


UNSUPPORTED: dict[str, list[Any]] = {
    "stop_token_ids": [[3]],
    "min_tokens": [3],
}
OF_CHATS: dict[str, list[Any]] = {
    "functions": [[{"name": "f"}]],
    "modalities": [["text", "audio"]],
    "audio": [{"voice": "a"}],
}
OF_COMPLETIONS: dict[str, list[Any]] = {"best_of": [2], "suffix": ["end"]}


def unsupported() -> Iterator[tuple[str, str, Any]]:
    for path, more in (("completions", OF_COMPLETIONS), ("chat/completions", OF_CHATS)):
        for field, values in (UNSUPPORTED | more).items():
            yield from ((path, field, value) for value in values)


@pytest.mark.parametrize(("path", "field", "value"), list(unsupported()))
def test_fields_that_are_not_supported_are_refused_in_words(
    shared_server: Server, path: str, field: str, value: Any
) -> None:
    error = refusal(shared_server, path, {"prompt": TEXT, "messages": CHAT, field: value})

    assert (error["param"], error["code"]) == (field, "unsupported_parameter")
    assert "not support" in error["message"]


def test_values_that_change_nothing_and_unknown_fields_are_taken(shared_server: Server) -> None:
    neutral: Json = {
        "model": MODEL,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "logit_bias": {},
        "response_format": {"type": "text"},
        "user": "someone",
        "store": False,
        "no_such_field": {"a": [1]},
        "stop": None,
        "seed": None,
        "n": None,
    }
    for_chats: Json = {"tools": [], "tool_choice": "none", "modalities": ["text"]}

    assert only(complete(shared_server, **neutral | LONG)) == only(complete(shared_server, **LONG))
    assert only(chat(shared_server, **neutral | for_chats | LONG)) == only(chat(shared_server, **LONG))


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("completions", {"prompt": TEXT, "max_tokens": 0}, "echo"),
        ("completions", {"prompt": [TEXT] * 65, "n": 2}, "128 choices"),
        ("completions", {"prompt": TEXT, "logprobs": 21}, "logprobs"),
        ("completions", {"prompt": TEXT, "logit_bias": {"29": 1}}, "Token 29 is outside the vocabulary"),
        ("completions", {"prompt": TEXT, "repeat_penalty": 1.1, "repetition_penalty": 1.1}, "two names"),
        ("completions", {"prompt": TEXT, "repeat_last_n": 9}, "needs repeat_penalty"),
        ("completions", {"prompt": TEXT, "stream_options": {"include_usage": True}}, "stream: true"),
        ("completions", {"prompt": TEXT, "speculation": {"drafter": "oracle"}}, "oracle"),
        ("completions", {"prompt": TEXT, "speculation": {"drafter": "medusa"}}, "medusa"),
        ("chat/completions", {"messages": CHAT, "top_logprobs": 2}, "logprobs: true"),
        ("chat/completions", {"messages": CHAT, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ("completions", {}, "prompt is missing"),
        ("chat/completions", {"messages": [{"role": "user"}]}, "messages.0.content is missing"),
        ("chat/completions", {"messages": []}, "messages has 0 entries"),
        ("completions", "a text", "JSON object"),
        ("completions", [TEXT], "JSON object"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(
    shared_server: Server, path: str, body: Any, word: str
) -> None:
    assert word in refusal(shared_server, path, body)["message"]


def test_logprobs_of_a_server_without_evidence_are_refused(serve: Callable[..., Server], toys: Toys) -> None:
    settings = toys.settings.model_copy(update={"evidence": False})
    toys.settings = settings
    server = serve(settings=settings)
    server.wait_until("ready")

    assert "log-probabilities" in refusal(server, "completions", {"prompt": TEXT, "logprobs": 1})["message"]
    assert only(complete(server))["text"]
