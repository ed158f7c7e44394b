"""Forward passes that several jobs share: which jobs a pass takes, and who computes the passes of a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from speculatoviz.core.rounds import SharedPass
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel, Rows

SHARED_CHUNK = 16  # tokens of a prompt in a pass while others wait for passes


class PassJob(Protocol):
    """A job that waits for a pass. fed: the contexts that it appends to. size: tokens that it adds to a pass."""

    @property
    def fed(self) -> Sequence[object]: ...
    @property
    def size(self) -> int: ...


J = TypeVar("J", bound=PassJob)


def next_jobs(waiting: Iterable[J]) -> list[J]:
    """The jobs of the next pass, in order of arrival.

    A pass takes at most one job of each context, and at most PREFILL_TOKENS tokens unless one job alone is larger.
    """
    batch, total, fed = list[J](), 0, set[int]()
    for job in waiting:
        contexts = {id(context) for context in job.fed}
        if fed.isdisjoint(contexts) and (not batch or total + job.size <= PREFILL_TOKENS):
            batch.append(job)
            fed |= contexts
            total += job.size
    return batch


class Passes(Protocol):
    """Who computes the passes of a window.

    chunk_tokens: of a prompt, in one pass. shared: the last pass of this thread, if other runs use the models too.
    """

    @property
    def chunk_tokens(self) -> int: ...
    @property
    def shared(self) -> SharedPass | None: ...
    def forward(self, model: LanguageModel, feeds: Sequence[Feed]) -> list[Rows]:
        """See `LanguageModel.forward`."""


class OwnPasses:
    """Computes every pass at once, by itself."""

    chunk_tokens = PREFILL_TOKENS
    shared = None

    def forward(self, model: LanguageModel, feeds: Sequence[Feed]) -> list[Rows]:
        """See `LanguageModel.forward`."""
        return model.forward(feeds)
