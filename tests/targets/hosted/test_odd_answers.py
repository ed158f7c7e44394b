"""Answers with parts that are missing, null or of a wrong type: a right reading, or an error in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.targets.hosted.answers import Completion, ModelList
from speculatoviz.targets.hosted.api import RAW, Api, ScoredToken
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi
from speculatoviz.targets.hosted.sglang import SglangApi
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.usage import CallUsage
from speculatoviz.targets.hosted.vllm import VllmApi, check_tokenizer
from support.hosted import URL, emitted, looped, opened, stand_in
from support.odd_answers import QUIRKS, replacements
from support.toy_pair import pair, request, sequence_probs

IDS = [0, 1, 2, 0]
START = 2
GREEDY = Sampling(0.0)

# What each quirk leaves of an endpoint that has everything: how it verifies at temperature 0.
STRATEGIES = {
    "null_logprobs": "match",
    "list_logprobs": "match",
    "null_in_tops": "match",
    "empty_tops": "match",
    "no_tops": "match",
    "null_tops": "match",
    "short_tops": "match",
    "short_values": "match",
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_an_endpoint_with_a_quirk_is_verified_exactly(quirk: str) -> None:
    model = pair(letters=3)[0]
    served = stand_in()
    served.change = QUIRKS[quirk]
    with looped() as loop:
        target = opened(served, loop)
        strategy = target.strategy(request(GREEDY, 3, model))

        assert strategy == STRATEGIES.get(quirk, "greedy")
        assert {emitted(target, GREEDY)} == set(sequence_probs(model, request(GREEDY, 3, model)))


def test_a_quirk_that_begins_in_the_middle_of_a_run_ends_it_in_words() -> None:
    served = stand_in()
    with looped() as loop:
        target = opened(served, loop)
        served.change = QUIRKS["empty_tops"]
        with pytest.raises(TargetError, match="left out scores"):
            emitted(target, GREEDY)


def test_text_is_read_where_ids_are_null() -> None:
    served = stand_in(ids=None)
    served.change = QUIRKS["null_logprobs"]
    with looped() as loop:
        assert emitted(opened(served, loop), GREEDY) in sequence_probs(served.model, request(GREEDY, 3, served.model))


def test_answers_whose_order_is_unknown_are_refused() -> None:
    two = [{"index": 1, "text": "a"}, {"index": 0, "text": "b"}]

    assert [c.text for c in Completion.model_validate({"choices": two}).ordered(2)] == ["b", "a"]
    for indices in ([0, 0], [None, 0], [1, 2]):
        choices = [{"index": index, "text": "a"} for index in indices]
        with pytest.raises(TargetError, match="unknown which answer"):
            Completion.model_validate({"choices": choices}).ordered(2)
    with pytest.raises(TargetError, match="returned 2 answers where 1"):
        Completion.model_validate({"choices": two}).ordered(1)


def test_a_token_outside_the_vocabulary_is_refused() -> None:
    reader = Reader(pair(letters=3)[0].tokenizer)
    choice = Completion.model_validate({"choices": [{"token_ids": [4]}]}).choices[0]

    with pytest.raises(TargetError, match="token 4, and the vocabulary here has 4 tokens"):
        reader.drawn(choice)


def test_ids_and_scores_of_different_tokens_contradict_each_other() -> None:
    reader = Reader(pair(letters=3)[0].tokenizer)
    logprobs = {"tokens": ["token_id:1"], "token_logprobs": [-0.5], "top_logprobs": [{}]}
    choice = Completion.model_validate({"choices": [{"token_ids": [2], "logprobs": logprobs}]}).choices[0]

    with pytest.raises(TargetError, match="token 2, and scores of token 1"):
        reader.drawn(choice)


def test_zeros_without_alternatives_are_no_scores() -> None:
    """What llama.cpp reports of tokens that its own drafts proposed."""
    reader = Reader(pair(letters=3)[0].tokenizer)
    entry = {"id": 1, "token": "b", "logprob": 0.0, "top_logprobs": []}
    choice = Completion.model_validate({"choices": [{"tokens": [1], "logprobs": {"content": [entry]}}]}).choices[0]

    assert reader.drawn(choice) == ScoredToken(1)


def test_of_tokens_with_the_same_text_the_most_probable_one_counts() -> None:
    tokenizer = ToyModel(1, (b"a", b"b", b"b", b"c")).tokenizer
    logprobs = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"b": -0.5, "\ufffd": -3.0, "a": -1.0}]}
    choice = Completion.model_validate({"choices": [{"logprobs": logprobs}]}).choices[0]

    assert Reader(tokenizer).drawn(choice).top == ((-1, -0.5), (0, -1.0))


def test_lists_of_models_in_every_form() -> None:
    entry = {"id": "toy", "max_model_len": 64}

    for body in ({"data": [entry]}, [entry], {"data": [entry, {"id": None}, None, 3]}):
        assert {name: e.context_tokens for name, e in ModelList.model_validate(body).names.items()} == {"toy": 64}
    for body in ({"data": None}, {"data": {}}, None, [], "toy", {"detail": "Not Found"}):
        assert ModelList.model_validate(body).names == {}


@pytest.mark.parametrize("models", [{"object": "list", "data": None}, [{"id": "toy"}], {}, []], ids=str)
def test_a_named_model_needs_no_list_of_models(models: Any) -> None:
    served = stand_in()
    served.change = lambda answer: models if "data" in answer else answer
    with looped() as loop:
        assert opened(served, loop).description.name == "toy"


# Every part of an answer, replaced by every wrong value.

Result = tuple[list[ScoredToken], ScoredToken]
Call = Callable[[Api], Awaitable[Result]]


def vllm(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
    return VllmApi(endpoint, "toy", tokenizer)


def echoing(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
    return OpenAIApi(endpoint, "toy", Reader(tokenizer), Dialect({"return_tokens_as_token_ids": True}, top_n=3))


def sglang(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
    return SglangApi(endpoint, Reader(tokenizer), "http://toy")


async def scored(api: Api) -> Result:
    return await api.score(IDS, START, RAW, 3, CallUsage())


async def sampled(api: Api) -> Result:
    (one,) = await api.sample([IDS], RAW, 3, CallUsage())
    return [], one


async def drew(api: Api) -> Result:
    first, second = await api.draws(IDS, 2, CallUsage())
    return [first], second


class Unmoved:
    """An endpoint that gives one stored answer again and again, changed as a test wants."""

    def __init__(self, make: Callable[[Endpoint, Tokenizer], Api], call: Call) -> None:
        served, stored = stand_in(), list[Any]()
        served.change = lambda answer: stored.append(answer) or answer
        tokenizer = served.model.tokenizer
        self._call = call
        self.expected = asyncio.run(
            call(make(Endpoint(URL, transport=httpx2.ASGITransport(app=served.app())), tokenizer))
        )
        (self.answer,) = stored
        self._changed: Any = None
        transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=dumps(self._changed)))
        self._api = make(Endpoint(URL, transport=transport), tokenizer)

    async def faults(self) -> list[str]:
        """What goes wrong with any replacement."""
        found = []
        for path, wrong, changed in replacements(self.answer):
            self._changed = changed
            try:
                result = await self._call(self._api)
            except TargetError as error:
                if not (error.message and error.hint):
                    found.append(f"{path} = {wrong!r}: no words")
            except Exception as error:
                found.append(f"{path} = {wrong!r}: {error!r}")
            else:
                if not agrees(result, self.expected):
                    found.append(f"{path} = {wrong!r}: {result}")
        return found


def dumps(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


def agrees(result: Result, expected: Result) -> bool:
    """Whether every token is the right one, every score right or absent, and no alternative is passed over."""
    places, truth = [*result[0], result[1]], [*expected[0], expected[1]]
    return len(places) == len(truth) and all(
        place.token == right.token
        and place.logprob in {None, right.logprob}
        and place.top == right.top[: len(place.top)]
        for place, right in zip(places, truth, strict=True)
    )


@pytest.mark.parametrize("make", [vllm, echoing, sglang])
@pytest.mark.parametrize("call", [scored, sampled, drew])
def test_any_part_can_be_wrong(make: Callable[[Endpoint, Tokenizer], Api], call: Call) -> None:
    unmoved = Unmoved(make, call)

    assert len(list(replacements(unmoved.answer))) > 100
    assert asyncio.run(unmoved.faults()) == []


def test_a_reader_that_trusts_what_it_gets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "scored", lambda self, logprobs: [ScoredToken(self.named(n)) for n in logprobs.tokens])
    monkeypatch.setattr(Reader, "drawn", lambda self, choice: ScoredToken(choice.ids[-1]))

    assert asyncio.run(Unmoved(echoing, sampled).faults()) != []


@pytest.mark.parametrize("tokens", [None, {}, "abc", [0, None], [0, "b"]], ids=str)
def test_a_tokenizer_route_without_ids_is_said(tokens: Any) -> None:
    served = stand_in()
    served.change = lambda answer: {"tokens": tokens}
    at = Endpoint(URL, transport=httpx2.ASGITransport(app=served.app()))
    with pytest.raises(TargetError, match="no list of token ids"):
        asyncio.run(check_tokenizer(at, "http://toy", "toy", served.model.tokenizer))


@pytest.mark.parametrize("body", [b"", b"<html>hello</html>", b"[" * 100_000, b"\xff\xfe", b'{"a":'], ids=repr)
def test_an_answer_that_is_no_json_is_said(body: bytes) -> None:
    at = Endpoint(URL, transport=httpx2.MockTransport(lambda request: httpx2.Response(200, content=body)))
    with pytest.raises(TargetError, match="not JSON"):
        asyncio.run(at.complete("toy", {"prompt": [0]}))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (b"data: {\n\n", "cannot be read in the middle of a stream"),
        (b'data: {"error": {"message": "overloaded"}}\n\n', "reported an error in the middle of a stream: overloaded"),
        (b'data: {"error": [1]}\n\n', "reported an error in the middle of a stream"),
        (b"data: null\n\ndata: 3\n\ndata: []\n\ndata: [DONE]\n\n", None),
        (b"\xff\xfe\n\n", "cannot be read in the middle of a stream"),
        (b"", None),
    ],
)
def test_a_stream_of_anything_ends_in_tokens_or_in_words(events: bytes, words: str | None) -> None:
    headers = {"content-type": "text/event-stream"}
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, content=events, headers=headers))
    model = pair(letters=3)[0]
    api = OpenAIApi(Endpoint(URL, transport=answer), "toy", Reader(model.tokenizer), Dialect())

    async def ids() -> list[int]:
        return [token async for token in api.stream(request(GREEDY, 3, model))]

    if words is None:
        assert asyncio.run(ids()) == []
    else:
        with pytest.raises(TargetError, match=words):
            asyncio.run(ids())
