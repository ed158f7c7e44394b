"""The OpenAI Python SDK, which nobody here wrote, against the real server."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest
from pydantic import SecretStr as Secret

from support.api_client import CHAT, FIXED, MODEL, TEXT, sdk
from support.live_server import Server, Toys

KEY = "a-key"
BODY = {"speculation": FIXED}


def test_models_are_listed(shared_server: Server) -> None:
    (model,) = sdk(shared_server).models.list()

    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "speculatoviz")
    extra = model.model_extra or {}
    assert (extra["max_model_len"], extra["root"], extra["parent"]) == (512, MODEL, None)  # as vLLM's clients read it
    assert sdk(shared_server).models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError):
        sdk(shared_server).models.retrieve("org/gpt-9")


def test_a_chat_is_answered_and_streamed_alike(shared_server: Server) -> None:
    client = sdk(shared_server)
    whole = client.chat.completions.create(
        model=MODEL,
        messages=CHAT,
        temperature=0.8,
        seed=5,
        extra_body=BODY,
    )
    stream = client.chat.completions.create(
        model=MODEL,
        messages=CHAT,
        temperature=0.8,
        seed=5,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=BODY,
    )
    chunks = list(stream)

    assert whole.object == "chat.completion"
    assert whole.choices[0].message.role == "assistant"
    assert whole.choices[0].message.content
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == whole.choices[0].finish_reason
    assert set(reasons[:-1]) == {None}
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert whole.usage.prompt_tokens == len(TEXT)


def test_a_completion_is_answered_and_streamed_alike(shared_server: Server) -> None:
    client = sdk(shared_server)
    whole = client.completions.create(model=MODEL, prompt=TEXT, temperature=0, logprobs=2, extra_body=BODY)
    chunks = list(
        client.completions.create(model=MODEL, prompt=TEXT, temperature=0, logprobs=2, stream=True, extra_body=BODY)
    )

    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert whole.choices[0].logprobs is not None
    streamed = [chunk.choices[0].logprobs for chunk in chunks]
    joined = [token for scores in streamed if scores is not None for token in scores.tokens or []]
    assert joined == whole.choices[0].logprobs.tokens
    offsets = [offset for scores in streamed if scores is not None for offset in scores.text_offset or []]
    assert offsets == whole.choices[0].logprobs.text_offset == list(range(len(joined)))


def test_the_model_has_the_name_of_the_target_too(shared_server: Server) -> None:
    for name in (MODEL, "toy:0"):
        answer = sdk(shared_server).completions.create(model=name, prompt=TEXT, max_tokens=2)
        assert answer.model == MODEL


def test_errors_are_those_of_the_sdk(shared_server: Server) -> None:
    client = sdk(shared_server)
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt=TEXT, best_of=2)
    assert (refused.value.param, refused.value.code) == ("best_of", "unsupported_parameter")
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="gpt-9", prompt=TEXT)
    assert MODEL in str(unknown.value)


def test_the_key_of_the_server_is_the_key_of_the_sdk(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(settings=toys.settings.model_copy(update={"api_key": Secret(KEY)}))
    server.wait_until("ready", Authorization=f"Bearer {KEY}")

    assert sdk(server, KEY).completions.create(model=MODEL, prompt=TEXT, max_tokens=2).choices[0].text
    with pytest.raises(openai.AuthenticationError) as refused:
        sdk(server, "another").models.list()
    assert refused.value.code == "invalid_api_key"
    assert KEY not in str(refused.value)


def test_an_error_in_a_stream_is_raised_by_the_sdk(server: Server, toys: Toys) -> None:
    toys.target.failing = RuntimeError("no memory")
    stream = sdk(server).completions.create(model=MODEL, prompt="another text", stream=True)
    with pytest.raises(openai.APIError) as failed:
        list(stream)

    assert "no memory" in str(failed.value)
    assert sdk(server).completions.create(model=MODEL, prompt=TEXT).choices[0].text
