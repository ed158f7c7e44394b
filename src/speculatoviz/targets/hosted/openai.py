"""The calls of any OpenAI-compatible `/completions`: samples, and scores where `echo` returns them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

from speculatoviz.core.types import Request, Sampling
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.answers import Choice, Completion
from speculatoviz.targets.hosted.api import RAW, UNKNOWN_TOKEN, ScoredToken
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.tokens import Reader, TextStream
from speculatoviz.targets.hosted.usage import Answer, CallUsage


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which fields one endpoint takes, as a probe found out.

    extra: additional fields of every call, such as those that make it return ids. filters: which of top_k and min_p it
    applies. arrays: whether a call can have several prompts. logprobs: the least number of alternatives to ask for in
    every call, where ids come with them; None asks for none. top_n: the largest number that it returns. several_draws:
    whether `n` returns several draws. chat: whether it has /chat/completions only.
    """

    extra: Mapping[str, object] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()
    arrays: bool = True
    logprobs: int | None = None
    top_n: int = 0
    several_draws: bool = True
    chat: bool = False


class OpenAIApi:
    """`Api` over /completions."""

    def __init__(self, endpoint: Endpoint, model: str, reader: Reader, dialect: Dialect) -> None:
        self.endpoint, self.model, self.reader, self.dialect = endpoint, model, reader, dialect

    async def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, top: int, usage: CallUsage
    ) -> list[ScoredToken]:
        fields = {**self.fields(sampling), "max_tokens": 1, **self.logprobs(top)}
        sent = [self.reader.prompt(ids) for ids in prompts]
        if self.dialect.arrays and len(sent) > 1:
            answers = [await self.endpoint.complete(self.model, {**fields, "prompt": sent})]
        else:  # without a seed each call draws independently
            answers = await together(
                [self.endpoint.complete(self.model, {**fields, "prompt": prompt}) for prompt in sent]
            )
        usage.add(answers)
        self._check_length(prompts, answers)
        return [self.reader.drawn(choice) for choice in _choices(answers, len(prompts))]

    async def draws(self, prompt: Sequence[int], count: int, usage: CallUsage) -> list[ScoredToken]:
        body = {**self.fields(RAW), "max_tokens": 1, "prompt": self.reader.prompt(prompt), "logprobs": 1}
        if self.dialect.several_draws:
            answers = [await self.endpoint.complete(self.model, {**body, "n": count})]
        else:
            answers = await together([self.endpoint.complete(self.model, body) for _ in range(count)])
        usage.add(answers)
        return [self.reader.drawn(choice) for choice in _choices(answers, count)]

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, usage: CallUsage
    ) -> tuple[list[ScoredToken], ScoredToken]:
        fields = {**self.fields(sampling), "max_tokens": 1, "echo": True, "logprobs": max(1, top)}
        answer = await self.endpoint.complete(self.model, {**fields, "prompt": self.reader.prompt(ids)})
        usage.add([answer])
        self._check_length([ids], [answer])
        (choice,) = answer.body.ordered(1)
        return echoed(choice, ids, start, self.reader)

    async def stream(self, request: Request) -> AsyncIterator[int]:
        fields: dict[str, object] = {
            "model": self.model,
            **self.fields(request.sampling),
            "max_tokens": request.limits.max_tokens,
        }
        if self.dialect.chat:
            path, fields = "/chat/completions", {**fields, "messages": messages(request)}
        else:
            path, fields = "/completions", {**fields, "prompt": self._any_prompt(request.prompt), **self.logprobs(0)}
        text, last, ended = TextStream(self.reader.tokenizer), UNKNOWN_TOKEN, False
        async for chunk in self.endpoint.stream(path, fields, Completion):
            ids = self.reader.streamed(chunk.choices)
            for token in text.push(text_of(chunk)) if ids is None else ids:
                last = token
                yield token
            ended = ended or any(choice.ended for choice in chunk.choices)
        for token in text.finish():
            last = token
            yield token
        if ended and last not in self.reader.tokenizer.eos_ids:
            yield self.reader.end_token()

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        return self.reader.readable(ids, draft)

    def fields(self, sampling: Sampling) -> dict[str, object]:
        """All sampling fields, those that are off included: a missing one is filled from the model's own settings."""
        lacking = [name for name in ("top_k", "min_p") if getattr(sampling, name) and name not in self.dialect.filters]
        if lacking:
            raise TargetError(
                f"This endpoint does not apply {' and '.join(lacking)}.",
                "Leave that filter off, or choose another endpoint.",
            )
        standard = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }
        filters = {name: getattr(sampling, name) for name in self.dialect.filters}
        return {**self.dialect.extra, **standard, **filters}

    def logprobs(self, top: int) -> dict[str, object]:
        wanted = max(min(top, self.dialect.top_n), self.dialect.logprobs or 0)
        return {"logprobs": wanted} if wanted else {}

    def _check_length(self, prompts: Sequence[Sequence[int]], answers: Sequence[Answer[Completion]]) -> None:
        """An endpoint that was sent text reports how many tokens it read: it must be the number that was meant."""
        reported = [answer.usage.prompt_tokens for answer in answers]
        if not self.reader.as_text or None in reported:
            return
        sent, read = sum(len(ids) for ids in prompts), sum(count for count in reported if count is not None)
        if sent != read:
            raise TargetError(
                f"The endpoint read {read} tokens where {sent} were meant: it has another tokenizer.",
                "Name a local model with the endpoint's tokenizer, or choose the mode generate.",
            )

    def _any_prompt(self, ids: Sequence[int]) -> list[int] | str:
        """For plain decoding: text that is tokenized otherwise is good enough."""
        return list(ids) if not self.reader.as_text else self.reader.text(ids) or ""


def messages(request: Request) -> list[dict[str, str]]:
    """The conversation of a request, as /chat/completions takes it. Raises TargetError for a text that is none."""
    if not request.conversation:
        raise TargetError(
            "This endpoint answers chats only, and the prompt is a text that is not part of a chat.",
            "Send the prompt without --raw, or choose an endpoint that has /completions.",
        )
    return [{"role": role, "content": content} for role, content in request.conversation]


async def together(calls: Sequence[Coroutine[None, None, Answer[Completion]]]) -> list[Answer[Completion]]:
    """The answers of calls that are made at the same time; one that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except* TargetError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def text_of(chunk: Completion) -> str:
    """The text in a chunk of a stream, be it of a completion or of a chat."""
    return "".join(choice.text or choice.delta.content or "" for choice in chunk.choices)


def _choices(answers: Sequence[Answer[Completion]], count: int) -> list[Choice]:
    """`count` choices in order: of one call, or of `count` calls with one each."""
    each = count if len(answers) == 1 else 1
    return [choice for answer in answers for choice in answer.body.ordered(each)]


def echoed(choice: Choice, ids: Sequence[int], start: int, reader: Reader) -> tuple[list[ScoredToken], ScoredToken]:
    """The scores of ids[start:] in a choice that echoes its prompt, and the token after the prompt.

    The echoed tokens must be those that were sent. llama-cpp-python leaves out its beginning token wherever it stands,
    and an end token; if a prompt does not begin with that token, its places are wrong, and it returns no token after
    the prompt. Raises TargetError if the scores do not belong to `ids`.
    """
    scored = reader.scored(choice.logprobs)
    count = len(ids) - start
    without_first = (list(ids[1:]), [token for token in ids if token != ids[0]])
    for read in (list(ids), *without_first):
        for after in (1, 0) if len(read) < len(ids) else (1,):
            given = scored[: len(scored) - after]
            if _same(given, read) and read[len(read) - count :] == list(ids[start:]):
                own = given[len(given) - count :]
                places = [place._replace(token=token) for place, token in zip(own, ids[start:], strict=True)]
                if after:
                    return places, _after_prompt(choice, scored[-1], ids, reader)
                return places, ScoredToken(reader.end_token() if choice.ended else ids[0])
    raise TargetError(
        "The endpoint does not score the tokens that it was sent." if scored else "The endpoint echoes no prompt.",
        "Choose the mode match.",
    )


def _same(scored: Sequence[ScoredToken], ids: Sequence[int]) -> bool:
    return len(scored) == len(ids) and all(
        s.token in {UNKNOWN_TOKEN, token} for s, token in zip(scored, ids, strict=True)
    )


def _after_prompt(choice: Choice, scored: ScoredToken, ids: Sequence[int], reader: Reader) -> ScoredToken:
    """The token after an echoed prompt, where its own name does not identify it."""
    if scored.token != UNKNOWN_TOKEN:
        reader.known_id(scored.token)
        return scored
    text = (choice.text or "").removeprefix(reader.text(ids) or "")
    return reader.drawn(Choice(text=text, finish_reason=choice.finish_reason, token_ids=choice.ids[-1:]))
