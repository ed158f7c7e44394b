"""The calls of vLLM's `/completions`: ids in and out, and scores of the prompt's tokens by id.

`prompt_logprobs` are raw, ranked, and keyed by id. Asking for them computes the whole prefix again, since the prefix
cache holds no scores. The row after the last token of the prompt is not part of them: that of the drawn token is.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

from speculatoviz.core.types import Request, Sampling
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.models.base import LocalTokenizer, Message, Tokenizer
from speculatoviz.targets.hosted.answers import Completion, Tokenized, prompt_row
from speculatoviz.targets.hosted.api import ScoredToken
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.usage import CallUsage

USUAL_TOP_N = 20  # the most alternatives that vLLM returns unless its operator allows more

PROBE_TEXT = "Ünïcödé, 中文 and 👍🏽:\n\tfor i in range(10): x += 'abc'  # 3.14159\r\n"
PROBE_CHAT: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hello."},
)


def dialect(top_n: int = USUAL_TOP_N) -> Dialect:
    """vLLM takes token ids and returns them, and applies every filter."""
    return Dialect(
        extra={
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "repetition_penalty": 1.0,
            "min_tokens": 0,
        },
        filters=frozenset({"top_k", "min_p"}),
        top_n=top_n,
    )


class VllmApi(OpenAIApi):
    """`Api` over vLLM's /completions."""

    def __init__(self, endpoint: Endpoint, model: str, tokenizer: Tokenizer, top_n: int = USUAL_TOP_N) -> None:
        super().__init__(endpoint, model, Reader(tokenizer), dialect(top_n))

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, usage: CallUsage
    ) -> tuple[list[ScoredToken], ScoredToken]:
        fields = {**self.fields(sampling), "max_tokens": 1, "prompt": list(ids), "logprobs": top}
        if start < len(ids):  # else there is nothing to score, and the prefix cache can be read
            fields["prompt_logprobs"] = top
        answer = await self.endpoint.complete(self.model, fields)
        usage.add([answer])
        (choice,) = answer.body.ordered(1)
        rows = choice.prompt_logprobs
        if start < len(ids) and len(rows) != len(ids):
            raise TargetError(
                f"The endpoint returned scores of {len(rows)} tokens, and {len(ids)} were sent.",
                "Choose the mode match.",
            )
        scored = [scored_row(token, row) for token, row in zip(ids[start:], rows[start : len(ids)], strict=True)]
        return scored, self.reader.drawn(choice)

    async def stream(self, request: Request) -> AsyncIterator[int]:
        """With `ignore_eos` vLLM goes on after an end token and does not change its probability."""
        fields = {
            "model": self.model,
            **self.fields(request.sampling),
            "max_tokens": request.limits.max_tokens,
            "ignore_eos": request.limits.ignore_eos,
            "prompt": list(request.prompt),
        }
        async for chunk in self.endpoint.stream("/completions", fields, Completion):
            for token in self.reader.streamed(chunk.choices) or ():
                yield token


def scored_row(token: int, row: object) -> ScoredToken:
    """One row of `prompt_logprobs`: a token of the prompt, and the alternatives of rank 1, 2, ... without a gap.

    The token's own entry is in the row even if its rank is below that of the alternatives. Raises TargetError without
    it. A row with further entries is not understood, and its alternatives are left out.
    """
    entries = prompt_row(row)
    own = entries[token].logprob if token in entries else None
    if own is None:
        raise TargetError("The endpoint left out scores that it was asked for.", "Choose the mode match.")
    scores = {entry.rank: (other, entry.logprob) for other, entry in entries.items() if other != token}
    scores.setdefault(entries[token].rank, (token, own))
    top = list[tuple[int, float]]()
    while (score := scores.get(len(top) + 1)) is not None and score[1] is not None:
        top.append((score[0], score[1]))
    others = set(entries) - {other for other, _ in top} - {token}
    return ScoredToken(token, own, () if others else tuple(top))


async def check_tokenizer(endpoint: Endpoint, root: str, model: str, tokenizer: LocalTokenizer) -> None:
    """Compare our ids with the endpoint's, of a text and of a rendered chat. Raises TargetError if they differ."""
    for text, ours in probe_texts(tokenizer):
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        answer = await endpoint.post(f"{root}/tokenize", body, Tokenized)
        theirs = answer.body.tokens
        if theirs is None:
            raise TargetError(
                f"{root}/tokenize returned no list of token ids.", "Check that the URL is that of a vLLM server."
            )
        if list(theirs) != ours:
            raise _other_tokenizer(theirs, ours, tokenizer)


def probe_texts(tokenizer: LocalTokenizer) -> Iterator[tuple[str, list[int]]]:
    """Texts with our ids: a text, and a chat if the template renders one; for a toy, a text of all its tokens."""
    try:
        ids = tokenizer.encode(PROBE_TEXT, special=True)
    except BadRequestError:
        text = b"".join(entry.piece for entry in tokenizer.entries() if not entry.control).decode(errors="ignore")
        yield text, tokenizer.encode(text, special=True)
        return
    yield PROBE_TEXT, ids
    for chat in (PROBE_CHAT, PROBE_CHAT[1:]):  # templates may refuse a system message
        with contextlib.suppress(BadRequestError):
            rendered = tokenizer.render_chat(chat)
            yield rendered, tokenizer.encode(rendered, special=True)
            return


def _other_tokenizer(theirs: Sequence[int], ours: Sequence[int], tokenizer: Tokenizer) -> TargetError:
    place = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    before = b"".join(tokenizer.token_bytes(token) for token in ours[:place]).decode(errors="backslashreplace")[-20:]
    return TargetError(
        f"The endpoint has another tokenizer than the one here: after {before!r} its ids are "
        f"{list(theirs[place : place + 3])} and ours {list(ours[place : place + 3])}.",
        "Name a local model of the same family as the endpoint's (--target-tokenizer).",
    )
