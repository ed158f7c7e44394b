"""The calls of SGLang's native `/generate`: ids in and out, scores from `logprob_start_len` on.

Input scores are raw. They are asked for from one place before the draft on, so that an answer does not grow with the
prefix, and the prefix cache is used up to there. Output scores are divided by the temperature, so those of the token
after a draft are raw only if it was drawn at temperature 1. Every field of `sampling_params` is sent, because a missing
one is filled from the model's own settings. Written from SGLang's documentation and source; not run against a server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from speculatoviz.core.types import Request, Sampling
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.api import RAW, ScoredToken
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.sglang_answers import Generated, GeneratedList, MetaInfo
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.usage import CallUsage


class SglangApi:
    """`Api` over /generate. root: the server's address, without /v1."""

    def __init__(self, endpoint: Endpoint, reader: Reader, root: str) -> None:
        self.endpoint, self.reader, self._route = endpoint, reader, f"{root}/generate"

    async def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, top: int, usage: CallUsage
    ) -> list[ScoredToken]:
        """Without alternatives: their scores are divided by the temperature, and not raw."""
        del top
        sent = [list(ids) for ids in prompts]
        answers = await self._generate(usage, len(sent), input_ids=sent, sampling_params=parameters(sampling))
        return [ScoredToken(self._drawn(answer)) for answer in answers]

    async def draws(self, prompt: Sequence[int], count: int, usage: CallUsage) -> list[ScoredToken]:
        params = {**parameters(RAW), "n": count}
        answers = await self._generate(
            usage, count, input_ids=list(prompt), sampling_params=params, return_logprob=True
        )
        return [_output(answer.meta_info, self._drawn(answer)) for answer in answers]

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, usage: CallUsage
    ) -> tuple[list[ScoredToken], ScoredToken]:
        (answer,) = await self._generate(
            usage,
            1,
            input_ids=list(ids),
            sampling_params=parameters(sampling),
            return_logprob=True,
            logprob_start_len=start - 1,
            top_logprobs_num=top,
        )
        meta, count = answer.meta_info, len(ids) - start
        given, tops = meta.input_token_logprobs, meta.input_top_logprobs
        if len(given) < count:
            raise TargetError(
                f"The endpoint returned scores of {len(given)} tokens, and {count} were asked for.",
                "Choose the mode match.",
            )
        if len(tops) != len(given):
            tops = (None,) * len(given)
        places = zip(ids[start:], given[len(given) - count :], tops[len(tops) - count :], strict=True)
        return [_scored(*place) for place in places], _output(meta, self._drawn(answer))

    async def stream(self, request: Request) -> AsyncIterator[int]:
        """Chunks hold all ids so far, or, where the server streams increments, the new ones."""
        params = {
            **parameters(request.sampling, request.limits.max_tokens),
            "ignore_eos": request.limits.ignore_eos,
        }
        body = {"input_ids": list(request.prompt), "sampling_params": params}
        seen = 0
        async for chunk in self.endpoint.stream(self._route, body, Generated):
            done = chunk.meta_info.completion_tokens
            if done is None or done - seen > len(chunk.output_ids):
                raise TargetError(
                    "The endpoint's stream does not hold the ids of all its tokens.",
                    "Update SGLang, or name the endpoint as openai:URL.",
                )
            for token in chunk.output_ids[len(chunk.output_ids) - (done - seen) :] if done > seen else ():
                yield self.reader.known_id(token)
            seen = max(seen, done)

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        del ids
        return len(draft)

    async def _generate(self, usage: CallUsage, count: int, **body: object) -> tuple[Generated, ...]:
        answer = await self.endpoint.post(self._route, body, GeneratedList)
        usage.add([answer])
        if len(answer.body.items) != count:
            raise TargetError(
                f"The endpoint returned {len(answer.body.items)} answers where {count} were expected.",
                "Run `speculatoviz probe` to find out what it can do.",
            )
        return answer.body.items

    def _drawn(self, answer: Generated) -> int:
        """The one token of an answer; an end token may be named by the finish reason alone."""
        if answer.output_ids:
            return self.reader.known_id(answer.output_ids[-1])
        if (matched := answer.meta_info.finish_reason.matched) is not None:
            return self.reader.known_id(matched)
        raise TargetError(
            "The endpoint does not return the ids of its tokens.", "Update SGLang, or name the endpoint as openai:URL."
        )


def parameters(sampling: Sampling, max_tokens: int = 1) -> dict[str, object]:
    """`sampling_params` with every field."""
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


Entry = tuple[float | None, int]  # (log-probability, id)


def _output(meta: MetaInfo, token: int) -> ScoredToken:
    """The scores of the drawn token; without any where the endpoint returns none."""
    if not meta.output_token_logprobs:
        return ScoredToken(token)
    tops = meta.output_top_logprobs
    return _scored(token, meta.output_token_logprobs[-1], tops[-1] if tops else None)


def _scored(token: int, entry: Entry | None, top: Sequence[Entry] | None) -> ScoredToken:
    """A place of the answer, which must be that of `token`. Alternatives that are not all scored are left out."""
    if entry is None:
        return ScoredToken(token)
    if entry[1] != token:
        raise TargetError("The endpoint scored other tokens than it was sent.", "Choose the mode match.")
    known = tuple((other, logprob) for logprob, other in top or () if logprob is not None)
    return ScoredToken(token, entry[0], known if len(known) == len(top or ()) else ())
