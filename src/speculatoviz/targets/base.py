"""What a target is: something that verifies drafts, wherever its model runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import Draft, Drafting, Exactness, Request
from speculatoviz.errors import TargetError
from speculatoviz.models.base import Description, Tokenizer


class Pending(Protocol):
    """A verification under way."""

    def done(self) -> bool:
        """Whether there is nothing to wait for: the answer is here, or is computed when it is asked for."""

    def result(self) -> Verdict:
        """Wait for the outcome. Raises CancelledError once the request is cancelled."""

    def cancel(self) -> None: ...


class Target(Protocol):
    """Holds the committed ids: the prompt of `begin`, extended by every verdict."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def context_tokens(self) -> int: ...
    @property
    def description(self) -> Description: ...
    @property
    def drafting(self) -> Drafting:
        """How drafts for the request of the last `begin` are to be made."""

    def claim(self, request: Request) -> Exactness:
        """What `begin` would answer; computes and asks nothing."""

    def begin(self, request: Request) -> Exactness:
        """Take up `request.prompt`, reusing what is cached of it. Called again when the sampling changes.

        Raises CancelledError between chunks of the prefill.
        """

    def submit(self, draft: Draft) -> Pending:
        """Verify a draft behind the committed ids; an empty draft is one plain step."""

    def close(self) -> None: ...


def refuse_needs(request: Request) -> None:
    """Raises TargetError where a drafter wants what does not travel: hidden states and probes of the target."""
    if request.needs:
        raise TargetError(
            "This drafter reads the target's own states, and a target elsewhere does not send them.",
            "Choose another drafter, or load the target here.",
        )


@runtime_checkable
class RemoteTarget(Target, Protocol):
    """A target elsewhere. It can also decode alone, which is what speculation over a network has to beat."""

    def stream(self, request: Request) -> Iterator[int]:
        """Plain decoding in one streaming call: ids as they arrive. Raises CancelledError once cancelled."""

    def strategy(self, request: Request) -> str:
        """How a request would be verified, as `Remote.mode` names it."""

    def about(self) -> Remote:
        """What is known of the endpoint and of the way to it."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What was found out about a remote target, for the page and `speculatoviz probe`; None where unknown.

    mode: how it verifies. calls_per_round: requests of a usual round. findings: (what was asked, answer) as they are
    shown. rate_limit: the headroom it declares, in words. warning: what a user should know before a run starts.
    """

    url: str
    mode: str
    rtt_ms: float | None
    calls_per_round: float | None = None
    findings: tuple[tuple[str, str], ...] = ()
    rate_limit: str | None = None
    warning: str | None = None
