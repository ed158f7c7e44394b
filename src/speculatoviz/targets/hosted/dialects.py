"""Which fields an OpenAI-compatible endpoint takes, found out by calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.targets.hosted import probe
from speculatoviz.targets.hosted.choice import Abilities
from speculatoviz.targets.hosted.endpoint import Endpoint, ForbiddenError, UnusableError
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi
from speculatoviz.targets.hosted.probe import Findings
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.usage import CallUsage

BOTH = frozenset({"top_k", "min_p"})
# From the fields that some servers take to those that all take. Servers refuse unknown fields or ignore them.
FIELDS: tuple[tuple[Mapping[str, object], frozenset[str]], ...] = (
    (
        {
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "return_raw_tokens": True,
            "repetition_penalty": 1.0,
            "repeat_penalty": 1.0,
            "typical_p": 1.0,
        },
        BOTH,
    ),
    ({"return_raw_tokens": True}, frozenset()),
    ({}, frozenset()),
)


async def openai(endpoint: Endpoint, model: str, tokenizer: Tokenizer, found: Findings) -> OpenAIApi:
    """The `Api` of an endpoint, with what it can do noted. Raises TargetError if its tokens are not ours."""
    refusal: TargetError | None = None
    for as_text in (False, True):
        for extra, filters in FIELDS:
            for logprobs in (1, None):
                dialect = Dialect(extra, filters, logprobs=logprobs, top_n=1 if logprobs else 0)
                api = OpenAIApi(endpoint, model, Reader(tokenizer, as_text), dialect)
                refusal = await _refusal(api, tokenizer)
                if refusal is None:
                    return await _described(api, tokenizer, found)
    assert refusal is not None
    found.note("completions of a given prompt", f"no ({refusal.message})")
    found.can = Abilities(tokens=False, chat=True)
    chat = OpenAIApi(endpoint, model, Reader(tokenizer, True), Dialect(chat=True))
    if not await _answers_chats(chat, tokenizer):
        raise refusal
    return chat


async def _refusal(api: OpenAIApi, tokenizer: Tokenizer) -> TargetError | None:
    """Why one token cannot be drawn and read; None if it can. Raises TargetError if the endpoint cannot be used."""
    try:
        await api.sample([probe.probe_ids(tokenizer)], Sampling(0.0), 0, CallUsage())
    except (UnusableError, ForbiddenError):
        raise
    except TargetError as error:
        return error
    return None


async def _answers_chats(api: OpenAIApi, tokenizer: Tokenizer) -> bool:
    """Whether a conversation is answered at all. Raises TargetError if the endpoint cannot be used."""
    text = api.reader.text(probe.probe_ids(tokenizer, 4)) or probe.TEXT
    request = Request((0,), Sampling(0.0), Limits(1), conversation=(("user", text),))
    try:
        async for _token in api.stream(request):
            pass
    except (UnusableError, ForbiddenError):
        raise
    except TargetError:
        return False
    return True


async def _described(api: OpenAIApi, tokenizer: Tokenizer, found: Findings) -> OpenAIApi:
    reader = api.reader
    found.note("prompts of token ids", not reader.as_text)
    found.can = Abilities(tokens=True, from_text=reader.as_text)
    if reader.as_text:
        found.note("prompts of text that is tokenized to our tokens", "checked every round")
    await _compare_tokens(api, tokenizer, found)
    api.dialect = replace(api.dialect, arrays=await _arrays(api, tokenizer))
    found.note("several prompts in one call", api.dialect.arrays)
    found.calls_per_round = 1.0 if api.dialect.arrays else None
    applied = await probe.filters(api, tokenizer, api.dialect.filters)
    found.note("top_k and min_p", ", ".join(sorted(applied)) or "no")
    api.dialect = replace(api.dialect, filters=applied)
    api.dialect = replace(api.dialect, several_draws=await _several_draws(api, tokenizer))
    found.note("several draws in one call", api.dialect.several_draws)
    await probe.scores(api, tokenizer, found, 5)
    return api


async def _compare_tokens(api: OpenAIApi, tokenizer: Tokenizer, found: Findings) -> None:
    """Compare the text that comes with a returned id with ours for that id. Raises TargetError if they differ."""
    ids, compared = probe.probe_ids(tokenizer, 6), 0
    for count in range(1, len(ids) + 1):
        fields = {**api.fields(Sampling(1.0)), "max_tokens": 1, **api.logprobs(1)}
        answer = await api.endpoint.complete(api.model, {**fields, "prompt": api.reader.prompt(ids[:count])})
        (choice,) = answer.body.ordered(1)
        token, text = api.reader.drawn(choice).token, choice.text or ""
        ours = tokenizer.token_bytes(token).decode(errors="replace")
        if not text or "\ufffd" in text + ours:
            continue
        if text.strip() != ours.strip():
            raise TargetError(
                f"The endpoint has another tokenizer: its text of token {token} is {text!r}, and ours {ours!r}.",
                "Name a local model of the same family as the endpoint's (--target-tokenizer).",
            )
        compared += 1
    found.note("returned tokens agree with our tokenizer", f"{compared} of {compared} compared")


async def _arrays(api: OpenAIApi, tokenizer: Tokenizer) -> bool:
    ids = probe.probe_ids(tokenizer)
    try:
        await api.sample([ids[:4], ids[:6]], Sampling(0.0), 0, CallUsage())
    except UnusableError:
        raise
    except TargetError:
        return False
    return True


async def _several_draws(api: OpenAIApi, tokenizer: Tokenizer) -> bool:
    try:
        await api.draws(probe.probe_ids(tokenizer, 5), 2, CallUsage())
    except UnusableError:
        raise
    except TargetError:
        return False
    return True
