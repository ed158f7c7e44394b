"""The comparison of an engine without and with its own speculation: greedy and sampled texts, and what they report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

import httpx2
import numpy as np

from speculatoviz.errors import TargetError
from speculatoviz.lab.endpoints.caching import CacheHits, cache_hits, cache_notes, repeated
from speculatoviz.lab.endpoints.continuation import (
    Continuation,
    GeneratedToken,
    departure,
    lying,
    margin,
    paired,
    runner_up,
    text_departure,
)
from speculatoviz.lab.endpoints.side import Prompt, Side, open_side
from speculatoviz.lab.endpoints.tools import NotCompared, ToolCalls, compare_tools
from speculatoviz.lab.endpoints.two_sample import TwoSample, two_sample
from speculatoviz.lab.endpoints.verdict import Scores, Verdict, judge
from speculatoviz.targets.hosted.connection import Patience
from speculatoviz.targets.hosted.endpoint import UnusableError

_SHIFT_PLACES = 4  # of a text, where the noise between one row and many is measured
_SAMPLED_PROMPTS = 2
_SAMPLED_TOKENS = 8
_END = "(end)"


@dataclass(frozen=True, slots=True)
class Plan:
    """tokens: of a greedy text. samples: draws of each endpoint for each of two prompts; 0 leaves the test out.

    tools, cache: whether a tool call and a repeated prompt are compared.
    """

    tokens: int = 64
    samples: int = 64
    seed: int = 0
    tools: bool = True
    cache: bool = True


@dataclass(frozen=True, slots=True)
class GreedyText:
    """One prompt.

    position: of the first token that differs, None for equal texts. plain, speculating: the two tokens.
    """

    prompt: str
    tokens: int
    position: int | None = None
    plain: str = ""
    speculating: str = ""
    scores: Scores | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """texts: one for each prompt. sampled, tools, cache: None if it was left out; cache: of both endpoints.

    notes: what the endpoints report wrongly or lose.
    """

    texts: tuple[GreedyText, ...]
    sampled: TwoSample | None
    notes: tuple[str, ...]
    tools: ToolCalls | NotCompared | None = None
    cache: tuple[CacheHits, CacheHits] | None = None

    @property
    def wrong(self) -> bool:
        """Whether something was found that speculation must not change."""
        greedy = any(text.verdict is not None and text.verdict.kind == "verifier wrong" for text in self.texts)
        broken = isinstance(self.tools, ToolCalls) and self.tools.wrong
        return greedy or broken or (self.sampled is not None and self.sampled.differs)


def compare_urls(
    plain: str,
    speculating: str,
    prompts: Sequence[str],
    plan: Plan,
    progress: Callable[[str], None],
    api_key: str | None = None,
    transports: tuple[httpx2.AsyncBaseTransport | None, httpx2.AsyncBaseTransport | None] = (None, None),
) -> Comparison:
    """The comparison of two addresses. api_key: of both. transports: what requests go through, for tests.

    Raises TargetError if an endpoint cannot be used.
    """

    async def work() -> Comparison:
        async with AsyncExitStack() as stack:
            sides = list[Side]()
            for url, transport in zip((plain, speculating), transports, strict=True):
                sides.append(await open_side(url, api_key, Patience(), transport))
                stack.push_async_callback(sides[-1].endpoint.close)
            return await compare(sides[0], sides[1], prompts, plan, progress)

    return asyncio.run(work())


async def compare(
    plain: Side, speculating: Side, prompts: Sequence[str], plan: Plan, progress: Callable[[str], None]
) -> Comparison:
    """Ask both endpoints. progress: called with what begins. Raises TargetError if one of them fails."""
    texts, notes = list[GreedyText](), dict[str, None]()
    for number, prompt in enumerate(prompts, start=1):
        progress(f"greedy text {number} of {len(prompts)}")
        a, b = await asyncio.gather(plain.generate(prompt, plan.tokens), speculating.generate(prompt, plan.tokens))
        notes |= dict.fromkeys(_reported_wrongly(plain, a, b) + _reported_wrongly(speculating, b, a))
        notes |= dict.fromkeys(_read_differently(a, b) + _counted_differently(a, b))
        texts.append(await _greedy(plain, speculating, prompt, a, b))
    sampled = None
    if plan.samples:
        progress(f"{plan.samples} draws of each endpoint")
        least = min(_SAMPLED_TOKENS, plan.tokens)
        long = [text.prompt for text in texts if text.tokens >= least]  # a text that ends at once tests nothing
        sampled = await _sampled(plain, speculating, (long or prompts)[:_SAMPLED_PROMPTS], plan)
    tools: ToolCalls | NotCompared | None = None
    if plan.tools:
        progress("a tool call of each endpoint")
        tools = await compare_tools(plain, speculating)
        notes |= dict.fromkeys(tools.notes if isinstance(tools, ToolCalls) else ())
    cache: tuple[CacheHits, CacheHits] | None = None
    if plan.cache:
        progress("a repeated prompt of each endpoint")
        cache = await _cache(plain, speculating, repeated(prompts))
    if cache is not None:
        notes |= dict.fromkeys(cache_notes(plain.shown, speculating.shown, *cache))
    return Comparison(tuple(texts), sampled, tuple(notes), tools, cache)


# --- greedy -------------------------------------------------------------------------------------------


async def _greedy(plain: Side, speculating: Side, prompt: str, a: Continuation, b: Continuation) -> GreedyText:
    if paired(a, b) is None:
        return _by_characters(prompt, a, b)
    position = departure(a, b)
    if position is None:
        return GreedyText(prompt, len(a.names))
    one, other = _shown(a, position), _shown(b, position)
    scores = await _scores(plain, speculating, prompt, position, a, b)
    verdict = judge(scores) if scores is not None else Verdict("cannot tell", _why_not(a, b, position))
    return GreedyText(prompt, len(a.names), position, one, other, scores, verdict)


def _by_characters(prompt: str, a: Continuation, b: Continuation) -> GreedyText:
    """Without names of tokens the place of a difference is known, and not how close it was."""
    position = text_departure(a, b)
    if position is None:
        return GreedyText(prompt, len(a.names))
    verdict = Verdict("cannot tell", "An endpoint names no tokens, so nothing can be scored.")
    return GreedyText(
        prompt, 0, position, a.text[position : position + 8], b.text[position : position + 8], None, verdict
    )


def _shown(text: Continuation, position: int) -> str:
    if position >= len(text.names):
        return _END
    return text.tokens[position].text if position < len(text.tokens) else f"token {text.ids[position]}"


def _why_not(a: Continuation, b: Continuation, position: int) -> str:
    if position >= min(len(a.names), len(b.names)):
        return "One text ends there, and the end of a text is not scored."
    if not a.scored:
        return "The engine without speculation does not report the scores of tokens."
    return "The text before the token cannot be sent again as the tokens that it was."


async def _scores(
    plain: Side, speculating: Side, prompt: str, position: int, a: Continuation, b: Continuation
) -> Scores | None:
    """The scores of the two tokens; None if the text before them cannot be sent again, or is not scored."""
    if not a.scored or position >= min(len(a.tokens), len(b.tokens)):
        return None
    one, other = a.tokens[position].text, b.tokens[position].text
    again = await _after(plain, prompt, a, position)
    alone = await _after(speculating, prompt, a, position)
    if again is None or alone is None:
        return None
    choice: Literal["A", "B"] | None = "A" if alone.text == one else "B" if alone.text == other else None
    return Scores(
        one_row=margin(a.tokens[position].top, one, other),
        many_rows=margin(again.top, one, other),
        speculating=margin(alone.top, one, other),
        choice=choice,
        shifts=await _shifts(plain, prompt, a, position),
    )


async def _shifts(plain: Side, prompt: str, a: Continuation, position: int) -> tuple[float, ...]:
    """How much the margin of the two most probable tokens changes between one row and many, at places before."""
    places = sorted({round(place) for place in np.linspace(0, max(0, position - 1), _SHIFT_PLACES)})
    shifts = list[float]()
    for place in places if position else []:
        token = a.tokens[place]
        second, again = runner_up(token), await _after(plain, prompt, a, place)
        if second is None or again is None or token.text not in again.top or second not in again.top:
            continue
        before, after = margin(token.top, token.text, second), margin(again.top, token.text, second)
        if before is not None and after is not None:
            shifts.append(abs(before - after))
    return tuple(shifts)


async def _after(side: Side, prompt: str, text: Continuation, position: int) -> GeneratedToken | None:
    """What an endpoint generates after the first tokens of a text, asked for one token.

    None if it would read other tokens than those.
    """
    for sent in _prefixes(prompt, text, position):
        try:
            found = await side.generate(sent, 1)
        except UnusableError:
            raise
        except TargetError:
            continue  # it takes text only, or ids only
        expected = None if text.prompt_tokens is None else text.prompt_tokens + position
        if None in {expected, found.prompt_tokens} or expected == found.prompt_tokens:
            return found.tokens[0] if found.tokens else None
    return None


def _prefixes(prompt: str, text: Continuation, position: int) -> Iterator[Prompt]:
    """The prompt with the first tokens of a text, as ids and as text, where each is known."""
    if text.prompt_ids and len(text.ids) >= position:
        yield [*text.prompt_ids, *text.ids[:position]]
    begun = "".join(token.text for token in text.tokens[:position])
    if text.text.startswith(begun):
        yield prompt + begun


# --- sampled ------------------------------------------------------------------------------------------


async def _sampled(plain: Side, speculating: Side, prompts: Sequence[str], plan: Plan) -> TwoSample:
    drawn = [
        [await side.draws(prompt, plan.samples, _SAMPLED_TOKENS) for prompt in prompts] for side in (plain, speculating)
    ]
    everything = [text for side in drawn for texts in side for text in texts]
    by_id, by_token = all(text.ids for text in everything), all(text.tokens for text in everything)
    a, b = ([[_outcome(text, by_id, by_token) for text in texts] for texts in side] for side in drawn)
    return two_sample(a, b, np.random.default_rng(plan.seed))


def _outcome(text: Continuation, by_id: bool, by_token: bool) -> Sequence[int | str]:
    """The tokens as both endpoints name them; the characters, if they do not."""
    if by_id:
        return text.ids
    return [token.text for token in text.tokens] if by_token else list(text.text)


async def _cache(plain: Side, speculating: Side, prompt: str) -> tuple[CacheHits, CacheHits] | None:
    """None if an endpoint refuses the prompt, for example because it is too long for it."""
    try:
        return await cache_hits(plain, prompt), await cache_hits(speculating, prompt)
    except UnusableError:
        raise
    except TargetError:
        return None


# --- what is reported wrongly -------------------------------------------------------------------------


def _reported_wrongly(side: Side, text: Continuation, other: Continuation) -> list[str]:
    notes, zeros = list[str](), lying(text.tokens, other.tokens)
    if zeros:
        notes.append(
            f"{side.shown} reports a log-probability of exactly 0 for runs of tokens, {zeros} in one text: these are "
            "not its scores."
        )
    counted, named = text.completion_tokens, len(text.names)
    if counted is not None and named and counted != named and counted != named + text.ended:
        notes.append(f"{side.shown} counts {counted} tokens in its usage, and names {named}.")
    prompt, total = text.prompt_tokens, text.total_tokens
    if counted is not None and prompt is not None and total is not None and total != prompt + counted:
        notes.append(f"{side.shown} counts {total} tokens in all, and {prompt} and {counted} as its parts.")
    return notes


def _counted_differently(a: Continuation, b: Continuation) -> list[str]:
    """Of equal texts; a text that was cut by the limit of tokens is equal to a longer one, so lengths count too."""
    counts = a.completion_tokens, b.completion_tokens
    if None in counts or counts[0] == counts[1] or a.text != b.text or a.ended != b.ended:
        return []
    return [
        f"For one text, the usage without speculation has {counts[0]} tokens, and the usage with it has {counts[1]}."
    ]


def _read_differently(a: Continuation, b: Continuation) -> list[str]:
    if None in {a.prompt_tokens, b.prompt_tokens} or a.prompt_tokens == b.prompt_tokens:
        return []
    return [
        f"One endpoint reads {a.prompt_tokens} tokens in a prompt and the other {b.prompt_tokens}: they have different "
        "tokenizers, or add different tokens."
    ]
