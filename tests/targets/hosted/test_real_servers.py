"""Real servers of other projects: what they answer is what the targets expect, and the result is theirs."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round, Verdict
from speculatoviz.core.types import Draft, Limits, Request, Sampling, Support
from speculatoviz.engine import speculate
from speculatoviz.errors import TargetError
from speculatoviz.models.tokenizers.llamacpp import VocabularyFile
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.hosted import modes
from speculatoviz.targets.hosted.address import parse
from speculatoviz.targets.hosted.api import UNKNOWN_TOKEN, Api
from speculatoviz.targets.hosted.modes import Verification
from speculatoviz.targets.hosted.open import EndpointSettings, open_endpoint
from speculatoviz.targets.hosted.openai import OpenAIApi
from speculatoviz.targets.hosted.target import HostedTarget
from speculatoviz.targets.hosted.usage import CallUsage
from speculatoviz.targets.loop import LoopThread
from support.goodness import goodness_of_fit
from support.hosted import looped
from support.real_servers import lacking, llama_cpp_python, llama_server
from support.toy_pair import FixedDrafter

pytestmark = pytest.mark.smol
SIGNIFICANCE = 1e-4
OTHERS = -2  # stands for all tokens whose probability is not known
# Keeps three tokens that their text identifies. The fourth is far less probable: kernels do not exchange it with these.
NARROW = Sampling(1.0, top_k=3)
CHAT = "<|im_start|>user\nCount: one, two, one, two, one, two<|im_end|>\n<|im_start|>assistant\n"
ASK = "<|im_start|>user\nName a color.<|im_end|>\n<|im_start|>assistant\n"
NO_LLAMA_SERVER = lacking("xllamacpp")
NO_LLAMA_CPP_PYTHON = lacking("starlette_context", "sse_starlette")


@pytest.fixture(scope="module")
def tokenizer(smol_path: Path) -> VocabularyFile:
    return VocabularyFile(smol_path)


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with looped() as thread:
        yield thread


@pytest.fixture(scope="module")
def vllm() -> str:
    url = os.environ.get("SPECULATOVIZ_TEST_VLLM")
    if not url:
        pytest.skip(
            "no vLLM server: set SPECULATOVIZ_TEST_VLLM to the address of one that serves SmolLM2-135M-Instruct"
        )
    return f"vllm:{url}"


@pytest.fixture(scope="module")
def llama(smol_path: Path) -> Iterator[str]:
    if NO_LLAMA_SERVER:
        pytest.skip(f"no llama.cpp server: {NO_LLAMA_SERVER}")
    with llama_server(smol_path) as url:
        yield f"openai:{url}/v1"


@pytest.fixture(scope="module")
def llama_python(smol_path: Path) -> Iterator[str]:
    if NO_LLAMA_CPP_PYTHON:
        pytest.skip(f"no llama-cpp-python server: {NO_LLAMA_CPP_PYTHON}")
    with llama_cpp_python(smol_path) as url:
        yield f"openai:{url}/v1"


@contextmanager
def opened(name: str, tokenizer: VocabularyFile, loop: LoopThread) -> Iterator[HostedTarget]:
    target = open_endpoint(EndpointSettings(parse(name, None, {})), tokenizer, loop, time.perf_counter)
    yield target
    target.close()


class Oracle(FixedDrafter):
    """Proposes what follows in a known text, with an error at every third place."""

    def __init__(self, prompt: int, text: list[int]) -> None:
        self._prompt, self._text = prompt, [t + 1 if i % 3 == 2 else t for i, t in enumerate(text)]

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        done = len(prefix) - self._prompt
        return Draft.chain(round, self._text[done : done + plan.depth], (), self.name)


def asked(tokenizer: VocabularyFile, text: str, tokens: int, sampling: Sampling) -> Request:
    prompt = tuple(tokenizer.encode(text, special=True))
    return Request(prompt, sampling, Limits(tokens, stop_ids=tokenizer.eos_ids), evidence=False)


def check_greedy(target: HostedTarget, request: Request, mode: str) -> None:
    """The text of rounds is that of the endpoint's own greedy stream, where drafts are right and where they are not."""
    target._probed = replace(target._probed, mode=mode)
    own = list(target.stream(request))
    drafter = Oracle(len(request.prompt), own)
    policy = FixedPolicy(drafter.name, 3)
    steps = speculate(request, target, {drafter.name: drafter}, policy, seeded(1), time.perf_counter)
    rounds = [step for step in steps if isinstance(step, Round)]

    emitted = [token for r in rounds for token in r.emitted]
    if emitted != own:
        check_tie(target, request, emitted, own)
    assert sum(r.accepted for r in rounds) > 0
    assert any(check.status == "rejected" for r in rounds for check in r.verdict.checks)
    assert all(r.verdict.exactness == "exact" for r in rounds)
    assert all(r.verdict.usage is not None and r.verdict.usage.calls >= 1 for r in rounds)


def check_tie(target: HostedTarget, request: Request, emitted: list[int], own: list[int]) -> None:
    """Quantised kernels depend on the batch: two tokens that are nearly as probable may change places."""
    api = target._probed.api
    assert isinstance(api, OpenAIApi)
    place = next(i for i, (a, b) in enumerate(zip(emitted, own, strict=False)) if a != b)
    api.dialect = replace(api.dialect, top_n=5)
    prefix = [*request.prompt, *own[:place]]
    (drawn,) = target._loop.call(lambda: api.sample([prefix], Sampling(0.0), 5, CallUsage()))
    scores = drawn.known()
    assert abs(scores[emitted[place]] - scores[own[place]]) < 0.5


def check_sampled(target: HostedTarget, loop: LoopThread, request: Request, runs: int, strategy: str) -> None:
    """First emitted tokens at temperature 1 against the probabilities that the same server returns, with a draft."""
    api: Api = target._probed.api
    prefix = list(request.prompt)
    probs = loop.call(lambda: first_probs(api, prefix, request.sampling))
    likely = np.sort(np.array(sorted(probs, key=lambda t: -probs[t])[:4], np.int32))
    q = Support(likely, np.full(len(likely), 1 / len(likely)))

    async def run(seed: int) -> Verdict:
        source = seeded(seed)
        token = int(q.ids[source("draft", 0).draw(q.probs, 0)])
        draft = Draft.chain(0, [token], (q if strategy == "thinned" else None,), "test")
        n_vocab = target.tokenizer.n_vocab
        given = Verification(prefix, draft, request.sampling, source("verify", 0), CallUsage(), n_vocab)
        return await (modes.thinned(api, given) if strategy == "thinned" else modes.match(api, given))

    async def all_runs() -> list[Verdict]:
        some = asyncio.Semaphore(16)

        async def one(seed: int) -> Verdict:
            async with some:
                return await run(seed)

        return list(await asyncio.gather(*(one(seed) for seed in range(runs))))

    verdicts = loop.call(all_runs)
    firsts = Counter(v.checks[0].token if v.path else v.extra.token for v in verdicts)
    others = Counter({token if token in probs else OTHERS: count for token, count in firsts.items()})
    assert any(v.path for v in verdicts)
    assert any(not v.path for v in verdicts)
    assert goodness_of_fit(others, probs) > SIGNIFICANCE


async def first_probs(api: Api, prefix: list[int], sampling: Sampling) -> dict[int, float]:
    """p of the tokens after a prefix: of those that top-k keeps, or of 20 and all others together."""
    (place,) = await api.sample([prefix], Sampling(1.0), 20, CallUsage())
    assert UNKNOWN_TOKEN not in dict(place.top[: sampling.top_k]), "choose a smaller top-k: these tokens share a text"
    probs = {token: float(np.exp(logprob)) for token, logprob in place.top[: sampling.top_k or None]}
    total = sum(probs.values())
    if sampling.top_k:
        return {token: prob / total for token, prob in probs.items()}
    return {**probs, OTHERS: 1.0 - total}


@pytest.fixture(scope="module")
def vllm_target(vllm: str, tokenizer: VocabularyFile, loop: LoopThread) -> Iterator[HostedTarget]:
    with opened(vllm, tokenizer, loop) as target:
        yield target


@pytest.fixture(scope="module")
def llama_target(llama: str, tokenizer: VocabularyFile, loop: LoopThread) -> Iterator[HostedTarget]:
    with opened(llama, tokenizer, loop) as target:
        yield target


@pytest.fixture(scope="module")
def llama_python_target(llama_python: str, tokenizer: VocabularyFile, loop: LoopThread) -> Iterator[HostedTarget]:
    with opened(llama_python, tokenizer, loop) as target:
        yield target


@pytest.mark.parametrize("mode", ["scores", "match"])
def test_vllm_greedy(mode: str, vllm_target: HostedTarget, tokenizer: VocabularyFile) -> None:
    check_greedy(vllm_target, asked(tokenizer, CHAT, 10, Sampling(0.0)), mode)


@pytest.mark.parametrize("strategy", ["thinned", "match"])
def test_vllm_sampled(strategy: str, vllm_target: HostedTarget, tokenizer: VocabularyFile, loop: LoopThread) -> None:
    check_sampled(vllm_target, loop, asked(tokenizer, ASK, 1, Sampling(1.0)), 24, strategy)


@pytest.mark.full
@pytest.mark.parametrize("strategy", ["thinned", "match"])
def test_vllm_sampled_often(
    strategy: str, vllm_target: HostedTarget, tokenizer: VocabularyFile, loop: LoopThread
) -> None:
    check_sampled(vllm_target, loop, asked(tokenizer, ASK, 1, Sampling(1.0)), 400, strategy)


def test_another_tokenizer_is_taken_for_what_it_is(vllm: str, loop: LoopThread, cache_dir: Path) -> None:
    file = cache_dir / "models" / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    if not file.is_file():
        pytest.skip("the Qwen weights are not here")
    with (
        pytest.raises(TargetError, match="tokenizer is not the one at hand"),
        opened(vllm, VocabularyFile(file), loop),
    ):
        pass


def test_llama_server_greedy(llama_target: HostedTarget, tokenizer: VocabularyFile) -> None:
    check_greedy(llama_target, asked(tokenizer, CHAT, 8, Sampling(0.0)), "auto")


def test_llama_server_is_found_to_score_nothing(llama_target: HostedTarget, tokenizer: VocabularyFile) -> None:
    exactness = llama_target.begin(asked(tokenizer, ASK, 1, Sampling(0.7, top_p=0.9)))
    about = llama_target.about()

    assert (about.mode, exactness.label) == ("match", "exact")
    assert dict(about.findings)["scores of given tokens"].startswith("no")
    assert llama_target.context_tokens == 2048


@pytest.mark.full
def test_llama_server_sampled(llama_target: HostedTarget, tokenizer: VocabularyFile, loop: LoopThread) -> None:
    api = llama_target._probed.api
    assert isinstance(api, OpenAIApi)
    api.dialect = replace(api.dialect, top_n=20)
    check_sampled(llama_target, loop, asked(tokenizer, ASK, 1, NARROW), 150, "match")


@pytest.mark.parametrize("mode", ["match", "thinning"])
def test_llama_cpp_python_greedy(mode: str, llama_python_target: HostedTarget, tokenizer: VocabularyFile) -> None:
    """It takes text only: what is sent is checked to read back as our tokens, every round."""
    check_greedy(llama_python_target, asked(tokenizer, CHAT, 6, Sampling(0.0)), mode)


@pytest.mark.full
def test_llama_cpp_python_sampled(
    llama_python_target: HostedTarget, tokenizer: VocabularyFile, loop: LoopThread
) -> None:
    api = llama_python_target._probed.api
    assert isinstance(api, OpenAIApi)
    api.dialect = replace(api.dialect, top_n=20)
    check_sampled(llama_python_target, loop, asked(tokenizer, ASK, 1, NARROW), 100, "match")
