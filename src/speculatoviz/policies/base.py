"""How deep to speculate, and with whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from speculatoviz.core.types import Plan, Round


@dataclass(frozen=True, slots=True)
class State:
    """What a policy may look at before a round."""

    round: int
    committed: int


class Policy(Protocol):
    def plan(self, state: State) -> Plan:
        """What the next round is to be. Asking changes nothing: a round may be planned ahead and planned again."""

    def observe(self, round: Round) -> None: ...
    def change(self, *, depth: int | None, drafter: str | None, nodes: int | None) -> None:
        """Follow a user who changes depth, drafter or the size of the tree during a run."""


class FixedPolicy:
    """The same drafter, depth and tree every round, until the user says otherwise."""

    def __init__(self, drafter: str, depth: int, nodes: int = 0) -> None:
        self._plan = Plan(drafter, depth, nodes)

    def plan(self, state: State) -> Plan:
        del state
        return self._plan

    def observe(self, round: Round) -> None:
        pass

    def change(self, *, depth: int | None, drafter: str | None, nodes: int | None) -> None:
        plan = self._plan
        self._plan = Plan(
            drafter or plan.drafter,
            plan.depth if depth is None else depth,
            plan.nodes if nodes is None else nodes,
        )
