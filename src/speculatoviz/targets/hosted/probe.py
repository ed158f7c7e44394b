"""What an endpoint can do, found out by trying: nothing is assumed from a name.

The short form is for the start of a run. The full form also measures: round trips, the prefix cache, the largest
number of alternatives. What cannot be found out is left unknown.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from speculatoviz.core.rounds import Usage
from speculatoviz.core.types import Sampling
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.tokenizers.chat import encode_for_measuring
from speculatoviz.targets.base import Remote
from speculatoviz.targets.hosted.choice import Abilities
from speculatoviz.targets.hosted.endpoint import Bill, Endpoint
from speculatoviz.targets.hosted.modes import RAW, Api, Said, tops

TEXT = "The quick brown fox jumps over the lazy dog, and then it rests."
COLD, HOT = Sampling(0.5), Sampling(1.5)
RTT_TRIES, LONG_TOKENS = 5, 256
TOLERANCE = 0.05  # in nats, between two computations of one score: kernels depend on the batch
SLOW_REQUESTS_PER_MINUTE = 60.0


@dataclass(slots=True)
class Findings:
    """What is known so far, with a row (what was asked, answer) for each thing found."""

    can: Abilities = field(default_factory=lambda: Abilities(tokens=False))
    rows: list[tuple[str, str]] = field(default_factory=list)
    rtt_ms: float | None = None
    calls_per_round: float | None = None
    context_tokens: int | None = None
    model: str = ""

    def note(self, question: str, answer: bool | str) -> None:
        self.rows.append((question, answer if isinstance(answer, str) else "yes" if answer else "no"))

    def remote(self, endpoint: Endpoint, mode: str) -> Remote:
        """As it is shown, with a warning where the endpoint cannot carry a loop of one call per round."""
        return Remote(
            url=endpoint.url,
            mode=mode,
            rtt_ms=self.rtt_ms,
            calls_per_round=self.calls_per_round,
            findings=tuple(self.rows),
            rate_limit=endpoint.rate_limit(),
            warning=warning_of(endpoint),
        )


def warning_of(endpoint: Endpoint) -> str | None:
    rate = endpoint.requests_per_minute()
    if rate is None or rate >= SLOW_REQUESTS_PER_MINUTE:
        return None
    return (
        f"This endpoint allows {rate:.0f} requests a minute on average, and every round takes at least one: "
        f"a round every {60 / rate:.0f} s."
    )


def probing_ids(tokenizer: Tokenizer, count: int = 10) -> list[int]:
    """Tokens to ask about: the beginning of a chat or a text where the tokenizer reads one, else any."""
    try:
        ids = encode_for_measuring(tokenizer, TEXT)
    except BadRequestError:  # a toy's alphabet is small
        ids = [entry.id for entry in tokenizer.entries() if not entry.control]
    return (ids * count)[:count]


async def models(endpoint: Endpoint, model: str | None, found: Findings, clock: Callable[[], float]) -> None:
    """Check the model's name against /models, and time the way there. Raises TargetError that lists the names."""
    times_ms = list[float]()
    for _ in range(2):  # the first one opens the connection
        begun = clock()
        answer = await endpoint.get("/models")
        times_ms.append((clock() - begun) * 1000)
    found.rtt_ms = times_ms[-1]
    entries = [entry for entry in answer.body.get("data") or () if isinstance(entry, dict)]
    names = [str(entry.get("id")) for entry in entries]
    if not model and len(names) == 1:
        model = names[0]
    if model not in names:
        missing = f"has no model {model!r}" if model else "has several models"
        raise TargetError(f"{endpoint.url} {missing}.", f"Name one of: {', '.join(names) or '(it lists none)'}.")
    assert model is not None
    found.model = model
    found.context_tokens = context_of(entries[names.index(model)])
    found.note("context", str(found.context_tokens) if found.context_tokens else "not told")


def context_of(entry: Mapping[str, object]) -> int | None:
    """vLLM's and SGLang's `max_model_len`, llama.cpp's `meta.n_ctx`, `context_length` of others."""
    meta = entry.get("meta")
    within = meta.get("n_ctx") if isinstance(meta, dict) else None
    told = entry.get("max_model_len") or within or entry.get("context_length")
    return told if isinstance(told, int) and told > 0 else None


async def round_trips(endpoint: Endpoint, found: Findings, clock: Callable[[], float]) -> None:
    """The median of a few tiny requests."""
    times_ms = list[float]()
    for _ in range(RTT_TRIES):
        begun = clock()
        await endpoint.get("/models")
        times_ms.append((clock() - begun) * 1000)
    found.rtt_ms = statistics.median(times_ms)
    found.note("round trip", f"{found.rtt_ms:.1f} ms (median of {RTT_TRIES})")


async def scores(api: Api, tokenizer: Tokenizer, found: Findings, top: int) -> None:
    """Whether given tokens are scored, whether the scores stand at their own places, and whether they are raw."""
    ids = probing_ids(tokenizer)
    try:
        cold, _ = await api.score(ids, 2, COLD, top, Bill())
        hot, _ = await api.score(ids, 2, HOT, top, Bill())
        (drawn,) = (await api.draws(ids[:5], 1, Bill()))[:1]
        again, _ = await api.score([*ids[:5], drawn.token], 5, RAW, top, Bill())
    except TargetError as error:
        found.note("scores of given tokens", f"no ({error.message})")
        return
    complete = all(said.logprob is not None for said in (*cold, *hot, *again))
    placed = complete and _agree(again[0], drawn)
    raw = complete and all(_agree(a, b) for a, b in zip(cold, hot, strict=True))
    told = min((len(said.top) for said in cold), default=0)
    if any(token < 0 for said in (*cold, *hot) for token in tops(said)):
        found.can = replace(found.can, by_id=False)
    found.note("scores of given tokens", complete)
    found.note("scores stand at their places", placed)
    found.note("scores are raw (alike at two temperatures)", raw)
    found.note("scores keyed by id", found.can.by_id)
    found.note("alternatives per place", f"{told} when asked for {top}")
    found.can = replace(found.can, scores=complete and placed, raw=raw, top_n=min(told, top))


async def filters(api: Api, tokenizer: Tokenizer, names: frozenset[str]) -> frozenset[str]:
    """Those of top_k and min_p that are not only taken but kept to: with them all draws must be the most probable."""
    narrow = {"top_k": Sampling(1.5, top_k=1), "min_p": Sampling(1.5, min_p=1.0)}
    kept = set[str]()
    prompt = probing_ids(tokenizer, 4)
    for name in sorted(names):
        try:
            drawn = await api.sample([prompt] * 8, narrow[name], 0, Bill())
        except TargetError:
            continue
        if len({said.token for said in drawn}) == 1:
            kept.add(name)
    return frozenset(kept)


async def prefix_cache(api: Api, tokenizer: Tokenizer, found: Findings, clock: Callable[[], float]) -> None:
    """Whether a long prompt goes faster the second time, and how much of it is then said to be cached."""
    prompt = probing_ids(tokenizer, min(LONG_TOKENS, (found.context_tokens or LONG_TOKENS) // 2))
    times_ms, usage = list[float](), Usage()
    for _ in range(2):
        bill, begun = Bill(), clock()
        await api.sample([prompt], RAW, 0, bill)
        times_ms.append((clock() - begun) * 1000)
        usage = bill.usage
    cached = "not told" if usage.cached_tokens is None else f"{usage.cached_tokens} of {usage.prompt_tokens} tokens"
    found.note("prefix cache", f"{times_ms[0]:.0f} ms, then {times_ms[1]:.0f} ms; cached: {cached}")


def limits(endpoint: Endpoint, found: Findings) -> None:
    found.note("rate limits", endpoint.rate_limit() or "none declared")


def _agree(a: Said, b: Said) -> bool:
    if a.logprob is None or b.logprob is None:
        return False
    return abs(a.logprob - b.logprob) <= TOLERANCE + 0.02 * abs(a.logprob)
