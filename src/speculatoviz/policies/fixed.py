"""The same drafter, depth and tree size in every round."""

from __future__ import annotations

from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.policies.base import State


class FixedPolicy:
    """Plans every round alike, until a user changes the settings. Depth 0 is plain decoding."""

    def __init__(self, drafter: str, depth: int, nodes: int = 0) -> None:
        self._plan = Plan(drafter, depth, nodes)

    def plan(self, state: State) -> Plan:
        del state
        return self._plan

    def observe(self, round: Round) -> None:
        del round

    def change(self, *, depth: int | None, drafter: str | None, nodes: int | None) -> None:
        plan = self._plan
        self._plan = Plan(
            drafter or plan.drafter,
            plan.depth if depth is None else depth,
            plan.nodes if nodes is None else nodes,
        )
