"""Verification behind any OpenAI-compatible `/completions`: sample-and-match, and scores where `echo` gives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

from speculatoviz.core.types import Limits, Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Message
from speculatoviz.targets.hosted.endpoint import Answer, Bill, Endpoint, Json
from speculatoviz.targets.hosted.modes import RAW, UNKNOWN, Said
from speculatoviz.targets.hosted.reading import Reader, TextStream, places
from speculatoviz.targets.hosted.target import HostedTarget


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one endpoint wants to be asked, as a probe found it.

    extra: further fields of every call that it takes, such as those that bring ids back. filters: which of top_k and
    min_p it takes. arrays: several prompts in one call. logprobs: to be asked for in every call because ids come with
    them; None sends none. drawn: whether `n` gives several draws. chat: it has /chat/completions only.
    """

    extra: Mapping[str, object] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()
    arrays: bool = True
    logprobs: int | None = None
    top_n: int = 0
    drawn: bool = True
    chat: bool = False


class OpenAIApi:
    """`modes.Api` over /completions. messages: the conversation, for endpoints that have chats only."""

    def __init__(self, endpoint: Endpoint, model: str, reader: Reader, dialect: Dialect) -> None:
        self.endpoint, self.model, self.reader, self.dialect = endpoint, model, reader, dialect
        self.messages: Sequence[Message] | None = None

    async def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, top: int, bill: Bill) -> list[Said]:
        fields = {**self.fields(sampling), "max_tokens": 1, **self._logprobs(top)}
        sent = [self.reader.prompt(ids) for ids in prompts]
        if self.dialect.arrays and len(sent) > 1:
            answers = [await self.endpoint.complete(self.model, {**fields, "prompt": sent})]
        else:  # no seed goes with them: each call draws for itself
            calls = [self.endpoint.complete(self.model, {**fields, "prompt": prompt}) for prompt in sent]
            answers = await together(calls)
        bill.add(answers)
        self._check_read(prompts, answers)
        drawn = [self.reader.drawn(choice) for answer in answers for choice in choices(answer)]
        return exactly(drawn, len(prompts))

    async def draws(self, prompt: Sequence[int], count: int, bill: Bill) -> list[Said]:
        body = {**self.fields(RAW), "max_tokens": 1, "prompt": self.reader.prompt(prompt), "logprobs": 1}
        if self.dialect.drawn:
            answers = [await self.endpoint.complete(self.model, {**body, "n": count})]
        else:
            answers = await together([self.endpoint.complete(self.model, body) for _ in range(count)])
        bill.add(answers)
        return [self.reader.drawn(choice) for answer in answers for choice in choices(answer)]

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, bill: Bill
    ) -> tuple[list[Said], Said]:
        fields = {**self.fields(sampling), "max_tokens": 1, "echo": True, "logprobs": max(1, top)}
        answer = await self.endpoint.complete(self.model, {**fields, "prompt": self.reader.prompt(ids)})
        bill.add([answer])
        self._check_read([ids], [answer])
        (choice,) = choices(answer)
        return echoed(choice, ids, start, self.reader)

    async def stream(self, prompt: Sequence[int], sampling: Sampling, limits: Limits) -> AsyncIterator[int]:
        fields: dict[str, object] = {**self.fields(sampling), "max_tokens": limits.max_tokens}
        if self.dialect.chat:
            fields["messages"] = self._conversation(prompt)
        else:
            fields |= {"prompt": self._loose_prompt(prompt), **self._logprobs(0)}
        text, last, ended = TextStream(self.reader.tokenizer), -1, False
        async for chunk in self.endpoint.stream(self.model, fields):
            ids = self.reader.streamed(chunk)
            for token in text.push(text_of(chunk)) if ids is None else ids:
                last = token
                yield token
            ended = ended or any(c.get("finish_reason") == "stop" for c in chunk.get("choices") or ())
        for token in text.finish():
            last = token
            yield token
        if ended and last not in self.reader.tokenizer.eos_ids:
            yield self.reader.ended()

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        return self.reader.readable(ids, draft)

    def fields(self, sampling: Sampling) -> dict[str, object]:
        """Every sampling field, off ones too: what is left out is filled from the model's own settings."""
        lacking = [name for name in ("top_k", "min_p") if getattr(sampling, name) and name not in self.dialect.filters]
        if lacking:
            raise TargetError(
                f"This endpoint has no {' and no '.join(lacking)}.",
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

    def _logprobs(self, top: int) -> dict[str, object]:
        wanted = max(min(top, self.dialect.top_n), self.dialect.logprobs or 0)
        return {"logprobs": wanted} if wanted else {}

    def _check_read(self, prompts: Sequence[Sequence[int]], answers: Sequence[Answer]) -> None:
        """An endpoint that was sent text says how many tokens it read: it must be ours."""
        told = [answer.usage.prompt_tokens for answer in answers]
        if not self.reader.as_text or None in told:
            return
        sent, read = sum(len(ids) for ids in prompts), sum(n for n in told if n is not None)
        if sent != read:
            raise TargetError(
                f"The endpoint read {read} tokens where {sent} were meant: its tokenizer is another.",
                "Name a local model with the endpoint's tokenizer, or choose the mode generate.",
            )

    def _loose_prompt(self, ids: Sequence[int]) -> list[int] | str:
        """Where nothing is claimed of what is generated, text need not read back."""
        return list(ids) if not self.reader.as_text else self.reader.text(ids) or ""

    def _conversation(self, prompt: Sequence[int]) -> Sequence[Message]:
        return self.messages or [{"role": "user", "content": self.reader.text(prompt) or ""}]


class OpenAITarget(HostedTarget):
    """A target behind an OpenAI-compatible endpoint."""


async def together(calls: Sequence[Coroutine[None, None, Answer]]) -> list[Answer]:
    """The answers of calls made side by side; one that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except* TargetError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def choices(answer: Answer) -> list[Json]:
    """In the order of the prompts."""
    return sorted(answer.body.get("choices") or (), key=lambda choice: int(choice.get("index", 0)))


def exactly(drawn: list[Said], count: int) -> list[Said]:
    if len(drawn) != count:
        raise TargetError(f"The endpoint answered {len(drawn)} of {count} prompts.", "Probe it again: it has changed.")
    return drawn


def text_of(chunk: Json) -> str:
    """The text that a chunk of a stream brings, be it a completion's or a chat's."""
    parts = []
    for choice in chunk.get("choices") or ():
        parts.append(choice.get("text") or (choice.get("delta") or {}).get("content") or "")
    return "".join(parts)


def echoed(choice: Json, ids: Sequence[int], start: int, reader: Reader) -> tuple[list[Said], Said]:
    """What is told of ids[start:] in a choice that echoes its prompt, and the token behind it.

    What is named must be what was sent. llama-cpp-python leaves out its beginning token wherever it stands, and an
    end; where a prompt does not begin with that token, it names places wrongly, and tells none behind the prompt.
    """
    told = places(choice, reader)
    count = len(ids) - start
    without_first = (list(ids[1:]), [token for token in ids if token != ids[0]])
    ended = choice.get("finish_reason") == "stop"
    for read in (list(ids), *without_first):
        for behind in (1, 0) if len(read) < len(ids) else (1,):
            given = told[: len(told) - behind]
            if _same(given, read) and read[len(read) - count :] == list(ids[start:]):
                scored = [
                    said._replace(token=t) for said, t in zip(given[len(given) - count :], ids[start:], strict=True)
                ]
                left_out = Said(reader.ended() if ended else ids[0])
                return scored, _behind(choice, told[-1], ids, reader) if behind else left_out
    raise TargetError(
        "The endpoint does not score the tokens it was sent." if told else "The endpoint echoes nothing.",
        "Choose the mode match.",
    )


def _same(told: Sequence[Said], ids: Sequence[int]) -> bool:
    return len(told) == len(ids) and all(s.token in {UNKNOWN, token} for s, token in zip(told, ids, strict=True))


def _behind(choice: Json, said: Said, ids: Sequence[int], reader: Reader) -> Said:
    """The token behind an echoed prompt, where its text does not tell."""
    if said.token != UNKNOWN:
        return said
    text = str(choice.get("text") or "").removeprefix(reader.text(ids) or "")
    return reader.drawn({**choice, "token_ids": (choice.get("token_ids") or [])[-1:], "text": text, "logprobs": None})
