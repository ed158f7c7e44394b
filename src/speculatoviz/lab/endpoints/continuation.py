"""A text that an endpoint generated, token by token, with the scores that it reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from speculatoviz.targets.hosted.answers import Choice, Completion

_LYING_RUN = 2  # tokens in a row
_CERTAIN = 1e-3  # nats: float32 rounds a smaller -log p to 0 in some engines


class GeneratedToken(NamedTuple):
    """A token by its text, with log p in nats; None and empty where the endpoint does not report it.

    top: the most probable tokens at that place by text.
    """

    text: str
    logprob: float | None
    top: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Continuation:
    """What one call generated.

    tokens: empty if the endpoint does not name its tokens. ids, prompt_ids: token ids; empty if it does not return
    them. ended: it stopped by itself. prompt_tokens, completion_tokens, total_tokens, cached_tokens: as it counts them;
    None if it does not.
    """

    text: str
    tokens: tuple[GeneratedToken, ...]
    ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    ended: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None = None
    cached_tokens: int | None = None

    @property
    def names(self) -> Sequence[int | str]:
        """What tells the tokens apart: ids if there are any, else their texts."""
        return self.ids or [token.text for token in self.tokens]

    @property
    def scored(self) -> bool:
        return any(token.top for token in self.tokens)


def read_choice(choice: Choice, answer: Completion) -> Continuation:
    """A choice of an answer of /completions."""
    return Continuation(
        text=choice.text or "",
        tokens=_tokens(choice),
        ids=choice.ids,
        prompt_ids=choice.prompt_token_ids,
        ended=choice.ended,
        prompt_tokens=answer.reported.prompt_tokens,
        completion_tokens=answer.reported.completion_tokens,
        total_tokens=answer.reported.total_tokens,
        cached_tokens=answer.reported.prompt_tokens_details.cached_tokens,
    )


def _tokens(choice: Choice) -> tuple[GeneratedToken, ...]:
    found = choice.logprobs
    if found.content:
        return tuple(
            GeneratedToken(
                entry.token or "",
                entry.logprob,
                {
                    one.token: one.logprob
                    for one in entry.top_logprobs
                    if one.token is not None and one.logprob is not None
                },
            )
            for entry in found.content
        )
    logprobs = [*found.token_logprobs, *[None] * len(found.tokens)]
    tops = [*found.top_logprobs, *[None] * len(found.tokens)]
    return tuple(
        GeneratedToken(str(name), logprob, top or {})
        for name, logprob, top in zip(found.tokens, logprobs, tops, strict=False)
    )


def paired(a: Continuation, b: Continuation) -> tuple[Sequence[int | str], Sequence[int | str]] | None:
    """What tells the tokens of both texts apart: ids, else texts; None if the endpoints name none, or not both."""
    if a.ids and b.ids:
        return a.ids, b.ids
    if a.tokens and b.tokens:
        return [token.text for token in a.tokens], [token.text for token in b.tokens]
    return None


def departure(a: Continuation, b: Continuation) -> int | None:
    """The index of the first token that differs; None for equal texts. Where one text ended, its length.

    Texts of which one was cut by the limit of tokens are compared as far as both go. Raises ValueError if the tokens
    are not named.
    """
    both = paired(a, b)
    if both is None:
        raise ValueError("expected two texts whose tokens are named")
    names, others = both
    for index, (one, other) in enumerate(zip(names, others, strict=False)):
        if one != other:
            return index
    shorter = a if len(names) < len(others) else b
    return min(len(names), len(others)) if len(names) != len(others) and shorter.ended else None


def text_departure(a: Continuation, b: Continuation) -> int | None:
    """The first character that differs, for endpoints that do not name their tokens; None for equal texts."""
    for index, (one, other) in enumerate(zip(a.text, b.text, strict=False)):
        if one != other:
            return index
    return min(len(a.text), len(b.text)) if len(a.text) != len(b.text) and (a.ended or b.ended) else None


def lying(tokens: Sequence[GeneratedToken], others: Sequence[GeneratedToken]) -> int:
    """How many tokens stand in runs of two or more whose log p = 0 is no score.

    A sure token can have log p = 0 after rounding. It is no score if the alternatives are missing, which other tokens
    have, or if the other endpoint scores the same token at the same place below 0.
    """
    alternatives = any(token.top for token in tokens)

    def contradicted(place: int) -> bool:
        token, other = tokens[place], others[place] if place < len(others) else None
        if token.logprob != 0.0:
            return False
        if alternatives and not token.top:
            return True
        same = other is not None and other.text == token.text
        return same and other is not None and other.logprob is not None and other.logprob < -_CERTAIN

    runs = [len(list(run)) for wrong, run in groupby(map(contradicted, range(len(tokens)))) if wrong]
    return sum(length for length in runs if length >= _LYING_RUN)


def margin(top: Mapping[str, float], a: str, b: str) -> float | None:
    """log p(a) - log p(b) in nats.

    Of a token that is not among `top`, the least of `top` is an upper bound: the margin is then the smallest possible
    one. None if neither token is known, or nothing is.
    """
    if a == b or not top or (a not in top and b not in top):
        return None
    least = min(top.values())
    value = top.get(a, least) - top.get(b, least)
    return value if math.isfinite(value) else None


def runner_up(token: GeneratedToken) -> str | None:
    """The most probable other token at a place; None if it is not known."""
    others = {text: logprob for text, logprob in token.top.items() if text != token.text}
    return max(others, key=lambda text: others[text], default=None)
