"""From the description of an endpoint to a target: probe it, and choose how it is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx2

from speculatoviz.core.types import Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import UNKNOWN, Description, LocalTokenizer, Tokenizer
from speculatoviz.targets.hosted import dialects, probe
from speculatoviz.targets.hosted.address import Address
from speculatoviz.targets.hosted.api import Api
from speculatoviz.targets.hosted.chat_formats import fitted
from speculatoviz.targets.hosted.choice import Abilities
from speculatoviz.targets.hosted.connection import Patience
from speculatoviz.targets.hosted.endpoint import Endpoint, UnusableError
from speculatoviz.targets.hosted.probe import Findings
from speculatoviz.targets.hosted.sglang import SglangApi
from speculatoviz.targets.hosted.target import HostedTarget, ProbedEndpoint, check_mode
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.usage import CallUsage
from speculatoviz.targets.hosted.vllm import USUAL_TOP_N, VllmApi, check_tokenizer
from speculatoviz.targets.loop import LoopThread

CONTEXT_TOKENS = 8192  # if neither the endpoint nor the user states the size of the context
_RUNTIMES = {"vllm": "vLLM", "sglang": "SGLang", "openai": "OpenAI-compatible endpoint", "cerebras": "Cerebras"}
_ENTRY_BYTES = 70  # of one log-probability with its id, in JSON
_WHOLE_BYTES = 1_000_000  # the most that the scores of one place may take


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What a user states about an endpoint.

    mode: how drafts are verified, by name. context_tokens: the largest context to use; None for the endpoint's own.
    family, stops: the prompt format and additional end tokens, by name, for a tokenizer without them. alternatives:
    how many tokens to report per place, for display.
    """

    address: Address
    mode: str = "auto"
    context_tokens: int | None = None
    family: str | None = None
    stops: tuple[str, ...] = ()
    alternatives: int = 8
    patience: Patience = field(default_factory=Patience)


def open_endpoint(
    settings: EndpointSettings,
    tokenizer: LocalTokenizer | None,
    loop: LoopThread,
    clock: Callable[[], float],
    *,
    full: bool = False,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> HostedTarget:
    """Probe an endpoint and make a target of it.

    tokenizer: the endpoint's own, from a local model of its family. clock: in seconds. full: also measure round trips
    and the prefix cache. transport: what requests go through, for tests. Raises TargetError and BadRequestError.
    """
    address = settings.address
    if tokenizer is None:
        raise TargetError(
            f"The tokenizer of {address.root} is not on this machine.",
            "Name a local model of the same family, whose files contain it (--target-tokenizer).",
        )
    check_mode(settings.mode)
    own = fitted(tokenizer, settings.family, settings.stops)
    endpoint = Endpoint(address.url, address.credentials, settings.patience, transport)

    async def probed() -> tuple[Api, Findings]:
        endpoint.probing = True
        try:
            result = await _probed(address, endpoint, own, clock, full)
        except BaseException:
            await endpoint.close()
            raise
        endpoint.probing = False
        return result

    api, found = loop.call(probed)
    if found.context_tokens is None:
        found.note("context used", f"{settings.context_tokens or CONTEXT_TOKENS} tokens")
    sizes = [size for size in (found.context_tokens, settings.context_tokens) if size]
    return HostedTarget(
        ProbedEndpoint(
            endpoint,
            api,
            own,
            found.can,
            found.remote(endpoint, settings.mode),
            _description(address, found.model, min(sizes, default=CONTEXT_TOKENS)),
            settings.mode,
            settings.alternatives,
        ),
        loop,
        clock,
    )


async def _probed(
    address: Address, endpoint: Endpoint, tokenizer: LocalTokenizer, clock: Callable[[], float], full: bool
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


async def _vllm(address: Address, endpoint: Endpoint, tokenizer: LocalTokenizer, found: Findings) -> VllmApi:
    await check_tokenizer(endpoint, address.root, found.model, tokenizer)
    found.note("tokenizer", "agrees on a text and a rendered chat")
    api = VllmApi(endpoint, found.model, tokenizer)
    found.can = Abilities(tokens=True)
    await probe.scores(api, tokenizer, found, min(USUAL_TOP_N, tokenizer.n_vocab))
    small = tokenizer.n_vocab * _ENTRY_BYTES < _WHOLE_BYTES
    whole = small and await _whole(api, tokenizer)
    found.note("whole vocabulary", whole if small else "not asked for: an answer would be too large")
    found.can = replace(found.can, whole=whole)
    found.calls_per_round = 1.0
    return api


async def _whole(api: VllmApi, tokenizer: Tokenizer) -> bool:
    try:
        places, _ = await api.score(probe.probe_ids(tokenizer, 3), 2, Sampling(1.0), tokenizer.n_vocab, CallUsage())
    except UnusableError:
        raise
    except TargetError:
        return False
    return len(places[0].top) == tokenizer.n_vocab


async def _sglang(address: Address, endpoint: Endpoint, tokenizer: Tokenizer, found: Findings) -> SglangApi:
    api = SglangApi(endpoint, Reader(tokenizer), address.root)
    found.can = Abilities(tokens=True, suffix_only=True)
    await probe.scores(api, tokenizer, found, USUAL_TOP_N)
    found.calls_per_round = 1.0
    return api


def _description(address: Address, model: str, context_tokens: int) -> Description:
    return Description(
        name=model,
        runtime=f"{_RUNTIMES[address.scheme]}, remote",
        quantisation=UNKNOWN,
        parameters=None,
        size_bytes=None,
        context_tokens=context_tokens,
        computes_on=re.sub(r"^https?://", "", address.root),
    )
