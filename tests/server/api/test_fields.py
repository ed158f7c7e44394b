"""Every field of a request: what it changes, and which values are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from speculatoviz.core.types import Penalties
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from support.api_client import CHAT, FIXED, TEXT, Json, chat, complete, documents, only, refusal
from support.live_server import Server
from support.penalties import penalised

GREEDY: Json = {"temperature": 0, "speculation": FIXED}
LONG: Json = GREEDY | {"ignore_eos": True, "max_tokens": 30}
EPSILON = 1e-9


def scores_after(prefix: list[int]) -> list[float]:
    """The toy's log-probabilities after a prefix, without a cache."""
    logits = ToyModel(0, ALPHABET).logits(prefix)
    return list((logits - np.logaddexp.reduce(logits)).tolist())


END = "<end>"  # the name of the end token, which adds no text


def ids_of(text: str) -> list[int]:
    return [ALPHABET.index(character.encode()) for character in text]


def ids_named(tokens: list[str]) -> list[int]:
    return [len(ALPHABET) if token == END else ids_of(token)[0] for token in tokens]


def shown(tokens: list[str]) -> str:
    return "".join(token for token in tokens if token != END)


# ---- prompts and messages ----


@pytest.mark.parametrize("prompt", [[TEXT], ids_of(TEXT), [ids_of(TEXT)]], ids=["list", "ids", "list of ids"])
def test_a_prompt_is_a_text_or_ids_or_a_list_of_one(shared_server: Server, prompt: Any) -> None:
    assert only(complete(shared_server, prompt=prompt, **LONG)) == only(complete(shared_server, **LONG))


def test_several_prompts_have_a_choice_each(shared_server: Server) -> None:
    both = complete(shared_server, prompt=[TEXT, "another"], n=2, **LONG)
    alone = [only(complete(shared_server, prompt=prompt, **LONG))["text"] for prompt in (TEXT, "another")]

    assert [choice["text"] for choice in both["choices"]] == [alone[0], alone[0], alone[1], alone[1]]
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    assert both["usage"]["prompt_tokens"] == len(TEXT) + len("another")
    assert both["usage"]["completion_tokens"] == 4 * 30


def test_messages_are_texts_or_text_parts(shared_server: Server) -> None:
    parts = [{"type": "text", "text": "once upon"}, {"type": "text", "text": " a time"}]
    joined = [{"role": "user", "content": "once upon\n a time"}]

    of_parts = chat(shared_server, messages=[{"role": "user", "content": parts}], **LONG)
    assert only(of_parts) == only(chat(shared_server, messages=joined, **LONG))


def test_a_developer_message_is_a_system_message(shared_server: Server) -> None:
    answers = [
        only(chat(shared_server, messages=[{"role": role, "content": "be kind"}, *CHAT], **LONG))
        for role in ("developer", "system")
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": {}},
        {"prompt": []},
        {"prompt": [[]]},
        {"prompt": [1, "a"]},
        {"prompt": [1.5]},
        {"prompt": [True]},
        {"prompt": ["a"] * 129},
        {"prompt": None},
        {},
        {"prompt": ""},
        {"prompt": [29]},
        {"prompt": [-1]},
        {"prompt": "a" * 600},
        {"prompt": "ÄÖ"},
        {"prompt": "\ud800"},
    ],
    ids=lambda body: str(body)[:24],
)
def test_prompts_that_cannot_be_used_are_refused(shared_server: Server, body: Json) -> None:
    refusal(shared_server, "completions", body)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "a",
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 5}],
        [{"role": "function", "content": "a"}],
        [{"role": "<|user|>", "content": "a"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}],
        [{"role": "user", "content": [{"type": "text"}]}],
        [{"role": "user", "content": ["a"]}],
    ],
    ids=lambda messages: str(messages)[:40],
)
def test_messages_that_cannot_be_used_are_refused(shared_server: Server, messages: Any) -> None:
    assert refusal(shared_server, "chat/completions", {"messages": messages})["param"] == "messages"


# ---- lengths and ends ----


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_length_is_limited_and_reported(shared_server: Server, field: str) -> None:
    answer = chat(shared_server, **GREEDY | {"ignore_eos": True, field: 7})

    assert (answer["usage"]["completion_tokens"], only(answer)["finish_reason"]) == (7, "length")
    assert answer["usage"]["total_tokens"] == len(TEXT) + 7


def test_max_completion_tokens_comes_first(shared_server: Server) -> None:
    answer = chat(shared_server, max_tokens=9, max_completion_tokens=4, ignore_eos=True)

    assert answer["usage"]["completion_tokens"] == 4


def test_the_servers_own_length_is_the_default(shared_server: Server) -> None:
    assert complete(shared_server, ignore_eos=True)["usage"]["completion_tokens"] == 24


def test_the_context_ends_a_text_as_a_length_does(shared_server: Server) -> None:
    answer = complete(shared_server, prompt="a" * 500, max_tokens=100, ignore_eos=True, **GREEDY)

    assert (only(answer)["finish_reason"], answer["usage"]["total_tokens"]) == ("length", 512)


@pytest.mark.parametrize("several", [False, True])
def test_a_stop_string_ends_the_text_before_it(shared_server: Server, several: bool) -> None:
    whole = only(complete(shared_server, **LONG))["text"]
    stop = whole[10:12]
    choice = only(complete(shared_server, stop=["never there", stop] if several else stop, **LONG))

    assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def test_an_end_token_ends_the_text(shared_server: Server) -> None:
    sampled = {"temperature": 1.5, "max_tokens": 200, "speculation": FIXED}
    ended = [complete(shared_server, seed=seed, **sampled) for seed in range(8)]

    stopped = [answer for answer in ended if only(answer)["finish_reason"] == "stop"]
    assert stopped
    assert all(answer["usage"]["completion_tokens"] == len(only(answer)["text"]) + 1 for answer in stopped)


# ---- sampling ----


def texts_of_seeds(server: Server, **fields: Any) -> set[str]:
    return {only(complete(server, seed=s, max_tokens=3, ignore_eos=True, **fields))["text"] for s in range(12)}


def test_temperature_samples_and_zero_does_not(shared_server: Server) -> None:
    assert len(texts_of_seeds(shared_server, temperature=0)) == 1
    assert len(texts_of_seeds(shared_server, temperature=1)) > 4


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 0.05}, {"min_p": 1.0}], ids=str)
def test_filters_narrow_the_sampling(shared_server: Server, narrow: Json) -> None:
    assert len(texts_of_seeds(shared_server, temperature=1.5, **narrow)) == 1


def test_a_negative_top_k_is_off(shared_server: Server) -> None:
    fields: Json = {"temperature": 1, "seed": 5, "speculation": FIXED}

    assert only(complete(shared_server, top_k=-1, **fields)) == only(complete(shared_server, top_k=0, **fields))


def test_without_a_seed_each_request_has_its_own(shared_server: Server) -> None:
    fields: Json = {"temperature": 1, "speculation": FIXED, "max_tokens": 20, "ignore_eos": True}
    answers = [complete(shared_server, **fields) for _ in range(3)]
    seeds = {answer["usage"]["speculation"]["seed"] for answer in answers}

    assert len(seeds) == 3
    for answer in answers:
        seed = answer["usage"]["speculation"]["seed"]
        assert only(complete(shared_server, seed=seed, **fields)) == only(answer)


def test_choices_are_the_runs_of_the_following_seeds(shared_server: Server) -> None:
    fields: Json = {"temperature": 1, "speculation": FIXED, "max_tokens": 20, "ignore_eos": True}
    together = chat(shared_server, n=3, seed=40, **fields)
    alone = [only(chat(shared_server, seed=40 + i, **fields))["message"] for i in range(3)]

    assert [choice["message"] for choice in together["choices"]] == alone
    assert len({choice["message"]["content"] for choice in together["choices"]}) == 3
    assert together["usage"]["prompt_tokens"] == len(TEXT)
    assert together["usage"]["completion_tokens"] == 60


# ---- log-probabilities ----


def test_logprobs_are_the_targets_own(shared_server: Server) -> None:
    fields: Json = {"temperature": 1.2, "top_k": 5, "seed": 8, "ignore_eos": True, "speculation": FIXED}
    choice = only(complete(shared_server, logprobs=12, **fields))
    scores, prefix = choice["logprobs"], ids_of(TEXT)

    assert shown(scores["tokens"]) == choice["text"]
    for token, own, top in zip(scores["tokens"], scores["token_logprobs"], scores["top_logprobs"], strict=True):
        truth = scores_after(prefix)
        best = sorted(truth, reverse=True)[:12]
        (token_id,) = ids_named([token])
        assert math.isclose(own, truth[token_id], rel_tol=EPSILON)
        assert np.allclose(list(top.values())[:12], best, rtol=EPSILON)
        assert top[token] == own
        prefix.append(token_id)


def test_a_chat_has_logprobs_with_bytes(shared_server: Server) -> None:
    fields: Json = {"temperature": 0, "speculation": FIXED}
    choice = only(chat(shared_server, logprobs=True, top_logprobs=3, **fields))
    content = choice["logprobs"]["content"]
    written = bytes(byte for token in content for byte in token["bytes"] or [])

    assert written.decode() == choice["message"]["content"]
    assert all(len(token["top_logprobs"]) == 3 for token in content)
    assert all(token["top_logprobs"][0]["logprob"] == token["logprob"] for token in content)
    without = only(chat(shared_server, logprobs=True, **fields))["logprobs"]["content"]
    assert [token["logprob"] for token in without] == [token["logprob"] for token in content]
    assert all(token["top_logprobs"] == [] for token in without)
    assert only(chat(shared_server, **fields))["logprobs"] is None


def test_logprobs_of_a_stream_are_those_of_an_answer(shared_server: Server) -> None:
    fields: Json = {"messages": CHAT, "logprobs": True, "top_logprobs": 2, "return_token_ids": True, **LONG}
    parts = [only(document) for document in documents(shared_server, "chat/completions", **fields)]
    whole = only(chat(shared_server, **fields))

    scores = [token for part in parts if part["logprobs"] for token in part["logprobs"]["content"]]
    assert scores == whole["logprobs"]["content"]
    assert [token for part in parts for token in part.get("token_ids", [])] == whole["token_ids"]


def test_tokens_are_named_by_id_if_asked(shared_server: Server) -> None:
    fields = LONG | {"logprobs": 1}
    choice = only(complete(shared_server, return_tokens_as_token_ids=True, return_token_ids=True, **fields))

    assert choice["logprobs"]["tokens"] == [f"token_id:{token}" for token in choice["token_ids"]]
    named = only(complete(shared_server, **fields))["logprobs"]["tokens"]
    assert choice["token_ids"] == ids_named(named)
    assert choice["prompt_token_ids"] == ids_of(TEXT)
    assert "token_ids" not in only(complete(shared_server, **fields))


# ---- echo ----


@pytest.mark.parametrize("prompt", [TEXT, ids_of(TEXT), "a" * 150], ids=["text", "ids", "long"])
def test_echo_scores_every_token_of_the_prompt(shared_server: Server, prompt: Any) -> None:
    text = TEXT if isinstance(prompt, list) else prompt
    plain = only(complete(shared_server, prompt=prompt, **LONG))
    choice = only(complete(shared_server, prompt=prompt, echo=True, logprobs=2, **LONG))
    scores, ids = choice["logprobs"], ids_of(text)

    assert choice["text"] == text + plain["text"]
    assert shown(scores["tokens"]) == choice["text"]
    places = [i for i, token in zip(scores["text_offset"], scores["tokens"], strict=True) if token != END]
    assert places == list(range(len(choice["text"])))
    assert (scores["token_logprobs"][0], scores["top_logprobs"][0]) == (None, None)
    truth = [scores_after(ids[:place])[ids[place]] for place in range(1, len(ids))]
    assert np.allclose(scores["token_logprobs"][1 : len(ids)], truth, rtol=EPSILON)


def test_echo_without_logprobs_repeats_the_text(shared_server: Server) -> None:
    whole = only(complete(shared_server, echo=True, **LONG))
    streamed = documents(shared_server, "completions", prompt=TEXT, echo=True, **LONG)

    assert (whole["text"][: len(TEXT)], whole["logprobs"]) == (TEXT, None)
    assert "".join(only(document)["text"] for document in streamed) == whole["text"]


def test_echo_alone_generates_nothing(shared_server: Server) -> None:
    answer = complete(shared_server, echo=True, logprobs=1, max_tokens=0)

    assert (only(answer)["text"], only(answer)["finish_reason"]) == (TEXT, "length")
    assert answer["usage"]["completion_tokens"] == 0
    assert len(only(answer)["logprobs"]["tokens"]) == len(TEXT)


# ---- penalties and biases ----

PENALTIES: dict[str, tuple[Json, Penalties]] = {
    "presence": ({"presence_penalty": 1.5}, Penalties(presence=1.5)),
    "frequency": ({"frequency_penalty": -0.7}, Penalties(frequency=-0.7)),
    "repetition": ({"repetition_penalty": 1.8}, Penalties(repetition=1.8)),
    "of the last tokens": ({"repeat_penalty": 1.8, "repeat_last_n": 3}, Penalties(repetition=1.8, last_n=3)),
    "of the last 64": ({"repeat_penalty": 1.8}, Penalties(repetition=1.8, last_n=64)),
    "of all tokens": ({"repeat_penalty": 1.8, "repeat_last_n": -1}, Penalties(repetition=1.8)),
    "by a neutral second name": ({"repeat_penalty": 1.0, "repetition_penalty": 1.8}, Penalties(repetition=1.8)),
    "by two neutral names": ({"repeat_penalty": 1.0, "repetition_penalty": 1.0}, Penalties()),
    "of no token": ({"repeat_penalty": 1.8, "repeat_last_n": 0}, Penalties()),
    "biases": ({"logit_bias": {"5": 2.5, "9": -100}}, Penalties(bias=((5, 2.5), (9, -100.0)))),
    "pairs": ({"logit_bias": [[5, 2.5], ["9", -100]]}, Penalties(bias=((5, 2.5), (9, -100.0)))),
    "nothing": ({"logit_bias": [], "presence_penalty": 0}, Penalties()),
    "all": (
        {"presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.2, "logit_bias": {"5": 1}},
        Penalties(0.5, 0.5, 1.2, None, ((5, 1.0),)),
    ),
}


@pytest.mark.parametrize(("fields", "penalties"), PENALTIES.values(), ids=PENALTIES.keys())
def test_the_text_is_that_of_penalised_plain_decoding(
    shared_server: Server, fields: Json, penalties: Penalties
) -> None:
    prompt, model = ids_of(TEXT), ToyModel(0, ALPHABET)
    ids = list(prompt)
    for _ in range(30):
        ids.append(int(penalised(model.logits(ids), ids, len(prompt), penalties).argmax()))
    expected = "".join(model.tokenizer.token_bytes(token).decode() for token in ids[len(prompt) :])

    for speculation in (FIXED, False):
        assert only(complete(shared_server, **LONG | fields | {"speculation": speculation}))["text"] == expected
