"""Raises and lowers the depth by what became of the last draft: a simple reference for `auto`."""

from __future__ import annotations

from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.policies.base import State

_RAISED = 2


class AdaptivePolicy:
    """Two tokens more after a draft that was accepted whole, one less after any other, between 1 and `deepest`.

    The heuristic of transformers' assisted generation. It knows nothing of costs.
    """

    def __init__(self, drafter: str, depth: int, deepest: int) -> None:
        self._drafter, self._depth, self._deepest = drafter, max(1, min(depth, deepest)), deepest

    def plan(self, state: State) -> Plan:
        del state
        return Plan(self._drafter, self._depth if self._deepest else 0)

    def observe(self, round: Round) -> None:
        if len(round.draft):
            whole = len(round.verdict.path) == len(round.draft)
            self._depth = min(self._deepest, self._depth + _RAISED) if whole else max(1, self._depth - 1)

    def change(self, *, depth: int | None, drafter: str | None, nodes: int | None) -> None:
        """A depth is the largest from now on."""
        del nodes
        self._drafter = drafter or self._drafter
        if depth is not None:
            self._deepest, self._depth = depth, max(1, min(self._depth, depth))
