"""Prompt lookup: what followed the last tokens the last time they occurred (Saxena 2023; Yang et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.types import Draft, Ints, Limits, Need, Plan, Request, Round, Sampling, Support


class NgramDrafter:
    """Looks the longest suffix of `shortest` to `longest` tokens up in prompt and output, newest match first.

    Its tokens are chosen, not drawn: q is a point mass.
    """

    name = "ngram"
    needs: frozenset[Need] = frozenset()

    def __init__(self, shortest: int = 2, longest: int = 4) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(f"expected 1 <= shortest <= longest, got {shortest} and {longest}")
        self._shortest, self._longest = shortest, longest
        self._request = Request((0,), Sampling(), Limits(0))

    def begin(self, request: Request) -> None:
        self._request = request

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        del chance
        tokens = self._continuation(np.array(prefix, np.int32), plan.depth)
        ends = [i for i, token in enumerate(tokens) if token in self._request.limits.end_ids]
        return Draft.chain(round, tokens[: ends[0] + 1] if ends else tokens, (), self.name)

    def next(self, prefix: list[int]) -> Support | None:
        """The point mass on what came next the last time."""
        tokens = self._continuation(np.array(prefix, np.int32), 1)
        return Support.point(tokens[0]) if tokens else None

    def confidence(self, prefix: list[int]) -> float:
        """Taken from the length of its match: the longest it looks for counts as one token that will be right."""
        return self._match(np.array(prefix, np.int32))[1] / self._longest

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        del prefix, round, plan, chance, pays  # looking up takes no time worth hiding
        return False

    def observe(self, round: Round) -> None:
        pass

    def close(self) -> None:
        pass

    def _continuation(self, ids: Ints, count: int) -> list[int]:
        after, size = self._match(ids)
        return [int(token) for token in ids[after : after + count]] if size else []

    def _match(self, ids: Ints) -> tuple[int, int]:
        """Where the text goes on behind the newest of the longest earlier matches, and its length; 0 without one."""
        for size in range(min(self._longest, len(ids) - 1), self._shortest - 1, -1):
            starts = _occurrences(ids, size)
            if len(starts):
                return int(starts[-1]) + size, size
        return 0, 0


def _occurrences(ids: Ints, size: int) -> Ints:
    """Starts of the earlier occurrences of the last `size` ids; the suffix itself is not one."""
    starts = np.flatnonzero(ids[: len(ids) - size] == ids[-size])
    for offset in range(1, size):
        starts = starts[ids[starts + offset] == ids[len(ids) - size + offset]]
    return starts.astype(np.int32)
