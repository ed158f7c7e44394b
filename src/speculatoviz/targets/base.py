"""What a target is: something that verifies drafts, wherever its model runs."""

from __future__ import annotations

from typing import Protocol

from speculatoviz.core.types import Draft, Exactness, Request, Verdict
from speculatoviz.models.base import Tokenizer


class Pending(Protocol):
    """A verification under way."""

    def result(self) -> Verdict: ...
    def cancel(self) -> None: ...


class Target(Protocol):
    """Holds the committed ids: the prompt of `begin`, extended by every verdict."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def context_tokens(self) -> int: ...
    def begin(self, request: Request) -> Exactness:
        """Take up `request.prompt`, reusing what is cached of it. Called again when the sampling changes.

        Raises CancelledError between chunks of the prefill.
        """

    def submit(self, draft: Draft) -> Pending:
        """Verify a draft behind the committed ids; an empty draft is one plain step."""

    def close(self) -> None: ...
