"""Names of third-party targets: `vllm:URL#model`, `sglang:URL`, `openai:URL#model`, `cerebras:MODEL`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from speculatoviz.core.chance import ChanceSource, seeded
from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import UNKNOWN, Description, Tokenizer
from speculatoviz.targets.hosted import dialects, probe
from speculatoviz.targets.hosted.chat_formats import fitted
from speculatoviz.targets.hosted.choice import Abilities
from speculatoviz.targets.hosted.endpoint import Bill, Endpoint, Patience
from speculatoviz.targets.hosted.modes import Api
from speculatoviz.targets.hosted.openai import OpenAITarget
from speculatoviz.targets.hosted.probe import Findings
from speculatoviz.targets.hosted.sglang import SglangApi, SglangTarget
from speculatoviz.targets.hosted.target import HostedTarget
from speculatoviz.targets.hosted.vllm import VllmApi, VllmTarget, check_tokenizer
from speculatoviz.targets.loop import LoopThread

SCHEMES = ("vllm", "sglang", "openai", "cerebras")
CEREBRAS_URL = "https://api.cerebras.ai/v1"
CONTEXT_TOKENS = 8192  # where neither the endpoint nor the user says how many it holds
_RUNTIMES = {"vllm": "vLLM", "sglang": "SGLang", "openai": "OpenAI-compatible endpoint", "cerebras": "Cerebras"}
_TARGETS: dict[str, type[HostedTarget]] = {
    "vllm": VllmTarget,
    "sglang": SglangTarget,
    "openai": OpenAITarget,
    "cerebras": OpenAITarget,
}
_ALTERNATIVES = 20  # what vLLM allows unless it was told otherwise
_WHOLE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed name. url: as it is asked, root: the server's own address, model: None where the name has none."""

    scheme: str
    url: str
    root: str
    model: str | None
    key: str | None


def is_endpoint(name: str) -> bool:
    return name.partition(":")[0] in SCHEMES


def parse(name: str, api_key: str | None, environ: Mapping[str, str]) -> Address:
    """Raises TargetError for a name that is not one of an endpoint's, or lacks what it needs."""
    scheme, _, place = name.partition(":")
    if scheme not in SCHEMES:
        raise TargetError(f"{name!r} names no endpoint.", f"Begin with one of: {', '.join(f'{s}:' for s in SCHEMES)}.")
    if scheme == "cerebras":
        key = api_key or environ.get("CEREBRAS_API_KEY")
        if not key:
            raise TargetError("Cerebras needs a key.", "Set CEREBRAS_API_KEY.")
        model = place or environ.get("CEREBRAS_TARGET_MODEL") or None
        return Address(scheme, CEREBRAS_URL, CEREBRAS_URL.removesuffix("/v1"), model, key)
    url, _, model = place.partition("#")
    if not re.match(r"https?://[^/]+", url):
        raise TargetError(f"{name!r} has no address.", f"Write {scheme}:http://host:port#model.")
    url = url.rstrip("/")
    root = url.removesuffix("/v1")
    return Address(scheme, url if scheme == "openai" and url != root else f"{root}/v1", root, model or None, api_key)


def open_endpoint(
    name: str,
    tokenizer: Tokenizer | None,
    *,
    api_key: str | None,
    mode: str,
    context_tokens: int | None,
    clock: Callable[[], float],
    loop: LoopThread,
    environ: Mapping[str, str],
    full: bool = False,
    family: str | None = None,
    stops: Sequence[str] = (),
    patience: Patience | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    chance: Callable[[int], ChanceSource] = seeded,
    alternatives: int = 8,
) -> HostedTarget:
    """Probe an endpoint and make a target of it. full: probe with measurements of round trips and caches.

    tokenizer: the endpoint's own, from a local model of its family. family, stops: the prompt format and further end
    tokens, by name, where the tokenizer's own do not do. Raises TargetError and BadRequestError in words.
    """
    address = parse(name, api_key, environ)
    if tokenizer is None:
        raise TargetError(
            f"The tokenizer of {address.root} is not at hand.",
            "Name a local model of the same family, whose files hold it (--target-tokenizer).",
        )
    at = tokenizer = fitted(tokenizer, family, stops)
    endpoint = Endpoint(address.url, address.key, patience or Patience(), transport)

    async def probed() -> tuple[Api, Findings]:
        endpoint.probing = True
        try:
            result = await _probed(address, endpoint, at, clock, full)
            endpoint.probing = False
            return result
        except BaseException:
            await endpoint.close()
            raise

    api, found = loop.call(probed)
    if found.context_tokens is None:
        found.note("context taken", f"{context_tokens or CONTEXT_TOKENS} tokens")
    sizes = [size for size in (found.context_tokens, context_tokens) if size]
    return _TARGETS[address.scheme](
        api,
        endpoint,
        tokenizer,
        loop,
        clock,
        can=found.can,
        remote=found.remote(endpoint, mode),
        description=_description(address, found.model, min(sizes, default=CONTEXT_TOKENS)),
        mode=mode,
        chance=chance,
        alternatives=alternatives,
    )


async def _probed(
    address: Address, endpoint: Endpoint, tokenizer: Tokenizer, clock: Callable[[], float], full: bool
) -> tuple[Api, Findings]:
    found = Findings()
    await probe.models(endpoint, address.model, found, clock)
    api: Api
    if address.scheme == "vllm":
        api = await _vllm(address, endpoint, tokenizer, found)
    elif address.scheme == "sglang":
        api = await _sglang(address, endpoint, tokenizer, found)
    else:
        api = await dialects.openai(endpoint, found.model, tokenizer, found)
    if full:
        await probe.round_trips(endpoint, found, clock)
        if found.can.tokens:
            await probe.prefix_cache(api, tokenizer, found, clock)
    probe.limits(endpoint, found)
    return api, found


async def _vllm(address: Address, endpoint: Endpoint, tokenizer: Tokenizer, found: Findings) -> VllmApi:
    await check_tokenizer(endpoint, address.root, found.model, tokenizer)
    found.note("tokenizer", "agrees on a text and a rendered chat")
    api = VllmApi(endpoint, found.model, tokenizer, _ALTERNATIVES)
    found.can = Abilities(tokens=True)
    await probe.scores(api, tokenizer, found, min(_ALTERNATIVES, tokenizer.n_vocab))
    whole = tokenizer.n_vocab * 70 < _WHOLE_BYTES and await _whole(api, tokenizer)
    found.note("whole vocabulary", "yes" if whole else "not asked for: an answer would be too large")
    found.can = replace(found.can, whole=whole)
    found.calls_per_round = 1.0
    return api


async def _whole(api: VllmApi, tokenizer: Tokenizer) -> bool:
    try:
        (said,), _ = await api.score(probe.probing_ids(tokenizer, 3), 2, Sampling(1.0), tokenizer.n_vocab, Bill())
    except (TargetError, ValueError):
        return False
    return len(said.top) == tokenizer.n_vocab


async def _sglang(address: Address, endpoint: Endpoint, tokenizer: Tokenizer, found: Findings) -> SglangApi:
    api = SglangApi(endpoint, tokenizer, address.root)
    found.can = Abilities(tokens=True, suffix_only=True)
    await probe.scores(api, tokenizer, found, _ALTERNATIVES)
    found.calls_per_round = 1.0
    return api


def _description(address: Address, model: str, context_tokens: int) -> Description:
    facts: dict[str, Any] = {"parameters": None, "size_bytes": None}
    return Description(
        name=model,
        runtime=f"{_RUNTIMES[address.scheme]}, remote",
        quantisation=UNKNOWN,
        context_tokens=context_tokens,
        computes_on=re.sub(r"^https?://", "", address.root),
        **facts,
    )
