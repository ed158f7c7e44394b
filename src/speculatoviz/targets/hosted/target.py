"""A target behind an API that knows nothing of drafts: which mode verifies them there, and the calls of each round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

from speculatoviz.core.chance import ChanceSource, seeded
from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import Draft, Drafting, Exactness, Limits, Request, Sampling
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Description, Tokenizer
from speculatoviz.targets.base import Remote, refuse_needs
from speculatoviz.targets.hosted import modes
from speculatoviz.targets.hosted.choice import Abilities, Choice, Mode, choose
from speculatoviz.targets.hosted.endpoint import Bill, Endpoint
from speculatoviz.targets.hosted.generation import Watched
from speculatoviz.targets.hosted.modes import Api, Turn
from speculatoviz.targets.local import committed
from speculatoviz.targets.loop import LoopThread, RemotePending


class HostedTarget:
    """Verifies drafts at an endpoint of a third party. clock: seconds. alternatives: how many to report per token.

    mode: how, by name; `auto` takes the first of scores, thinning and match that is exact for the sampling.
    """

    def __init__(
        self,
        api: Api,
        endpoint: Endpoint,
        tokenizer: Tokenizer,
        loop: LoopThread,
        clock: Callable[[], float],
        *,
        can: Abilities,
        remote: Remote,
        description: Description,
        mode: str = "auto",
        chance: Callable[[int], ChanceSource] = seeded,
        alternatives: int = 8,
    ) -> None:
        if mode not in get_args(Mode):
            raise TargetError(f"There is no mode {mode!r}.", f"Choose one of: {', '.join(get_args(Mode))}.")
        self._tokenizer, self._description, self._remote = tokenizer, description, remote
        self._api, self._endpoint, self._loop, self._clock = api, endpoint, loop, clock
        self._can, self._mode, self._chance_of, self._alternatives = can, mode, chance, alternatives
        self._request = Request((0,), Sampling(), Limits(0))
        self._choice = Choice("match", Exactness("exact", ""))
        self._ids: list[int] = []
        self._watched: Watched | None = None
        self.window = None

    @property
    def remote(self) -> HostedTarget:
        return self

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def context_tokens(self) -> int:
        return self._description.context_tokens

    @property
    def description(self) -> Description:
        return self._description

    @property
    def drafting(self) -> Drafting:
        """Chosen drafts where tokens are compared, and where text may force a draft to be cut."""
        drawn = self._choice.strategy in {"thinned", "rows", "bounded"} and not self._can.from_text
        return Drafting(sampled=drawn)

    def claim(self, request: Request) -> Exactness:
        refuse_needs(request)
        if request.rule != "token":
            raise TargetError(
                f"The rule {request.rule!r} needs a target that is at hand: how an endpoint verifies is its mode.",
                "Leave the rule at token, or choose a --target-mode.",
            )
        return self._choose(request).exactness

    def strategy(self, request: Request) -> str:
        """How a request would be verified."""
        return self._choose(request).strategy

    def begin(self, request: Request) -> Exactness:
        self._choice = self._choose(request)
        self._request, self._ids = request, list(request.prompt)
        self._stop_watching()
        if self._choice.strategy == "generate":
            self._watched = Watched(self._api, request, self._loop)
        return self._choice.exactness

    def submit(self, draft: Draft) -> RemotePending:
        if not draft.is_chain:
            raise ValueError("expected a chain, got a tree")
        begun = self._clock()
        return RemotePending(self._loop.start(lambda: self._verify(draft, begun)), self._request.cancelled)

    def stream(self, request: Request) -> Iterator[int]:
        return self._loop.iterate(
            lambda: self._api.stream(request.prompt, request.sampling, request.limits), request.cancelled
        )

    def about(self) -> Remote:
        remote = replace(self._remote, mode=self._choice.strategy, rate_limit=self._endpoint.rate_limit())
        if not self._endpoint.waits:
            return remote
        waits = ("waits that the endpoint asked for", str(self._endpoint.waits))
        return replace(remote, findings=(*remote.findings, waits))

    def close(self) -> None:
        self._stop_watching()
        self._tokenizer.close()
        self._loop.call(self._endpoint.close)

    async def _verify(self, draft: Draft, begun: float) -> Verdict:
        request, choice, bill = self._request, self._choice, Bill()
        if self._watched is not None:
            verdict = await self._watched.verify(draft, bill)
        else:
            draft = modes.first(draft, self._api.readable(self._ids, draft.tokens.tolist()))
            turn = Turn(
                self._ids,
                draft,
                request.sampling,
                self._chance_of(request.seed)("verify", draft.round),
                bill,
                self._tokenizer.n_vocab,
                self._alternatives if request.evidence else 0,
            )
            verdict = await _run(self._api, turn, choice)
        self._ids += committed(draft, verdict)
        flight_ms = (self._clock() - begun) * 1000
        return replace(
            verdict, flight_ms=flight_ms, network_ms=self._network_ms(flight_ms, bill.server_ms), usage=bill.usage
        )

    def _choose(self, request: Request) -> Choice:
        return choose(self._mode, request, self._can, self._tokenizer.n_vocab)

    def _network_ms(self, flight_ms: float, server_ms: float | None) -> float:
        """What the endpoint's own time leaves, or, where it does not tell that, at most the measured round trip."""
        if server_ms is not None and server_ms > 0.0:
            return max(0.0, flight_ms - server_ms)
        return min(flight_ms, self._remote.rtt_ms or 0.0)

    def _stop_watching(self) -> None:
        if self._watched is not None:
            self._watched.close()
        self._watched = None


async def _run(api: Api, turn: Turn, choice: Choice) -> Verdict:
    match choice.strategy:
        case "greedy":
            return await modes.greedy(api, turn)
        case "thinned":
            return await modes.thinned(api, turn)
        case "rows":
            return await modes.rows(api, turn, choice.top)
        case "bounded":
            return await modes.bounded(api, turn, choice.top)
    return await modes.match(api, turn)
