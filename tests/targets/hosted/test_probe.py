"""What a probe finds of an endpoint with abilities switched off, and what follows from it."""

from __future__ import annotations

import pytest

from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import UNKNOWN
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.targets.hosted.address import parse
from speculatoviz.targets.hosted.target import HostedTarget
from support.hosted import looped, opened, p_value, rounds, stand_in
from support.toy_pair import pair, request, sequence_probs

SIGNIFICANCE = 1e-4
KEY = "csk-secret-0987654321"


def findings(target: HostedTarget) -> dict[str, str]:
    return dict(target.about().findings)


def test_an_endpoint_that_can_everything_is_found_to() -> None:
    with looped() as loop:
        found = findings(opened(stand_in(), loop))

    assert found["prompts of token ids"] == "yes"
    assert found["several prompts in one call"] == "yes"
    assert found["several draws in one call"] == "yes"
    assert found["scores of given tokens"] == "yes"
    assert found["scores belong to their own places"] == "yes"
    assert found["scores are raw (equal at two temperatures)"] == "yes"
    assert found["top_k and min_p"] == "min_p, top_k"
    assert found["context"] == "256"


@pytest.mark.parametrize(
    ("switches", "question", "answer"),
    [
        ({"token_prompts": False}, "prompts of token ids", "no"),
        ({"arrays": False}, "several prompts in one call", "no"),
        ({"several": False}, "several draws in one call", "no"),
        ({"echo": False}, "scores of given tokens", "no (http://toy/v1 answered HTTP 400: echo is not supported.)"),
        ({"raw": False}, "scores are raw (equal at two temperatures)", "no"),
        ({"shifted": True}, "scores belong to their own places", "no"),
        ({"filters": False}, "top_k and min_p", "no"),
        ({"unknown_fields": False, "ids": "tokens"}, "top_k and min_p", "no"),
        ({"max_model_len": None}, "context", "unknown"),
    ],
)
def test_what_it_cannot_do_is_found_out(switches: dict[str, object], question: str, answer: str) -> None:
    with looped() as loop:
        assert findings(opened(stand_in(**switches), loop))[question] == answer


@pytest.mark.parametrize(
    "switches",
    [
        {"echo": False},
        {"shifted": True},
        {"raw": False},
        {"token_prompts": False, "ids": None},
        {"unknown_fields": False, "ids": "tokens"},
        {"arrays": False, "several": False, "echo": False},
    ],
    ids=str,
)
def test_whatever_it_can_do_what_it_is_used_for_is_exact(switches: dict[str, object]) -> None:
    with looped() as loop:
        assert p_value(opened(stand_in(**switches), loop), Sampling(1.0), 400) > SIGNIFICANCE


@pytest.mark.parametrize("name", ["openai:http://toy/v1#toy", "vllm:http://toy", "sglang:http://toy"])
def test_every_scheme_verifies_exactly_and_streams(name: str) -> None:
    model = pair(letters=3)[0]
    asked = request(Sampling(0.0), 3, model)
    with looped() as loop:
        target = opened(stand_in(), loop, name)

        assert p_value(target, Sampling(1.0), 300) > SIGNIFICANCE
        assert tuple(target.stream(asked)) in sequence_probs(model, asked)
        assert target.context_tokens == 256
        assert target.description.name == "toy"
        assert "remote" in target.description.runtime


def test_the_full_form_measures() -> None:
    with looped() as loop:
        found = findings(opened(stand_in(), loop, full=True))

    assert found["round trip"].startswith("0.0 ms")
    assert "cached: 0 of" in found["prefix cache"]


def test_an_unknown_model_gets_the_known_names() -> None:
    with looped() as loop, pytest.raises(TargetError) as refused:
        opened(stand_in(), loop, "openai:http://toy/v1#other")

    assert "no model 'other'" in refused.value.message
    assert refused.value.hint == "Name one of: toy."


@pytest.mark.parametrize("scheme", ["vllm", "openai"])
def test_another_tokenizer_is_refused(scheme: str) -> None:
    other = ToyModel(1, (b"b", b"c", b"a")).tokenizer
    with looped() as loop, pytest.raises(TargetError) as refused:
        opened(stand_in(), loop, f"{scheme}:http://toy/v1", tokenizer=other)

    assert "tokenizer" in refused.value.message
    assert "same family" in refused.value.hint


def test_a_free_tier_is_warned_of_before_a_run() -> None:
    served = stand_in()
    served.headers = {"x-ratelimit-limit-requests-minute": "5", "x-ratelimit-remaining-requests-minute": "4"}
    with looped() as loop:
        target = opened(served, loop)
        about = target.about()

    assert target.description.quantisation == UNKNOWN
    assert about.warning is not None
    assert "5 requests a minute" in about.warning
    assert about.rate_limit == "5 requests per minute (4 left)"


def test_cerebras_takes_its_key_and_its_model_from_the_environment() -> None:
    environ = {"CEREBRAS_API_KEY": KEY, "CEREBRAS_TARGET_MODEL": "gpt-oss-120b"}
    address = parse("cerebras:", None, environ)

    assert (address.url, address.model) == ("https://api.cerebras.ai/v1", "gpt-oss-120b")
    assert address.credentials is not None
    assert address.credentials.authorization == f"Bearer {KEY}"
    assert parse("cerebras:other", None, environ).model == "other"
    with pytest.raises(TargetError, match="Set CEREBRAS_API_KEY"):
        parse("cerebras:other", None, {})


def test_an_endpoint_like_cerebras_is_matched_with_ids_of_its_own_kind() -> None:
    """No vendor fields but its own, no echo, a key, times and limits."""
    served = stand_in(unknown_fields=False, ids="tokens", echo=False, key=KEY, time_info=True)
    with looped() as loop:
        target = opened(served, loop, key=KEY)
        run = next(rounds(target, Sampling(1.0), 1))

        assert target.about().mode == "match"
        assert run[0].verdict.network_ms == 0.0
        assert KEY not in repr(target.about())
    assert all(body["max_tokens"] == 1 and body.get("return_raw_tokens") for body in served.requests[3:])


def test_a_refused_key_ends_the_probe() -> None:
    with looped() as loop, pytest.raises(TargetError, match="refuses the key") as refused:
        opened(stand_in(key=KEY), loop, key="wrong-key-123456")

    assert "wrong-key" not in str(refused.value)


@pytest.mark.parametrize("name", ["gpt:x", "openai:", "vllm:localhost:8000"])
def test_names_that_are_no_addresses_are_refused_in_words(name: str) -> None:
    with pytest.raises(TargetError) as refused:
        parse(name, None, {})

    assert refused.value.hint
