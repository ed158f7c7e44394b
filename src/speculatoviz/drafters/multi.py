"""Several drafters propose a branch each; all branches are verified as one tree (Miao et al. 2024, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speculatoviz.core.chance import Chance, Toss
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Floats
from speculatoviz.drafters.base import CompositeDrafter, Drafter
from speculatoviz.drafters.merge import merge

MOST_MEMBERS = 64


class MultiDrafter(CompositeDrafter):
    """Its members draft independently of each other. Their branches are tested in the order of the members.

    Every member drafts a chain of the plan's depth; the last one fills what is left of plan.nodes with branches. The
    room for a member may depend on the members before it, never on those after it: what is tested first must not depend
    on what was drawn for later. If the target takes chains only, the last member that drafts anything drafts alone.
    Raises ValueError for no or too many members.
    """

    name = "multi"

    def __init__(self, members: Sequence[Drafter]) -> None:
        super().__init__(members)
        if len(members) > MOST_MEMBERS:
            raise ValueError(f"expected at most {MOST_MEMBERS} members, got {len(members)}")

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        if not self.request.drafting.trees:
            return self._last_that_drafts(prefix, round, plan, chance)
        left = max(plan.nodes, plan.depth * len(self.members))
        room = plan.room
        drafts: list[Draft] = []
        for place, member in enumerate(self.members):
            left = left if room is None else min(left, room)
            own = left if member is self.members[-1] else min(plan.depth, left)
            if own > 0:
                share = replace(plan, drafter=member.name, depth=min(plan.depth, own), nodes=own, room=room)
                draft = member.draft(prefix, round, share, MemberChance(chance, place))
                left -= len(draft)
                room = None if room is None else room - len(draft) - len(draft.probes.tokens if draft.probes else ())
                drafts.append(draft)
        return merge(round, drafts)

    def _last_that_drafts(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        for place, member in reversed(list(enumerate(self.members))):
            draft = member.draft(prefix, round, replace(plan, drafter=member.name), MemberChance(chance, place))
            if len(draft):
                break
        return draft


class MemberChance:
    """The random choices of one member: node i uses the random number of node i * MOST_MEMBERS + place.

    Members that shared a random number would not be independent. The map is injective in (i, place), and so is its
    composition: a `multi` within a `multi` has numbers of its own.
    """

    def __init__(self, chance: Chance, place: int) -> None:
        self._chance, self._place = chance, place

    def accept(self, prob: float, node: int) -> Toss:
        return self._chance.accept(prob, self._own(node))

    def draw(self, weights: Floats, node: int) -> int:
        return self._chance.draw(weights, self._own(node))

    def _own(self, node: int) -> int:
        return node * MOST_MEMBERS + self._place
