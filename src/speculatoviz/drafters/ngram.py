"""Prompt lookup: the tokens that followed the last occurrence of the last tokens (Saxena 2023; Yang et al. 2023)."""

from __future__ import annotations

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.types import Draft, Ints, Support
from speculatoviz.drafters.base import BaseDrafter

_OUTLOOK = 16  # tokens


class NgramDrafter(BaseDrafter):
    """Searches prompt and output for the longest suffix of `shortest` to `longest` tokens, the newest match first.

    Its tokens are chosen, not drawn: q is a point mass. Raises ValueError for sizes out of order.
    """

    name = "ngram"
    begins_at_no_cost = True

    def __init__(self, shortest: int = 2, longest: int = 4) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(f"expected 1 <= shortest <= longest, got {shortest} and {longest}")
        self._shortest, self._longest = shortest, longest

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        del chance
        tokens = self._continuation(np.array(prefix, np.int32), plan.depth)
        ends = [i for i, token in enumerate(tokens) if token in self.request.limits.end_ids]
        return Draft.chain(round, tokens[: ends[0] + 1] if ends else tokens, (), self.name)

    def outlook(self, prefix: list[int]) -> Outlook:
        """Its certainty is the length of the match divided by the longest one searched for."""
        after, size = self._match(np.array(prefix, np.int32))
        tokens = tuple(prefix[after : after + _OUTLOOK]) if size else ()
        return Outlook(tokens, (size / self._longest,) * len(tokens), longest=len(prefix) - after if size else 0)

    def next(self, prefix: list[int]) -> Support | None:
        """The point mass on the token that followed the match; None without a match."""
        tokens = self._continuation(np.array(prefix, np.int32), 1)
        return Support.point(tokens[0]) if tokens else None

    def confidence(self, prefix: list[int]) -> float:
        """The length of the match divided by the longest one searched for, 0 to 1."""
        return self._match(np.array(prefix, np.int32))[1] / self._longest

    def _continuation(self, ids: Ints, count: int) -> list[int]:
        after, size = self._match(ids)
        return [int(token) for token in ids[after : after + count]] if size else []

    def _match(self, ids: Ints) -> tuple[int, int]:
        """(index after the newest of the longest earlier matches, length of the match); (0, 0) without one."""
        for size in range(min(self._longest, len(ids) - 1), self._shortest - 1, -1):
            starts = _occurrences(ids, size)
            if len(starts):
                return int(starts[-1]) + size, size
        return 0, 0


def _occurrences(ids: Ints, size: int) -> Ints:
    """The start indices of the earlier occurrences of the last `size` ids, without the suffix itself."""
    starts = np.flatnonzero(ids[: len(ids) - size] == ids[-size])
    for offset in range(1, size):
        starts = starts[ids[starts + offset] == ids[len(ids) - size + offset]]
    return starts.astype(np.int32)
