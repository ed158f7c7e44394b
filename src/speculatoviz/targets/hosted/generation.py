"""An endpoint that generates by itself: its tokens are compared with the drafts, and verify nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from speculatoviz.core.rounds import Usage, Verdict
from speculatoviz.core.types import Draft, Request
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.api import Api, ScoredToken
from speculatoviz.targets.hosted.modes import compared
from speculatoviz.targets.hosted.usage import CallUsage
from speculatoviz.targets.loop import LoopThread


class Generation:
    """One streaming generation, consumed round by round: tokens while they equal the draft's, and the first other."""

    def __init__(self, api: Api, request: Request, loop: LoopThread) -> None:
        self.request = request
        self._api, self._loop = api, loop
        self._tokens: AsyncIterator[int] | None = None

    async def verify(self, draft: Draft, usage: CallUsage) -> Verdict:
        """Raises TargetError if the stream ends before an end token."""
        if self._tokens is None:
            self._tokens = self._api.stream(self.request)
            usage.total += Usage(calls=1)
        usage.server_ms = None
        tokens: list[int] = draft.tokens.tolist()
        drawn = list[ScoredToken]()
        for place in range(len(tokens) + 1):
            drawn.append(ScoredToken(await self._next()))
            if place < len(tokens) and drawn[-1].token != tokens[place]:
                break
            if place < len(tokens) and drawn[-1].token in self.request.limits.end_ids:
                drawn.append(drawn[-1])  # nothing follows an end token, and what stands after it is dropped
                break
        return replace(compared(tokens, drawn), exactness="unverified")

    async def _next(self) -> int:
        assert self._tokens is not None
        try:
            return await anext(self._tokens)
        except StopAsyncIteration:
            raise TargetError(
                "The endpoint ended its answer before an end token.", "Lower the number of tokens that is asked for."
            ) from None

    def close(self) -> None:
        """End the stream."""
        if isinstance(tokens := self._tokens, AsyncIterator) and hasattr(tokens, "aclose"):
            self._loop.call(tokens.aclose)
        self._tokens = None
