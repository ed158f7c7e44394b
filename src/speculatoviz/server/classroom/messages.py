"""What travels on `/ws/classroom`, in both directions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from speculatoviz.config import RANGES
from speculatoviz.telemetry.parts import Strict

DEEPEST = 8  # tokens of a draft that a class can look at
_LONGEST_TOKEN = 64

Phase = Literal["closed", "waiting", "preparing", "betting", "revealed", "ended"]


class Join(Strict):
    """Take part. `token`: as `welcome` gave it, to go on with the same score; null for a new visitor."""

    type: Literal["join"]
    name: str = Field(max_length=400)
    token: str | None = Field(None, max_length=_LONGEST_TOKEN)


class Present(Strict):
    """Open the classroom and lead it. `token`: as `welcome` gave it, to go on leading it."""

    type: Literal["present"]
    token: str | None = Field(None, max_length=_LONGEST_TOKEN)


class Prepare(Strict):
    """Decode an answer, whose rounds the class then bets on. Of the presenter."""

    type: Literal["prepare"]
    prompt: str = Field(max_length=4000)
    k: int = Field(4, ge=1, le=DEEPEST)
    temperature: Annotated[float, RANGES["temperature"].field()] = 0.0
    max_tokens: int = Field(96, ge=8, le=256)
    seed: Annotated[int, RANGES["seed"].field()] | None = None
    drafter: str | None = Field(None, max_length=_LONGEST_TOKEN)


class Bet(Strict):
    """How many of the drafted tokens of a round the target accepts. A later bet replaces an earlier one."""

    type: Literal["bet"]
    round: int
    accepted: int = Field(ge=0, le=DEEPEST)


class Reveal(Strict):
    """Show the decisions of the round. Of the presenter."""

    type: Literal["reveal"]


class Next(Strict):
    """Go on to the next round. Of the presenter."""

    type: Literal["next"]


class Close(Strict):
    """End the classroom, with all scores. Of the presenter."""

    type: Literal["close"]


ClassroomMessage = Annotated[
    Join | Present | Prepare | Bet | Reveal | Next | Close,
    Field(discriminator="type"),
]
CLASSROOM_MESSAGE: TypeAdapter[Join | Present | Prepare | Bet | Reveal | Next | Close] = TypeAdapter(ClassroomMessage)


class ClassToken(Strict):
    """A drafted token. `draft_prob`: q as the rule used it; at T=0, where that is 1, of the draft model at T=1.

    The other fields are null until the round is revealed: `target_prob` is p in the same way, `status` the decision.
    """

    token: str
    draft_prob: float | None
    status: Literal["accepted", "rejected", "discarded"] | None
    target_prob: float | None
    acceptance_prob: float | None
    uniform: float | None


class BoardPlace(Strict):
    name: str
    score: int


class Visitor(Strict):
    """The visitor of this connection. `rank`: from 1; equal scores share one. `gained`: in the revealed round."""

    name: str
    score: int
    rank: int
    bet: int | None
    gained: int | None


class ClassroomView(Strict):
    """Everything that one connection may see. `accepted`, `replacement` and `votes` are null until the reveal.

    `round` is from 1, of `rounds`. `before`: the end of the text before the round. `bets`: visitors who have bet.
    `votes[i]`: of them, those who bet on i accepted tokens. `played`: decisions that were shown so far, which is the
    highest possible score. `always`: the score of one who bets on full acceptance in every round.
    """

    type: Literal["classroom"] = "classroom"
    phase: Phase
    leads: bool
    presenter_here: bool
    prompt: str
    temperature: float
    drafter: str
    round: int
    rounds: int
    before: str
    tokens: list[ClassToken]
    accepted: int | None
    replacement: str | None
    bets: int
    votes: list[int] | None
    visitors: int
    board: list[BoardPlace]
    played: int
    always: int
    you: Visitor | None


class Welcome(Strict):
    """The answer to `join` and `present`: the token with which this browser comes back. It is known to no one else."""

    type: Literal["welcome"] = "welcome"
    token: str


class Refused(Strict):
    """A message that was not followed: what happened, and what to do."""

    type: Literal["refused"] = "refused"
    code: str
    message: str
    hint: str


ClassroomEvent = Annotated[ClassroomView | Welcome | Refused, Field(discriminator="type")]
