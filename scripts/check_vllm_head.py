"""Is a trained head accepted in vLLM as it is here? Greedy runs of the same prompts on both sides, as JSON.

    vllm serve FOLDER --served-model-name target --dtype float32 \
        --speculative-config '{"method": "eagle3", "model": "./eagle3-smol", "num_speculative_tokens": 3}'
    python scripts/check_vllm_head.py ./eagle3-smol smollm2-135m-instruct --url http://127.0.0.1:8000

The server has to serve nothing else meanwhile: its counters in /metrics are read before and after each answer. Here the
same head drafts for the target's GGUF file, both with float32 weights. Every answer has --max-tokens tokens. The first
one is not drafted: vLLM's prompt pass writes it. Answers can part at a near tie of two tokens, since kernels round
differently; only those that are equal are compared. A P-EAGLE head needs `"parallel_drafting": true` there, and nothing
here.

Ends with exit code 1 if the mean acceptance lengths differ by more than --within, or no answers are equal.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx2

from speculatoviz.config import Settings
from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import decode
from speculatoviz.heads import eagle3_published
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.lab.engines.exposition import samples
from speculatoviz.lab.questions import read_prompts
from speculatoviz.models.base import Message
from speculatoviz.models.load import Loading, load_model
from speculatoviz.models.runtime_choice import Use
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.tokenizers.chat import encode_chat
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.session.heads import published_head
from speculatoviz.targets.local import LocalTarget

CONTEXT_TOKENS = 2048


class Counts(NamedTuple):
    """drafts: rounds with a draft. accepted: of each position, tokens that were accepted."""

    drafts: int
    accepted: tuple[int, ...]

    @property
    def mean_acceptance_length(self) -> float:
        """Tokens of a round."""
        return 1 + sum(self.accepted) / max(1, self.drafts)

    def minus(self, before: Counts) -> Counts:
        """What was counted since."""
        pairs = zip_longest(self.accepted, before.accepted, fillvalue=0)
        return Counts(self.drafts - before.drafts, tuple(later - earlier for later, earlier in pairs))

    def plus(self, more: Counts) -> Counts:
        """Both together."""
        pairs = zip_longest(self.accepted, more.accepted, fillvalue=0)
        return Counts(self.drafts + more.drafts, tuple(one + other for one, other in pairs))

    @property
    def stated(self) -> dict[str, Any]:
        """For the output."""
        shares = [round(count / max(1, self.drafts), 3) for count in self.accepted]
        return {
            "mean_acceptance_length": round(self.mean_acceptance_length, 3),
            "drafts": self.drafts,
            "accepted_by_position": shares,
        }


class Server:
    """A vLLM server and the model that it serves."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=600)
        self._model = self._get("/v1/models").json()["data"][0]["id"]

    def counts(self) -> Counts:
        """Of all drafts since its start. They are counted a moment after an answer: read until they stay the same."""
        before, now = None, self._counts()
        while now != before:
            time.sleep(0.5)
            before, now = now, self._counts()
        return now

    def _counts(self) -> Counts:
        found = {
            (one.name.removeprefix("vllm:spec_decode_num_"), one.labels.get("position", "")): int(one.value)
            for one in samples(self._get("/metrics").text)
        }
        by_position = {
            int(place): value for (name, place), value in found.items() if name == "accepted_tokens_per_pos_total"
        }
        return Counts(found.get(("drafts_total", ""), 0), tuple(by_position[place] for place in sorted(by_position)))

    def answer(self, prompt: Sequence[int], tokens: int) -> list[int]:
        """The ids of a greedy answer of that many tokens."""
        body = {
            "model": self._model,
            "prompt": list(prompt),
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        answer = self._http.post("/v1/completions", json=body).raise_for_status().json()
        return list(answer["choices"][0]["token_ids"])

    def _get(self, path: str) -> httpx2.Response:
        return self._http.get(path).raise_for_status()


class Own:
    """The target and the head here."""

    def __init__(self, target: LocalTarget, drafter: Drafter, depth: int) -> None:
        self._target, self._drafter, self._depth = target, drafter, depth

    def rounds(self, prompt: Sequence[int], tokens: int) -> list[Round]:
        """Of a greedy answer, as vLLM counts: all rounds that begin before the answer has `tokens` tokens."""
        limits = Limits(tokens + self._depth + 1, ignore_eos=True)
        request = Request(tuple(prompt), Sampling(), limits, evidence=False, needs=self._drafter.needs)
        policy = FixedPolicy(self._drafter.name, self._depth, 0)
        self._target.window.keep(0)
        every = decode(request, self._target, {self._drafter.name: self._drafter}, policy, seeded(0), lambda: 0.0)
        counted, written = list[Round](), 0
        for one in every:
            if written < tokens:
                counted.append(one)
            written += len(one.emitted)
        return counted


def main() -> None:
    """Print one line of JSON."""
    arguments = _arguments()
    model = _target(arguments.target)
    prompts = _prompts(model, arguments)
    with TemporaryDirectory() as cache:
        target = LocalTarget(model, CONTEXT_TOKENS, lambda: 0.0)
        drafter = _drafter(arguments.head, model, target, Path(cache))
        server, own = Server(arguments.url), Own(target, drafter, arguments.depth)
        none = Counts(0, (0,) * arguments.depth)
        here, there, equal = none, none, 0
        for prompt in prompts:
            before = server.counts()
            theirs = server.answer(prompt, arguments.max_tokens)
            counted = server.counts().minus(before)
            rounds = own.rounds([*prompt, theirs[0]], arguments.max_tokens - 1)
            ours = [theirs[0], *(token for one in rounds for token in one.emitted)][: len(theirs)]
            found = _counts(rounds, arguments.depth)
            if ours == theirs:
                here, there, equal = here.plus(found), there.plus(counted), equal + 1
            print(json.dumps({"equal": ours == theirs, "here": found, "vllm": counted}), file=sys.stderr)
        drafter.close()
    model.close()
    difference = abs(here.mean_acceptance_length - there.mean_acceptance_length)
    result = {"prompts": len(prompts), "equal_answers": equal, "here": here.stated, "vllm": there.stated}
    print(json.dumps(result | {"difference": round(difference, 3)}))
    sys.exit(not equal or difference > arguments.within)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("head", type=Path, help="folder that `speculatoviz train eagle3` or `train p-eagle` wrote")
    parser.add_argument("target", help="the target, as a GGUF file or a name of one")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the vLLM server")
    parser.add_argument("--depth", type=int, default=3, help="num_speculative_tokens of the server")
    parser.add_argument("--prompts", type=Path, help="JSON Lines; default: the project's own")
    parser.add_argument("--per-category", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--within", type=float, default=0.03)
    return parser.parse_args()


def _target(name: str) -> LlamaCppModel:
    how = Loading(2 * CONTEXT_TOKENS, Path(Settings().cache_dir), runtime="llamacpp", use=Use(layers=True))
    model = load_model(name, how, "F32", lambda *_: None)
    assert isinstance(model, LlamaCppModel)
    return model


def _prompts(model: LlamaCppModel, arguments: argparse.Namespace) -> list[list[int]]:
    """The ids of the prompts that fit."""
    texts = [prompt.text for prompt in read_prompts(arguments.prompts, arguments.per_category)]
    every = [encode_chat(model.tokenizer, [Message(role="user", content=text)]) for text in texts]
    longest = CONTEXT_TOKENS - arguments.max_tokens - 2 * arguments.depth - 2
    return [prompt for prompt in every if len(prompt) <= longest]


def _drafter(head: Path, model: LlamaCppModel, target: LocalTarget, cache: Path) -> Drafter:
    described = HeadTarget(model.description.name, model.layer_count, model.layer_width, model.tokenizer.n_vocab)
    path = eagle3_published.converted(head, described, cache, "F32")
    settings = Settings(head=str(path), cache_dir=str(cache))
    return published_head(settings, target.window, lambda: 0.0)


def _counts(rounds: Sequence[Round], depth: int) -> Counts:
    return Counts(len(rounds), tuple(sum(one.accepted > place for one in rounds) for place in range(depth)))


if __name__ == "__main__":
    main()
