"""What an endpoint offers to the modes of verification, whatever its routes are called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from speculatoviz.core.types import Request, Sampling
from speculatoviz.targets.hosted.usage import CallUsage

RAW = Sampling(1.0)  # p itself: temperature 1, no filters
UNKNOWN_TOKEN = -1  # stands for a token whose text does not identify one id


class ScoredToken(NamedTuple):
    """A token at one place, given by us or drawn by the endpoint, with the endpoint's scores there.

    logprob: log p(token) in nats; None if the endpoint does not return it. top: the most probable (id, log p(id)),
    most probable first; empty if the endpoint does not return them all. Scores are raw: temperature 1, no filters.
    """

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()

    def known(self) -> Mapping[int, float]:
        """Every log-probability that is known at this place, by id."""
        scores = dict(self.top)
        if self.logprob is not None:
            scores.setdefault(self.token, self.logprob)
        return scores


class Api(Protocol):
    """The calls of one endpoint. Each adds what it used to `usage` and raises TargetError."""

    async def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, top: int, usage: CallUsage
    ) -> list[ScoredToken]:
        """One token after each prompt, drawn independently. top: how many alternatives to return, if possible."""

    async def draws(self, prompt: Sequence[int], count: int, usage: CallUsage) -> list[ScoredToken]:
        """`count` independent draws from p after one prompt, with their log-probabilities."""

    async def score(
        self, ids: Sequence[int], start: int, sampling: Sampling, top: int, usage: CallUsage
    ) -> tuple[list[ScoredToken], ScoredToken]:
        """The scores of each of ids[start:], and one token drawn after all of `ids`."""

    def stream(self, request: Request) -> AsyncIterator[int]:
        """Plain decoding of a request in one call; an end token comes last."""

    def readable(self, ids: Sequence[int], draft: Sequence[int]) -> int:
        """How many drafted tokens can be sent after `ids` so that the endpoint reads those very tokens.

        Raises TargetError if `ids` themselves cannot be sent.
        """
