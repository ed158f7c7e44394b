"""What a target is: something that verifies drafts, wherever its model runs."""

from __future__ import annotations

from typing import Protocol

from speculatoviz.core.types import Draft, Drafting, Exactness, Request, Verdict
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

    def begin(self, request: Request) -> Exactness:
        """Take up `request.prompt`, reusing what is cached of it. Called again when the sampling changes.

        Raises CancelledError between chunks of the prefill.
        """

    def submit(self, draft: Draft) -> Pending:
        """Verify a draft behind the committed ids; an empty draft is one plain step."""

    def close(self) -> None: ...
