"""Predicted outputs: they are drafted, they change no text, and their tokens are counted."""

from __future__ import annotations

from typing import Any

import pytest

from speculatoviz.session.preparation import RunPreparer
from support.api_client import CHAT, TEXT, Json, chat, complete, documents, refusal
from support.live_server import Server

FIXED: Json = {"k": 8, "policy": "fixed"}
FIELDS: Json = {"temperature": 0, "ignore_eos": True, "max_tokens": 60, "speculation": FIXED}


def predicted(text: Any) -> Json:
    return {"prediction": {"type": "content", "content": text}}


def details(answer: Json) -> tuple[int, int]:
    found = answer["usage"]["completion_tokens_details"]
    return found["accepted_prediction_tokens"], found["rejected_prediction_tokens"]


def text(answer: Json) -> str:
    return str(answer["choices"][0]["message"]["content"])


@pytest.fixture(scope="module")
def plain(shared_server: Server) -> str:
    return text(chat(shared_server, **FIELDS | {"speculation": False}))


def test_a_right_prediction_is_accepted_from_the_first_token_on(shared_server: Server, plain: str) -> None:
    answer = chat(shared_server, **FIELDS, **predicted(plain))
    accepted, rejected = details(answer)

    assert text(answer) == plain
    assert accepted > 40
    assert rejected < accepted
    assert answer["usage"]["speculation"]["drafter"] == "suffix"
    assert answer["usage"]["speculation"]["rounds"] < 20


def test_after_an_edit_the_rest_of_the_prediction_is_accepted(shared_server: Server, plain: str) -> None:
    edited = plain[:20] + "zz" + plain[21:]
    answer = chat(shared_server, **FIELDS, **predicted(edited))

    assert text(answer) == plain
    assert details(answer)[0] > 25
    assert details(answer)[1] > 0


@pytest.mark.parametrize("wrong", ["", "z" * 60, "once upon a time there was nothing"])
def test_a_wrong_prediction_changes_no_text(shared_server: Server, plain: str, wrong: str) -> None:
    assert text(chat(shared_server, **FIELDS, **predicted(wrong))) == plain


def test_without_speculation_no_predicted_token_is_drafted(shared_server: Server, plain: str) -> None:
    answer = chat(shared_server, **FIELDS | {"speculation": False}, **predicted(plain))

    assert (text(answer), details(answer)) == (plain, (0, 0))


def test_tokens_that_are_not_predicted_are_not_counted(shared_server: Server, plain: str) -> None:
    how = {"speculation": {"drafter": "model", "k": 3, "policy": "fixed"}}
    answer = chat(shared_server, **FIELDS | how, **predicted(plain))

    assert answer["usage"]["speculation"]["drafted"] > 0
    assert details(answer) == (0, 0)
    assert "completion_tokens_details" not in chat(shared_server, **FIELDS)["usage"]


def test_a_prediction_is_text_or_parts_and_serves_one_request_alone(shared_server: Server, plain: str) -> None:
    parts = [{"type": "text", "text": plain[:30]}, {"type": "text", "text": plain[30:]}]
    whole = details(chat(shared_server, **FIELDS, **predicted(plain[:30] + "\n" + plain[30:])))

    assert details(chat(shared_server, **FIELDS, **predicted(parts))) == whole
    without = chat(shared_server, **FIELDS | {"speculation": FIXED | {"drafter": "suffix"}})
    assert without["usage"]["speculation"]["accepted"] < whole[0]


def test_it_is_streamed_and_completed_too(shared_server: Server, plain: str) -> None:
    options = {"stream_options": {"include_usage": True}}
    streamed = documents(shared_server, "chat/completions", messages=CHAT, **FIELDS, **options, **predicted(plain))
    completed = complete(shared_server, prompt=TEXT, **FIELDS, **predicted(plain))

    assert details(streamed[-1]) == details(completed) == details(chat(shared_server, **FIELDS, **predicted(plain)))
    assert completed["choices"][0]["text"] == plain


@pytest.mark.parametrize(
    "prediction",
    ["text", {}, {"type": "audio", "content": "a"}, {"type": "content"}, {"type": "content", "content": 5}],
    ids=str,
)
def test_predictions_that_cannot_be_used_are_refused(shared_server: Server, prediction: Any) -> None:
    body = {"messages": CHAT, "prediction": prediction}
    assert refusal(shared_server, "chat/completions", body)["param"] == "prediction"


def test_a_lost_prediction_is_caught(shared_server: Server, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunPreparer, "predicting", lambda preparer, prepared, text: prepared)

    assert details(chat(shared_server, **FIELDS, **predicted(plain)))[0] <= 25
