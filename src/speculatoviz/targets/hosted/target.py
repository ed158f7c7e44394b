"""A target at an endpoint that does not verify drafts itself: the mode that does, and the calls of each round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from speculatoviz.core.chance import ChanceSource, seeded
from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import Draft, Drafting, Exactness, Request
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.models.base import Description, Tokenizer
from speculatoviz.targets.base import Remote, refuse_constraint, refuse_needs
from speculatoviz.targets.hosted import modes
from speculatoviz.targets.hosted.api import Api
from speculatoviz.targets.hosted.choice import Abilities, Mode, SelectedMode, choose
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.generation import Generation
from speculatoviz.targets.hosted.modes import Verification
from speculatoviz.targets.hosted.usage import CallUsage
from speculatoviz.targets.local import committed
from speculatoviz.targets.loop import LoopThread, RemotePending


@dataclass(frozen=True, slots=True)
class ProbedEndpoint:
    """An endpoint with everything that is known of it.

    tokenizer: the endpoint's own, from files of this machine. can: what a probe found. remote: the findings as they are
    shown. mode: how drafts are verified, by name; `auto` takes the first of scores, thinning and match that is exact
    for the sampling. alternatives: how many tokens to report per place, for display.
    """

    endpoint: Endpoint
    api: Api
    tokenizer: Tokenizer
    can: Abilities
    remote: Remote
    description: Description
    mode: str = "auto"
    alternatives: int = 8


class HostedTarget:
    """Verifies drafts at an endpoint of a third party. clock: in seconds. Raises TargetError for an unknown mode.

    owns: whether it closes the endpoint.
    """

    def __init__(
        self,
        probed: ProbedEndpoint,
        loop: LoopThread,
        clock: Callable[[], float],
        chance: Callable[[int], ChanceSource] = seeded,
        *,
        owns: bool = True,
    ) -> None:
        check_mode(probed.mode)
        self._owns = owns
        self._probed, self._loop, self._clock, self._chance_of = probed, loop, clock, chance
        self._begun: tuple[Request, SelectedMode] | None = None
        self._ids: list[int] = []
        self._generation: Generation | None = None
        self.window = None

    @property
    def remote(self) -> HostedTarget:
        return self

    @property
    def tokenizer(self) -> Tokenizer:
        return self._probed.tokenizer

    @property
    def context_tokens(self) -> int:
        return self._probed.description.context_tokens

    @property
    def description(self) -> Description:
        return self._probed.description

    @property
    def drafting(self) -> Drafting:
        """Chosen drafts where tokens are compared, and where a draft may have to be shortened to be sent as text."""
        drawn = self._choice.strategy in {"thinned", "rows", "bounded"} and not self._probed.can.from_text
        return Drafting(sampled=drawn)

    def claim(self, request: Request) -> Exactness:
        refuse_needs(request)
        if request.rule != "token":
            raise TargetError(
                f"The rule {request.rule!r} needs a target in this process: an endpoint verifies by its mode.",
                "Leave the rule at token, or choose a --target-mode.",
            )
        if request.sampling.penalties.active:
            raise BadRequestError(
                "Penalties and biases need a target in this process or behind our own verifier: an endpoint would "
                "apply them to its own output, not to the tokens before each drafted one.",
                "Leave them out, or choose another target.",
            )
        refuse_constraint(request)
        return self._choose(request).exactness

    def strategy(self, request: Request) -> str:
        """How a request would be verified."""
        return self._choose(request).strategy

    def begin(self, request: Request) -> Exactness:
        """Raises TargetError if the sampling changes within the answer of a chat, which cannot be continued."""
        choice, continued = self._choose(request), self._continued(request)
        if continued and request.sampling == self._request.sampling:
            self._begun = request, choice  # the endpoint goes on generating
            return choice.exactness
        if continued and self._probed.can.chat:
            raise TargetError(
                "This endpoint answers chats only, and an answer cannot be continued with another sampling.",
                "Start a new run with it.",
            )
        self._begun, self._ids = (request, choice), list(request.prompt)
        self._end_generation()
        if choice.strategy == "generate":
            self._generation = Generation(self._probed.api, request, self._loop)
        return choice.exactness

    def submit(self, draft: Draft) -> RemotePending:
        if not draft.is_chain:
            raise ValueError("expected a chain, got a tree")
        begun = self._clock()
        return self._loop.pending(lambda: self._verify(draft, begun), self._request.cancelled)

    def stream(self, request: Request) -> Iterator[int]:
        return self._loop.iterate(lambda: self._probed.api.stream(request), request.cancelled)

    def about(self) -> Remote:
        endpoint = self._probed.endpoint
        remote = replace(self._probed.remote, rate_limit=str(endpoint.limits) or None)
        if self._begun is not None:
            remote = replace(remote, mode=self._choice.strategy)
        if not endpoint.waits:
            return remote
        waits = ("waits that the endpoint asked for", str(endpoint.waits))
        return replace(remote, findings=(*remote.findings, waits))

    def close(self) -> None:
        self._end_generation()
        if self._owns:
            self._probed.tokenizer.close()
            self._loop.call(self._probed.endpoint.close)

    @property
    def most_runs(self) -> int | None:
        return None

    def another(self) -> HostedTarget:
        """With requests of its own to the same endpoint, which the first target closes."""
        return HostedTarget(self._probed, self._loop, self._clock, self._chance_of, owns=False)

    def held(self, prompt: Sequence[int]) -> int:
        del prompt
        return 0

    async def _verify(self, draft: Draft, begun: float) -> Verdict:
        probed, request, usage = self._probed, self._request, CallUsage()
        if self._generation is not None:
            verdict = await self._generation.verify(draft, usage)
        else:
            draft = modes.first(draft, probed.api.readable(self._ids, draft.tokens.tolist()))
            given = Verification(
                self._ids,
                draft,
                request.sampling,
                self._chance_of(request.seed)("verify", draft.round),
                usage,
                probed.tokenizer.n_vocab,
                probed.alternatives if request.evidence else 0,
            )
            verdict = await _verdict(probed.api, given, self._choice)
        self._check_extra(verdict)
        self._ids += committed(draft, verdict)
        flight_ms = (self._clock() - begun) * 1000
        network_ms = self._network_ms(flight_ms, usage.server_ms)
        return replace(verdict, flight_ms=flight_ms, network_ms=network_ms, usage=usage.total)

    def _check_extra(self, verdict: Verdict) -> None:
        """Raises TargetError for a token that is padding of the model's output, or no token at all."""
        token, n_vocab = verdict.extra.token, self._probed.tokenizer.n_vocab
        if not 0 <= token < n_vocab:
            raise TargetError(
                f"The endpoint chose token {token}, and the vocabulary here has {n_vocab} tokens.",
                "Name a local model of the same family as the endpoint's (--target-tokenizer).",
            )

    @property
    def _request(self) -> Request:
        return self._run[0]

    @property
    def _choice(self) -> SelectedMode:
        return self._run[1]

    @property
    def _run(self) -> tuple[Request, SelectedMode]:
        """The request of the last `begin` and how it is verified. Raises RuntimeError before it."""
        if self._begun is None:
            raise RuntimeError("begin() must be called before submit()")
        return self._begun

    def _choose(self, request: Request) -> SelectedMode:
        return choose(self._probed.mode, request, self._probed.can, self._probed.tokenizer.n_vocab)

    def _continued(self, request: Request) -> bool:
        """Whether a request is the rest of the run whose answer the endpoint is generating."""
        if self._generation is None or request.conversation != self._request.conversation:
            return False
        return len(self._ids) > len(self._generation.request.prompt) and list(request.prompt) == self._ids

    def _network_ms(self, flight_ms: float, server_ms: float | None) -> float:
        """The flight without the endpoint's own time; if that is not known, at most the measured round trip."""
        if server_ms is not None and server_ms > 0.0:
            return max(0.0, flight_ms - server_ms)
        return min(flight_ms, self._probed.remote.rtt_ms or 0.0)

    def _end_generation(self) -> None:
        if self._generation is not None:
            self._generation.close()
        self._generation = None


def check_mode(mode: str) -> None:
    """Raises TargetError that lists the modes."""
    if mode not in get_args(Mode):
        raise TargetError(f"There is no mode {mode!r}.", f"Choose one of: {', '.join(get_args(Mode))}.")


async def _verdict(api: Api, given: Verification, choice: SelectedMode) -> Verdict:
    match choice.strategy:
        case "greedy":
            return await modes.greedy(api, given)
        case "thinned":
            return await modes.thinned(api, given)
        case "rows":
            return await modes.rows(api, given, choice.top)
        case "bounded":
            return await modes.bounded(api, given, choice.top)
    return await modes.match(api, given)
