"""This program as a target of itself: `--target openai:…` at the API, which is served speculatively."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.engine import speculate
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.server.api import logprobs
from speculatoviz.session.session import Session
from speculatoviz.targets.hosted.address import parse
from speculatoviz.targets.hosted.open import EndpointSettings, open_endpoint
from speculatoviz.targets.hosted.target import HostedTarget
from speculatoviz.targets.loop import LoopThread
from support.api_client import TEXT, complete, refusal
from support.hosted import looped
from support.live_server import Server
from support.toy_pair import model_drafter, no_clock

MODEL = ToyModel(0, ALPHABET)
PROMPT = tuple(MODEL.tokenizer.encode(TEXT, special=False))


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with looped() as thread:
        yield thread


@contextmanager
def opened(server: Server, loop: LoopThread, mode: str = "auto") -> Iterator[HostedTarget]:
    address = parse(f"openai:http://127.0.0.1:{server.port}/v1#toy-0", None, {})
    with closing(open_endpoint(EndpointSettings(address, mode), MODEL.tokenizer, loop, no_clock)) as target:
        yield target


def emitted(target: HostedTarget, **fields: Any) -> list[int]:
    """The tokens of one run at the endpoint, drafted here."""
    drafter = model_drafter(ToyModel(0, ALPHABET, mix=(7, 0.5)), MODEL)
    asked = replace(Request(PROMPT, Sampling(0.0), Limits(20, MODEL.tokenizer.eos_ids), evidence=False), **fields)
    steps = speculate(asked, target, {drafter.name: drafter}, FixedPolicy(drafter.name, 3), seeded(1), no_clock)
    return [token for step in steps if isinstance(step, Round) for token in step.emitted]


def test_everything_that_a_probe_asks_for_is_found(shared_server: Server, loop: LoopThread) -> None:
    with opened(shared_server, loop) as target:
        found = dict(target.about().findings)

    assert found["prompts of token ids"] == "yes"
    assert found["several prompts in one call"] == "yes"
    assert found["several draws in one call"] == "yes"
    assert found["top_k and min_p"] == "min_p, top_k"
    assert found["scores of given tokens"] == "yes"
    assert found["scores belong to their own places"] == "yes"
    assert found["scores are raw (equal at two temperatures)"] == "yes"
    assert found["context"] == "512"


@pytest.mark.parametrize("mode", ["auto", "match", "generate"])
def test_greedy_text_drafted_elsewhere_is_that_of_the_api(shared_server: Server, loop: LoopThread, mode: str) -> None:
    own = complete(shared_server, temperature=0, max_tokens=20, return_token_ids=True)["choices"][0]["token_ids"]

    with opened(shared_server, loop, mode) as target:
        assert emitted(target) == own
        assert list(target.stream(Request(PROMPT, Sampling(0.0), Limits(20, MODEL.tokenizer.eos_ids)))) == own


def test_a_server_of_a_remote_target_answers_alike_and_scores_no_prompt(
    shared_server: Server, serve: Callable[..., Server], tmp_path: Path
) -> None:
    target = f"openai:http://127.0.0.1:{shared_server.port}#toy-0"
    settings = Settings(_env_file=None, target=target, draft="toy:0~7", cache_dir=str(tmp_path))
    server = serve(settings=settings, load=lambda report: Session.load(settings, time.perf_counter, report))
    server.wait_until("ready")
    fields = {"temperature": 0, "max_tokens": 12, "logprobs": 1, "speculation": {"k": 3}}
    near, far = (complete(each, **fields) for each in (shared_server, server))

    assert far["choices"][0]["text"] == near["choices"][0]["text"]
    assert far["usage"]["speculation"]["drafted"] > 0
    assert far["choices"][0]["logprobs"]["tokens"] == near["choices"][0]["logprobs"]["tokens"]
    error = refusal(server, "completions", {"prompt": TEXT, "echo": True, "logprobs": 1})
    assert "remote" in error["message"]
    assert complete(server, **fields | {"echo": True, "logprobs": None})["choices"][0]["text"].startswith(TEXT)


def test_scores_of_another_place_are_found_out(
    shared_server: Server, loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = logprobs.TokenNames.completion

    def shifted(self: logprobs.TokenNames, tokens: Any, count: int, offset: int) -> Any:
        later = [
            replace(token, logprob=other.logprob) for token, other in zip(tokens, [*tokens[1:], tokens[0]], strict=True)
        ]
        return honest(self, later, count, offset)

    monkeypatch.setattr(logprobs.TokenNames, "completion", shifted)

    with opened(shared_server, loop) as target:
        found = dict(target.about().findings)
    assert found["scores belong to their own places"] != "yes"
