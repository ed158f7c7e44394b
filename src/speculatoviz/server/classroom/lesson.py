"""The rounds of a run, as a class bets on them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

from speculatoviz.server.classroom.messages import ClassToken
from speculatoviz.telemetry.events import DraftToken, Event, VerifyResult

_MOST_LETTERS = 600  # of the text before a round


class LessonRound(NamedTuple):
    """A round whose drafts were tested. before: the end of the visible text before it.

    tokens: with their decisions. accepted: how many of them the target accepted, the first ones. replacement: the token
    of the target after them; None if there is none.
    """

    before: str
    tokens: tuple[ClassToken, ...]
    accepted: int
    replacement: str | None

    @property
    def tested(self) -> int:
        """Decisions of the round: the accepted tokens, and the first rejected one."""
        return min(self.accepted + 1, len(self.tokens))

    def points(self, bet: int) -> int:
        """How many decisions a bet on `bet` accepted tokens calls right: each accepted one, and the first rejection."""
        right = min(bet, self.accepted)
        return right + (bet == self.accepted < len(self.tokens))

    def hidden(self) -> tuple[ClassToken, ...]:
        """The tokens without their decisions."""
        nothing = {"status": None, "target_prob": None, "acceptance_prob": None, "uniform": None}
        return tuple(token.model_copy(update=nothing) for token in self.tokens)


def lesson(events: Iterable[Event], *, greedy: bool) -> tuple[LessonRound, ...]:
    """The rounds of a run that drafted chains under the rule `token`. Rounds without a draft only add text."""
    drafted: dict[int, list[DraftToken]] = {}
    verdicts: dict[int, list[VerifyResult]] = {}
    for event in events:
        if isinstance(event, DraftToken):
            drafted.setdefault(event.round, []).append(event)
        elif isinstance(event, VerifyResult):
            verdicts.setdefault(event.round, []).append(event)
    rounds, text = [], ""
    for number in sorted(verdicts):
        found = verdicts[number]
        if tokens := drafted.get(number):
            rounds.append(_round(text, tokens, found, greedy=greedy))
        text += "".join(result.text for result in found)
    return tuple(rounds)


def _round(text: str, drafted: list[DraftToken], results: list[VerifyResult], *, greedy: bool) -> LessonRound:
    by_node = {result.node: result for result in results}
    tokens = tuple(_token(draft, by_node[draft.node], greedy=greedy) for draft in drafted if draft.node in by_node)
    accepted = sum(token.status == "accepted" for token in tokens)
    extra = by_node.get(None)
    return LessonRound(text[-_MOST_LETTERS:], tokens, accepted, None if extra is None else extra.final_token)


def _token(draft: DraftToken, result: VerifyResult, *, greedy: bool) -> ClassToken:
    """At T=0 the rule uses point masses, which state nothing of how likely a token is: the raw probabilities do."""
    q, p = (draft.logprob, result.target_logprob) if greedy else (None, None)
    return ClassToken(
        token=draft.token,
        draft_prob=_prob(q) if greedy else draft.draft_prob,
        status=cast(Literal["accepted", "rejected", "discarded"], result.status),
        target_prob=_prob(p) if greedy else result.target_prob,
        acceptance_prob=result.acceptance_prob,
        uniform=result.uniform,
    )


def _prob(logprob: float | None) -> float | None:
    return None if logprob is None else math.exp(logprob)
