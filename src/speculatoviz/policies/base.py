"""The protocol of policies: how deep to draft, and with which drafter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rounds import Round


@dataclass(frozen=True, slots=True)
class State:
    """What a policy may know before a round.

    round: its index. committed: the number of committed ids. left: the most tokens that the run may still emit.
    outlook: what the drafter of a name knows of its next draft; it computes no forward pass.
    """

    round: int
    committed: int
    left: int
    outlook: Callable[[str], Outlook]


class Policy(Protocol):
    """Plans each round before anything of it is drafted."""

    def plan(self, state: State) -> Plan:
        """The plan of a round. Has no side effects: a round may be planned ahead, and planned again later."""

    def observe(self, round: Round) -> None:
        """Learn from a finished round."""

    def change(self, *, depth: int | None, drafter: str | None, nodes: int | None) -> None:
        """Adopt what a user changed during a run; None leaves a setting as it is."""
