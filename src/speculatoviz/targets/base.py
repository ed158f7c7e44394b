"""The protocol of targets. A target verifies drafts, wherever its model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import Draft, Drafting, Exactness, Request
from speculatoviz.errors import BadRequestError, TargetError
from speculatoviz.models.base import Description, Tokenizer
from speculatoviz.models.window import Window


class Pending(Protocol):
    """A verification that has been submitted."""

    def done(self) -> bool:
        """Whether `result` returns without waiting for anything but its own computation."""

    def result(self) -> Verdict:
        """Wait for the verdict. Raises CancelledError once the request is cancelled."""

    def cancel(self) -> None:
        """Stop; the verdict is not needed any more."""


class Target(Protocol):
    """Verifies drafts. It holds the committed ids: the prompt of `begin`, extended by every verdict.

    Exactly one of `window` and `remote` is not None.
    """

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def context_tokens(self) -> int:
        """The most committed ids, with a draft after them."""

    @property
    def description(self) -> Description: ...
    @property
    def drafting(self) -> Drafting:
        """What the target requires of drafts for the request of the last `begin`."""

    @property
    def window(self) -> Window | None:
        """The model's context, if the target computes in this process; None for a remote target."""

    @property
    def remote(self) -> RemoteTarget | None:
        """The target itself, if it computes elsewhere; None for a local target."""

    def claim(self, request: Request) -> Exactness:
        """The label that `begin` would return, and why. Neither computes nor asks anything.

        Raises BadRequestError or TargetError if the target cannot verify such a request.
        """

    def begin(self, request: Request) -> Exactness:
        """Commit `request.prompt`, reusing what the cache holds of it. Called again when the sampling changes.

        Raises CancelledError between chunks of the prefill.
        """

    def submit(self, draft: Draft) -> Pending:
        """Verify a draft after the committed ids. An empty draft is one plain step."""

    def close(self) -> None: ...


class RemoteTarget(Target, Protocol):
    """A target that computes elsewhere. Its own streaming is the baseline of speculation across a network."""

    def stream(self, request: Request) -> Iterator[int]:
        """Plain decoding in one streaming call: ids as they arrive. Raises CancelledError once cancelled."""

    def strategy(self, request: Request) -> str:
        """How a request would be verified, as `Remote.mode` names it."""

    @property
    def most_runs(self) -> int | None:
        """The most runs at the same time that the endpoint serves, all its clients together; None if unknown."""

    def another(self) -> RemoteTarget:
        """A further target at the same endpoint, for a run at the same time. Close it first. Raises TargetError."""

    def held(self, prompt: Sequence[int]) -> int:
        """How many ids of a prompt the far side holds for this target, as far as it is known."""

    def about(self) -> Remote:
        """The endpoint and the way to it, as far as they are known."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What is known of a remote target, for the page and `speculatoviz probe`; None where unknown.

    mode: how it verifies. rtt_ms: round-trip time. calls_per_round: requests of a usual round. findings: (question,
    answer) of the probe, as they are shown. rate_limit: the requests that are left, in words. warning: what a user
    should know before a run starts.
    """

    url: str
    mode: str
    rtt_ms: float | None
    calls_per_round: float | None = None
    findings: tuple[tuple[str, str], ...] = ()
    rate_limit: str | None = None
    warning: str | None = None


def refuse_needs(request: Request) -> None:
    """Raises TargetError for a drafter that needs the target's states or probes: a remote target sends neither."""
    if request.needs:
        raise TargetError(
            "This drafter reads the target's hidden states, and a remote target does not send them.",
            "Choose another drafter, or load the target on this machine.",
        )


def refuse_constraint(request: Request) -> None:
    """Raises BadRequestError for a grammar, which a target elsewhere would have to apply at every drafted position."""
    if request.constraint is not None:
        raise BadRequestError(
            "Structured output and tool calls need a target in this process: a remote target cannot apply a grammar to "
            "every drafted token.",
            "Leave them out, or load the target on this machine.",
        )
