"""What an endpoint can do, found out by calls: nothing is concluded from a name.

The short form runs before a run. The full form also measures round trips and the prefix cache.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from speculatoviz.core.rounds import Usage
from speculatoviz.core.types import Sampling
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.models.base import UNKNOWN, Tokenizer
from speculatoviz.models.tokenizers.chat import encode_for_measuring
from speculatoviz.targets.base import Remote
from speculatoviz.targets.hosted.answers import ModelList
from speculatoviz.targets.hosted.api import RAW, Api, ScoredToken
from speculatoviz.targets.hosted.choice import Abilities
from speculatoviz.targets.hosted.endpoint import Endpoint, UnusableError
from speculatoviz.targets.hosted.usage import CallUsage

TEXT = "The quick brown fox jumps over the lazy dog, and then it rests."
COLD, HOT = Sampling(0.5), Sampling(1.5)
RTT_CALLS, LONG_TOKENS = 5, 256
TOLERANCE = 0.05  # in nats, between two computations of one score: kernels depend on the batch
RELATIVE_TOLERANCE = 0.02
SLOW_REQUESTS_PER_MINUTE = 60.0


@dataclass(slots=True)
class Findings:
    """What is known so far. rows: (what was asked, what was found), as they are shown."""

    can: Abilities = field(default_factory=lambda: Abilities(tokens=False))
    rows: list[tuple[str, str]] = field(default_factory=list)
    rtt_ms: float | None = None
    calls_per_round: float | None = None
    context_tokens: int | None = None
    model: str = ""

    def note(self, question: str, answer: bool | str) -> None:
        """Add a row."""
        self.rows.append((question, answer if isinstance(answer, str) else "yes" if answer else "no"))

    def remote(self, endpoint: Endpoint, mode: str) -> Remote:
        """The findings as they are shown, with a warning if the endpoint allows too few requests for a run."""
        return Remote(
            url=endpoint.url,
            mode=mode,
            rtt_ms=self.rtt_ms,
            calls_per_round=self.calls_per_round,
            findings=tuple(self.rows),
            rate_limit=str(endpoint.limits) or None,
            warning=rate_warning(endpoint.limits.requests_per_minute()),
        )


def rate_warning(requests_per_minute: float | None) -> str | None:
    """A sentence about a rate limit that is too low for a request per round; None for one that is not."""
    if requests_per_minute is None or requests_per_minute >= SLOW_REQUESTS_PER_MINUTE:
        return None
    if requests_per_minute == 0.0:
        return "This endpoint allows no requests at all: runs will fail."
    return (
        f"This endpoint allows {requests_per_minute:.0f} requests a minute on average, and every round takes at least "
        f"one: a round every {60 / requests_per_minute:.0f} s."
    )


def probe_ids(tokenizer: Tokenizer, count: int = 10) -> list[int]:
    """`count` token ids to ask about: a chat or a text, or for a tokenizer that cannot read it, any of its tokens."""
    try:
        ids = encode_for_measuring(tokenizer, TEXT)
    except BadRequestError:
        ids = [entry.id for entry in tokenizer.entries() if not entry.control]
    return (ids * count)[:count]


async def models(endpoint: Endpoint, model: str | None, found: Findings, clock: Callable[[], float]) -> None:
    """Find the model in /models, and measure the round trip. An endpoint that lists no models is trusted to have it.

    Raises TargetError that lists the models, if the named one is not among them or none is named and there are several.
    """
    listed = await _listed(endpoint, found, clock)
    names = listed.names
    if not model and len(names) == 1:
        model = next(iter(names))
    if not model:
        what = "has several models" if names else "lists no models"
        choice = f"Name one of: {', '.join(names)}." if names else f"Name the model: {endpoint.url}#MODEL."
        raise TargetError(f"{endpoint.url} {what}.", choice)
    if names and model not in names:
        raise TargetError(f"{endpoint.url} has no model {model!r}.", f"Name one of: {', '.join(names)}.")
    found.model = model
    found.context_tokens = names[model].context_tokens if names else None
    found.note("context", str(found.context_tokens) if found.context_tokens else UNKNOWN)


async def _listed(endpoint: Endpoint, found: Findings, clock: Callable[[], float]) -> ModelList:
    """The answer of /models; empty if the endpoint has no such route. Raises UnusableError."""
    times_ms = list[float]()
    listed = ModelList()
    try:
        for _ in range(2):  # the first call opens the connection
            begun = clock()
            listed = (await endpoint.get("/models", ModelList)).body
            times_ms.append((clock() - begun) * 1000)
    except UnusableError:
        raise
    except TargetError as error:
        found.note("list of models", f"no ({error.message})")
        return ModelList()
    found.rtt_ms = times_ms[-1]
    return listed


async def round_trips(endpoint: Endpoint, found: Findings, clock: Callable[[], float]) -> None:
    """The median time of a few small requests; unknown if the endpoint has no list of models."""
    if found.rtt_ms is None:
        return
    times_ms = list[float]()
    for _ in range(RTT_CALLS):
        begun = clock()
        await endpoint.get("/models", ModelList)
        times_ms.append((clock() - begun) * 1000)
    found.rtt_ms = statistics.median(times_ms)
    found.note("round trip", f"{found.rtt_ms:.1f} ms (median of {RTT_CALLS})")


async def scores(api: Api, tokenizer: Tokenizer, found: Findings, top: int) -> None:
    """Whether given tokens are scored, whether the scores belong to their own places, and whether they are raw."""
    ids = probe_ids(tokenizer)
    try:
        cold, _ = await api.score(ids, 2, COLD, top, CallUsage())
        hot, _ = await api.score(ids, 2, HOT, top, CallUsage())
        drawn = (await api.draws(ids[:5], 1, CallUsage()))[0]
        again, _ = await api.score([*ids[:5], drawn.token], 5, RAW, top, CallUsage())
    except UnusableError:
        raise
    except TargetError as error:
        found.note("scores of given tokens", f"no ({error.message})")
        return
    complete = all(place.logprob is not None for place in (*cold, *hot, *again))
    placed = complete and _agree(again[0], drawn)
    raw = complete and all(_agree(a, b) for a, b in zip(cold, hot, strict=True))
    returned = min((len(place.top) for place in cold), default=0)
    if any(token < 0 for place in (*cold, *hot) for token in place.known()):
        found.can = replace(found.can, by_id=False)
    found.note("scores of given tokens", complete)
    found.note("scores belong to their own places", placed)
    found.note("scores are raw (equal at two temperatures)", raw)
    found.note("scores are named by id", found.can.by_id)
    found.note("alternatives per place", f"{returned} when asked for {top}")
    found.can = replace(found.can, scores=complete and placed, raw=raw, top_n=min(returned, top))


async def filters(api: Api, tokenizer: Tokenizer, names: frozenset[str]) -> frozenset[str]:
    """Those of top_k and min_p that are applied, not only accepted: then every draw is the most probable token."""
    narrow = {"top_k": Sampling(1.5, top_k=1), "min_p": Sampling(1.5, min_p=1.0)}
    applied = set[str]()
    prompt = probe_ids(tokenizer, 4)
    for name in sorted(names):
        try:
            drawn = await api.sample([prompt] * 8, narrow[name], 0, CallUsage())
        except UnusableError:
            raise
        except TargetError:
            continue
        if len({place.token for place in drawn}) == 1:
            applied.add(name)
    return frozenset(applied)


async def prefix_cache(api: Api, tokenizer: Tokenizer, found: Findings, clock: Callable[[], float]) -> None:
    """Whether a long prompt takes less time when it is repeated, and how many of its tokens are reported as cached."""
    prompt = probe_ids(tokenizer, max(1, min(LONG_TOKENS, (found.context_tokens or LONG_TOKENS) // 2)))
    times_ms, total = list[float](), Usage()
    for _ in range(2):
        usage, begun = CallUsage(), clock()
        await api.sample([prompt], RAW, 0, usage)
        times_ms.append((clock() - begun) * 1000)
        total = usage.total
    cached = UNKNOWN if total.cached_tokens is None else f"{total.cached_tokens} of {total.prompt_tokens} tokens"
    found.note("prefix cache", f"{times_ms[0]:.0f} ms, then {times_ms[1]:.0f} ms; cached: {cached}")


def limits(endpoint: Endpoint, found: Findings) -> None:
    """Note the declared rate limits."""
    found.note("rate limits", str(endpoint.limits) or "none declared")


def _agree(a: ScoredToken, b: ScoredToken) -> bool:
    if a.logprob is None or b.logprob is None:
        return False
    return a.logprob == b.logprob or abs(a.logprob - b.logprob) <= TOLERANCE + RELATIVE_TOLERANCE * abs(a.logprob)
