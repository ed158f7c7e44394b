"""Verification behind vLLM: `prompt_logprobs` over token ids scores a draft in one request.

vLLM does not return the row behind the last prompt token as a prompt score: the request draws one token there, which
is the bonus. Prompt scores are raw whatever the sampling, keyed by id, and told for the whole prompt; the prefix
cache is not read while they are computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

from speculatoviz.core.types import Limits, Sampling
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.models.base import Message, Tokenizer
from speculatoviz.targets.hosted.endpoint import Bill, Endpoint, Json
from speculatoviz.targets.hosted.modes import Said
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi, choices
from speculatoviz.targets.hosted.reading import Reader, shown
from speculatoviz.targets.hosted.target import HostedTarget

DIALECT = Dialect(
    extra={"return_token_ids": True, "return_tokens_as_token_ids": True, "repetition_penalty": 1.0, "min_tokens": 0},
    filters=frozenset({"top_k", "min_p"}),
    logprobs=None,
    top_n=20,
)

PROBING_TEXT = "Ünïcödé, 中文 and 👍🏽:\n\tfor i in range(10): x += 'abc'  # 3.14159\r\n"
PROBING_CHAT: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hello."},
)


class VllmApi(OpenAIApi):
    """`modes.Api` over vLLM's /completions."""

    def __init__(self, endpoint: Endpoint, model: str, tokenizer: Tokenizer, top_n: int = 20) -> None:
        dialect = Dialect(DIALECT.extra, DIALECT.filters, top_n=top_n)
        super().__init__(endpoint, model, Reader(tokenizer), dialect)

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, bill: Bill
    ) -> tuple[list[Said], Said]:
        fields = {**self.fields(sampling), "max_tokens": 1, "prompt": list(ids), "logprobs": top}
        if start < len(ids):  # else there is nothing to score, and the prefix cache can be read
            fields["prompt_logprobs"] = top
        answer = await self.endpoint.complete(self.model, fields)
        bill.add([answer])
        (choice,) = choices(answer)
        rows = choice.get("prompt_logprobs") or [None] * len(ids)
        if len(rows) != len(ids):
            raise TargetError(
                f"The endpoint scored {len(rows)} tokens, and {len(ids)} were sent.", "Choose the mode match."
            )
        scored = [scored_row(token, row, top) for token, row in zip(ids[start:], rows[start:], strict=True)]
        return scored, self.reader.drawn(choice)

    async def stream(self, prompt: Sequence[int], sampling: Sampling, limits: Limits) -> AsyncIterator[int]:
        """With `ignore_eos` vLLM goes on behind an end token and leaves its probability alone."""
        fields = {**self.fields(sampling), "max_tokens": limits.max_tokens, "ignore_eos": limits.ignore_eos}
        async for chunk in self.endpoint.stream(self.model, {**fields, "prompt": list(prompt)}):
            for token in self.reader.streamed(chunk) or ():
                yield token


class VllmTarget(HostedTarget):
    """A target behind a vLLM server."""


def scored_row(token: int, row: Json | None, top: int) -> Said:
    """A token of the prompt and its `top` alternatives by rank; it comes along itself where it is not among them."""
    if row is None or str(token) not in row:
        raise TargetError("The endpoint left out scores that it was asked for.", "Choose the mode match.")
    told = {int(name): float(entry["logprob"]) for name, entry in sorted(row.items(), key=lambda e: int(e[1]["rank"]))}
    ranked = tuple((t, logprob) for t, logprob in told.items() if t != token or len(told) <= top)
    return Said(token, told[token], ranked)


async def check_tokenizer(endpoint: Endpoint, root: str, model: str, tokenizer: Tokenizer) -> None:
    """Compare our ids with the endpoint's, of a text and of a rendered chat. Raises TargetError where they differ."""
    for text, ours in probing_texts(tokenizer):
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        answer = await endpoint.post(f"{root}/tokenize", body)
        theirs = [int(token) for token in answer.body.get("tokens", ())]
        if theirs != ours:
            raise _differ(theirs, ours, tokenizer)


def probing_texts(tokenizer: Tokenizer) -> Iterator[tuple[str, list[int]]]:
    """Texts with our ids: a text, and a chat if the template renders one. A toy reads its own letters alone."""
    try:
        ids = tokenizer.encode(PROBING_TEXT, special=True)
    except BadRequestError:
        text = b"".join(entry.piece for entry in tokenizer.entries() if not entry.control).decode(errors="ignore")
        yield text, tokenizer.encode(text, special=True)
        return
    yield PROBING_TEXT, ids
    for chat in (PROBING_CHAT, PROBING_CHAT[1:]):  # templates may refuse a system message
        with contextlib.suppress(BadRequestError):
            rendered = tokenizer.render_chat(chat)
            yield rendered, tokenizer.encode(rendered, special=True)
            return


def _differ(theirs: Sequence[int], ours: Sequence[int], tokenizer: Tokenizer) -> TargetError:
    place = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    return TargetError(
        f"The endpoint's tokenizer is not the one at hand: behind {shown(ours[:place], tokenizer)[-20:]!r} it reads "
        f"{list(theirs[place : place + 3])} and ours {list(ours[place : place + 3])}.",
        "Name a local model of the same family as the endpoint's.",
    )
