"""How much of a repeated prompt both engines take from their prefix caches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.lab.endpoints.side import Side
from speculatoviz.lab.engines.exposition import samples
from speculatoviz.lab.engines.fetching import Bounds, fetched

_PROMPT_CHARACTERS = 1_600  # some hundred tokens
_HITS = frozenset({"vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits"})
_SETTLES_S = 0.2  # engines write their counters after they answer


@dataclass(frozen=True, slots=True)
class CacheHits:
    """Of the second of two equal requests.

    prompt_tokens: None if it is not reported. reported: cached tokens in its usage; counted: by which its /metrics
    grew; each None if the engine has no such figure.
    """

    prompt_tokens: int | None
    reported: int | None
    counted: int | None

    @property
    def tokens(self) -> int | None:
        """Cached tokens, as far as they are known."""
        return self.reported if self.reported is not None else self.counted


def repeated(prompts: Sequence[str]) -> str:
    """A prompt that fills several blocks of every engine's cache: the prompts, as often as it takes."""
    text = "\n".join(prompts) + "\n"
    return (text * (_PROMPT_CHARACTERS // len(text) + 1))[:_PROMPT_CHARACTERS]


async def cache_hits(side: Side, prompt: str, settles_s: float = _SETTLES_S) -> CacheHits:
    """Send a prompt twice. settles_s: how long the engine's counters take to follow its answers. Raises TargetError."""
    await side.generate(prompt, 1)
    before = await _counted(side, settles_s)
    found = await side.generate(prompt, 1)
    after = None if before is None else await _counted(side, settles_s)
    counted = None if before is None or after is None else round(after - before)
    return CacheHits(found.prompt_tokens, found.cached_tokens, counted)


async def _counted(side: Side, settles_s: float) -> float | None:
    """The sum of vLLM's counters of cached prompt tokens; None where there are none."""
    if await _sum(side) is None:
        return None
    await asyncio.sleep(settles_s)
    return await _sum(side)


async def _sum(side: Side) -> float | None:
    try:
        text = await fetched(side.metrics, side.credentials, Bounds(most_bytes=4 << 20, total_s=10.0), side.transport)
        own = [sample.value for sample in samples(text) if sample.name in _HITS]
    except (TargetError, BadRequestError):
        return None
    return sum(own) if own else None


def cache_notes(plain: str, speculating: str, a: CacheHits, b: CacheHits) -> list[str]:
    """What the engine with speculation loses, and where an engine contradicts itself. plain, speculating: addresses."""
    notes = [
        f"{shown} reports {hits.reported} cached prompt tokens in its usage, and its counters grow by {hits.counted}."
        for shown, hits in ((plain, a), (speculating, b))
        if hits.reported is not None and hits.counted is not None and hits.reported != hits.counted
    ]
    if a.tokens is not None and b.tokens is not None and b.tokens < a.tokens:
        of = "" if b.prompt_tokens is None else f" of {b.prompt_tokens}"
        notes.append(
            f"{speculating} takes {b.tokens}{of} tokens of a repeated prompt from its prefix cache, and {plain} takes "
            f"{a.tokens}: the engine with speculation loses cache hits."
        )
    return notes
