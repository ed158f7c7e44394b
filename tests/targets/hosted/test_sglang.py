"""SGLang's `/generate`, against a stand-in: no server of it can be run on a small machine."""

from __future__ import annotations

import pytest

from speculatoviz.core.types import Sampling
from speculatoviz.models.base import Tokenizer
from speculatoviz.targets.hosted.api import Api
from speculatoviz.targets.hosted.choice import Abilities as Can
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.sglang import SglangApi
from speculatoviz.targets.hosted.tokens import Reader
from support.hosted import hosted, looped, p_value, rounds, stand_in
from support.toy_pair import PROMPT, pair, request, sequence_probs

CAN = Can(tokens=True, scores=True, raw=True, top_n=20, suffix_only=True)
SIGNIFICANCE = 1e-4
RUNS = 600


def sglang(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
    return SglangApi(endpoint, Reader(tokenizer), "http://toy")


def measured(sampling: Sampling, mode: str, **switches: object) -> float:
    with looped() as loop:
        return p_value(hosted(stand_in(**switches), sglang, loop, mode, CAN), sampling, RUNS)


@pytest.mark.parametrize(
    ("mode", "sampling"),
    [
        ("scores", Sampling(0.0)),
        ("scores", Sampling(1.0)),
        ("scores", Sampling(0.7, top_k=2)),
        ("match", Sampling(0.7)),
        ("match", Sampling(0.8, top_k=4, top_p=0.9, min_p=0.1)),
    ],
    ids=str,
)
def test_it_is_exact(mode: str, sampling: Sampling) -> None:
    assert measured(sampling, mode) > SIGNIFICANCE


def test_scores_one_place_late_are_caught() -> None:
    assert measured(Sampling(1.0), "scores", shifted=True) < SIGNIFICANCE


def test_only_the_places_of_the_draft_are_asked_for() -> None:
    served = stand_in()
    with looped() as loop:
        run = next(rounds(hosted(served, sglang, loop, "scores", CAN), Sampling(1.0), 1))
    asked = served.requests[0]

    assert asked["logprob_start_len"] == len(PROMPT) - 1
    assert set(asked["sampling_params"]) >= {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"}
    assert run[0].verdict.usage is not None
    assert run[0].verdict.usage.prompt_tokens is not None


def test_plain_decoding_streams_ids() -> None:
    model = pair(letters=3)[0]
    asked = request(Sampling(0.0), 3, model)
    with looped() as loop:
        ids = tuple(hosted(stand_in(), sglang, loop, "match", CAN).stream(asked))

    assert ids in sequence_probs(model, asked)
