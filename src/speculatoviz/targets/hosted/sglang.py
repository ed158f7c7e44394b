"""Verification behind SGLang's native `/generate`: ids in and out, scores from `logprob_start_len` on.

Input scores are raw and told from one place before the draft, so an answer does not grow with the prefix, and the
prefix cache is used up to there. Output scores are divided by the temperature: those of the token behind a draft are
raw only where it was drawn at temperature 1. What is left out of `sampling_params` is filled from the model's own
settings, so every field is sent. Read from documentation and source; no SGLang server was at hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from speculatoviz.core.rounds import Usage
from speculatoviz.core.types import Limits, Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.targets.hosted.endpoint import Answer, Bill, Endpoint, Json
from speculatoviz.targets.hosted.modes import RAW, Said
from speculatoviz.targets.hosted.openai import exactly
from speculatoviz.targets.hosted.target import HostedTarget


class SglangApi:
    """`modes.Api` over /generate. root: the server's address, without /v1."""

    def __init__(self, endpoint: Endpoint, tokenizer: Tokenizer, root: str) -> None:
        self.endpoint, self.tokenizer, self._route = endpoint, tokenizer, f"{root}/generate"

    async def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, top: int, bill: Bill) -> list[Said]:
        del top  # told after the temperature, so they would be no raw opinion
        sent = [list(ids) for ids in prompts]
        answers = await self._generate(bill, input_ids=sent, sampling_params=parameters(sampling))
        return exactly([Said(_drawn(answer)) for answer in answers], len(prompts))

    async def draws(self, prompt: Sequence[int], count: int, bill: Bill) -> list[Said]:
        params = {**parameters(RAW), "n": count}
        answers = await self._generate(bill, input_ids=list(prompt), sampling_params=params, return_logprob=True)
        return [_behind(answer["meta_info"], _drawn(answer)) for answer in answers]

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, bill: Bill
    ) -> tuple[list[Said], Said]:
        (answer,) = await self._generate(
            bill,
            input_ids=list(ids),
            sampling_params=parameters(sampling),
            return_logprob=True,
            logprob_start_len=start - 1,
            top_logprobs_num=top,
        )
        meta, count = answer["meta_info"], len(ids) - start
        given = list(meta.get("input_token_logprobs") or ())
        tops = list(meta.get("input_top_logprobs") or [None] * len(given))
        if len(given) < count or len(tops) != len(given):
            raise TargetError(
                f"The endpoint scored {len(given)} tokens, and {count} were asked for.", "Choose the mode match."
            )
        places = zip(ids[start:], given[len(given) - count :], tops[len(tops) - count :], strict=True)
        return [_scored(token, entry, row) for token, entry, row in places], _behind(meta, _drawn(answer))

    async def stream(self, prompt: Sequence[int], sampling: Sampling, limits: Limits) -> AsyncIterator[int]:
        """Chunks hold all ids so far, or, where the server streams increments, the new ones."""
        params = {**parameters(sampling, limits.max_tokens), "ignore_eos": limits.ignore_eos}
        seen = 0
        async for chunk in self.endpoint.events(
            self._route, {"input_ids": list(prompt), "sampling_params": params, "stream": True}
        ):
            ids, done = chunk.get("output_ids") or [], int(chunk["meta_info"]["completion_tokens"])
            for token in ids[len(ids) - (done - seen) :] if done > seen else ():
                yield int(token)
            seen = done

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        del ids
        return len(draft)

    async def _generate(self, bill: Bill, **body: object) -> list[Json]:
        answer = await self.endpoint.post(self._route, body)
        answers: list[Json] = answer.body.get("items", [answer.body])
        bill.add([_billed(answer, answers)])
        return answers


class SglangTarget(HostedTarget):
    """A target behind an SGLang server."""


def parameters(sampling: Sampling, max_tokens: int = 1) -> dict[str, object]:
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k or -1,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1.0,
        "max_new_tokens": max_tokens,
        "min_new_tokens": 0,
    }


def _drawn(answer: Mapping[str, Any]) -> int:
    """The one token of an answer; an end token may be told as the reason alone."""
    if ids := answer.get("output_ids"):
        return int(ids[-1])
    reason = answer["meta_info"].get("finish_reason") or {}
    if isinstance(matched := reason.get("matched"), int):
        return matched
    raise TargetError("The endpoint does not tell the ids of its tokens.", "Update SGLang, or use openai: instead.")


def _behind(meta: Mapping[str, Any], token: int) -> Said:
    told, tops = meta.get("output_token_logprobs") or (), meta.get("output_top_logprobs") or ()
    return _scored(token, told[-1], tops[-1] if tops else None) if told else Said(token)


def _scored(token: int, entry: Sequence[Any], row: Sequence[Sequence[Any]] | None) -> Said:
    """Entries are [log-probability, id, text]."""
    if int(entry[1]) != token:
        raise TargetError("The endpoint scored other tokens than it was sent.", "Choose the mode match.")
    top = tuple((int(e[1]), float(e[0])) for e in row or ())
    return Said(token, None if entry[0] is None else float(entry[0]), top)


def _billed(answer: Answer, answers: Sequence[Json]) -> Answer:
    """SGLang tells what it took per prompt, in `meta_info`."""
    metas = [one.get("meta_info", {}) for one in answers]

    def total(name: str) -> int | None:
        told = [meta.get(name) for meta in metas]
        return None if None in told else sum(told)

    usage = Usage(
        calls=answer.usage.calls,
        prompt_tokens=total("prompt_tokens"),
        completion_tokens=total("completion_tokens"),
        cached_tokens=total("cached_tokens"),
        sent_bytes=answer.usage.sent_bytes,
        received_bytes=answer.usage.received_bytes,
    )
    took_s = [meta.get("e2e_latency") for meta in metas]
    return Answer(answer.body, usage, None if None in took_s else max(took_s) * 1000)
