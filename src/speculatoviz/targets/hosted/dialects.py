"""How an OpenAI-compatible endpoint wants to be asked, found out by asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.targets.hosted import probe
from speculatoviz.targets.hosted.choice import Abilities
from speculatoviz.targets.hosted.endpoint import Bill, Endpoint
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi, choices
from speculatoviz.targets.hosted.probe import Findings
from speculatoviz.targets.hosted.reading import Reader

BOTH = frozenset({"top_k", "min_p"})
# From the most that any server takes to what all take. Servers either refuse unknown fields or ignore them.
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
    """The `Api` of an endpoint, with what it can do noted. Raises TargetError where its tokens are not ours."""
    refusal: TargetError | None = None
    for as_text in (False, True):
        for extra, filters in FIELDS:
            for logprobs in (1, None):
                dialect = Dialect(extra, filters, logprobs=logprobs, top_n=1 if logprobs else 0)
                api = OpenAIApi(endpoint, model, Reader(tokenizer, as_text), dialect)
                refusal = await _tried(api, tokenizer)
                if refusal is None:
                    return await _described(api, tokenizer, found)
    found.note("completions of a given prompt", f"no ({refusal.message})" if refusal else "no")
    api = OpenAIApi(endpoint, model, Reader(tokenizer, True), Dialect(chat=True))
    found.can = Abilities(tokens=False)
    return api


async def _tried(api: OpenAIApi, tokenizer: Tokenizer) -> TargetError | None:
    """None where one token could be drawn and read. A key that is refused or a limit that is reached ends the probe."""
    try:
        await api.sample([probe.probing_ids(tokenizer)], Sampling(0.0), 0, Bill())
    except TargetError as error:
        if any(word in error.message for word in ("refuses the key", "no more requests", "cannot be reached")):
            raise
        return error
    return None


async def _described(api: OpenAIApi, tokenizer: Tokenizer, found: Findings) -> OpenAIApi:
    reader = api.reader
    found.note("prompts of token ids", not reader.as_text)
    found.can = Abilities(tokens=True, from_text=reader.as_text)
    if reader.as_text:
        found.note("prompts of text that reads back as our tokens", "checked every round")
    await _agree(api, tokenizer, found)
    api.dialect = replace(api.dialect, arrays=await _arrays(api, tokenizer))
    found.note("several prompts in one call", api.dialect.arrays)
    found.calls_per_round = 1.0 if api.dialect.arrays else None
    kept = await probe.filters(api, tokenizer, api.dialect.filters)
    found.note("top_k and min_p", ", ".join(sorted(kept)) or "no")
    api.dialect = replace(api.dialect, filters=kept)
    api.dialect = replace(api.dialect, drawn=await _drawn(api, tokenizer))
    found.note("several draws in one call", api.dialect.drawn)
    await probe.scores(api, tokenizer, found, 5)
    return api


async def _agree(api: OpenAIApi, tokenizer: Tokenizer, found: Findings) -> None:
    """Whether the text that comes with returned ids is what our tokenizer writes for them. Raises TargetError."""
    ids, compared = probe.probing_ids(tokenizer, 6), 0
    for count in range(1, len(ids) + 1):
        fields = {**api.fields(Sampling(1.0)), "max_tokens": 1, **api._logprobs(1)}
        answer = await api.endpoint.complete(api.model, {**fields, "prompt": api.reader.prompt(ids[:count])})
        for choice in choices(answer):
            token, text = api.reader.drawn(choice).token, str(choice.get("text") or "")
            ours = tokenizer.token_bytes(token).decode(errors="replace")
            if not text or "\ufffd" in text + ours:
                continue
            if text.strip() != ours.strip():
                raise TargetError(
                    f"The endpoint writes {text!r} for token {token}, and the tokenizer at hand {ours!r}.",
                    "Name a local model of the same family as the endpoint's.",
                )
            compared += 1
    found.note("returned tokens agree with our tokenizer", f"{compared} of {compared} compared")


async def _arrays(api: OpenAIApi, tokenizer: Tokenizer) -> bool:
    ids = probe.probing_ids(tokenizer)
    try:
        return len(await api.sample([ids[:4], ids[:6]], Sampling(0.0), 0, Bill())) == 2
    except TargetError:
        return False


async def _drawn(api: OpenAIApi, tokenizer: Tokenizer) -> bool:
    try:
        return len(await api.draws(probe.probing_ids(tokenizer, 5), 2, Bill())) == 2
    except TargetError:
        return False
