"""An endpoint that generates by itself: its tokens are shown beside the drafts, and verify nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from speculatoviz.core.rounds import Usage, Verdict
from speculatoviz.core.types import Draft, Request
from speculatoviz.errors import TargetError
from speculatoviz.targets.hosted.endpoint import Bill
from speculatoviz.targets.hosted.modes import Api, Said, compared
from speculatoviz.targets.loop import LoopThread


class Watched:
    """One generation, taken round by round: as many tokens as equal the draft's, and the one that does not."""

    def __init__(self, api: Api, request: Request, loop: LoopThread) -> None:
        self._api, self._request, self._loop = api, request, loop
        self._tokens: AsyncIterator[int] | None = None
        self._ahead: list[int] = []

    async def verify(self, draft: Draft, bill: Bill) -> Verdict:
        if self._tokens is None:
            request = self._request
            self._tokens = self._api.stream(request.prompt, request.sampling, request.limits)
            bill.usage += Usage(calls=1)
        bill.server_ms = None
        tokens: list[int] = draft.tokens.tolist()
        drawn = list[Said]()
        for place in range(len(tokens) + 1):
            drawn.append(Said(await self._next()))
            if place < len(tokens) and drawn[-1].token != tokens[place]:
                break
        return replace(compared(tokens, drawn), exactness="unverified")

    async def _next(self) -> int:
        assert self._tokens is not None
        try:
            return await anext(self._tokens)
        except StopAsyncIteration:
            raise TargetError(
                "The endpoint ended its answer before an end token came.", "Lower the tokens asked for."
            ) from None

    def close(self) -> None:
        if isinstance(tokens := self._tokens, AsyncIterator) and hasattr(tokens, "aclose"):
            self._loop.call(tokens.aclose)
        self._tokens = None
