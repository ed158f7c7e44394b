"""One of the two endpoints: its model, the fields that it takes, and calls to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from speculatoviz.errors import TargetError
from speculatoviz.lab.endpoints.continuation import Continuation, read_choice
from speculatoviz.targets.hosted import probe
from speculatoviz.targets.hosted.address import Credentials, parse
from speculatoviz.targets.hosted.connection import Patience
from speculatoviz.targets.hosted.endpoint import Endpoint, UnusableError
from speculatoviz.targets.hosted.probe import Findings

Prompt = str | Sequence[int]

_AT_ONCE = 8  # calls
_TOP = 5  # alternatives, which every server returns that returns any
# Fields beside the standard ones, from those that few servers take to none: filters off, ids returned.
_FIELDS: tuple[Mapping[str, Any], ...] = (
    {"return_token_ids": True, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "repeat_penalty": 1.0},
    {"return_token_ids": True},
    {},
)


@dataclass(frozen=True, slots=True)
class Side:
    """An endpoint that answers /completions.

    logprobs: how many alternatives it reports; 0 for none. metrics: the address of its counters, if it has any, with
    the same credentials. transport: what requests go through, for tests.
    """

    endpoint: Endpoint
    model: str
    extra: Mapping[str, Any]
    logprobs: int
    metrics: httpx2.URL
    credentials: Credentials | None = None
    transport: httpx2.AsyncBaseTransport | None = None

    @property
    def shown(self) -> str:
        return self.endpoint.url

    async def generate(self, prompt: Prompt, max_tokens: int, temperature: float = 0.0) -> Continuation:
        """One continuation. Every sampling field is stated: a missing one is filled from the model's own settings."""
        fields = {**self.extra, **_standard(temperature), "max_tokens": max_tokens, "prompt": _sent(prompt)}
        if self.logprobs:
            fields["logprobs"] = self.logprobs
        answer = (await self.endpoint.complete(self.model, fields)).body
        (choice,) = answer.ordered(1)
        return read_choice(choice, answer)

    async def draws(self, prompt: Prompt, count: int, max_tokens: int) -> list[Continuation]:
        """Independent draws at temperature 1, each in a call of its own and without a seed."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one() -> Continuation:
            async with gate:
                return await self.generate(prompt, max_tokens, 1.0)

        return list(await asyncio.gather(*(one() for _ in range(count))))


async def open_side(
    url: str, api_key: str | None, patience: Patience | None = None, transport: httpx2.AsyncBaseTransport | None = None
) -> Side:
    """Find the model, and which fields the endpoint takes.

    url: `http://host:port`, `…/v1` or `…#MODEL`. Raises TargetError if it does not complete a text.
    """
    address = parse(url if url.startswith("openai:") else f"openai:{url}", api_key, {})
    endpoint = Endpoint(address.url, address.credentials, patience or Patience(), transport)
    try:
        found = Findings()
        await probe.models(endpoint, address.model, found, lambda: 0.0)
        metrics = httpx2.URL(f"{address.root}/metrics")
        return await _with_fields(Side(endpoint, found.model, {}, 0, metrics, address.credentials, transport))
    except BaseException:
        await endpoint.close()
        raise


async def _with_fields(opened: Side) -> Side:
    refusal: TargetError | None = None
    for extra in _FIELDS:
        for logprobs in (_TOP, 0):
            side = replace(opened, extra=extra, logprobs=logprobs)
            try:
                await side.generate("a", 1)
            except UnusableError:
                raise
            except TargetError as error:
                refusal = refusal or error
            else:
                return side
    assert refusal is not None
    raise TargetError(
        f"{opened.shown} does not complete a text ({refusal.message.rstrip('.')}).",
        "Name a server that has /completions; chats cannot be continued from the middle of an answer.",
    )


def _standard(temperature: float) -> dict[str, Any]:
    return {"temperature": temperature, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def _sent(prompt: Prompt) -> str | list[int]:
    return prompt if isinstance(prompt, str) else list(prompt)
