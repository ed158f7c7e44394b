"""Several drafters propose a branch each, and the tree of them is verified at once (Miao et al. 2024, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from speculatoviz.core.chance import Chance, Toss
from speculatoviz.core.types import Draft, Floats, Limits, Need, Plan, Request, Round, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.branches import merge

_STRIDE = 1 << 10  # more nodes than any draft has


class MultiDrafter:
    """Its members draft independently of each other, in the order in which their branches are tested.

    Every member drafts a chain of the plan's depth, and the last one fills what is left of plan.nodes with branches
    of its own. How much room there is may depend on the members before, never on those behind: what is tested first
    must not know what was drawn for later. For a target that takes chains only, the last member that has something to
    say drafts alone.
    """

    name = "multi"

    def __init__(self, members: Sequence[Drafter]) -> None:
        if not members:
            raise ValueError("expected at least one member")
        self._members = list(members)
        self._request = Request((0,), Sampling(), Limits(0))

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset[Need]().union(*(member.needs for member in self._members))

    def begin(self, request: Request) -> None:
        self._request = request
        for member in self._members:
            member.begin(request)

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        if not self._request.drafting.trees:
            return self._one_with_words(prefix, round, plan, chance)
        left = max(plan.nodes, plan.depth * len(self._members))
        room = plan.room
        drafts: list[Draft] = []
        for place, member in enumerate(self._members):
            left = left if room is None else min(left, room)
            own = left if member is self._members[-1] else min(plan.depth, left)
            if own > 0:
                share = replace(plan, drafter=member.name, depth=min(plan.depth, own), nodes=own, room=room)
                draft = member.draft(prefix, round, share, _Apart(chance, place * _STRIDE))
                left -= len(draft)
                room = None if room is None else room - len(draft) - len(draft.probes.tokens if draft.probes else ())
                drafts.append(draft)
        return merge(round, drafts)

    def _one_with_words(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        for member in reversed(self._members):
            draft = member.draft(prefix, round, replace(plan, drafter=member.name), chance)
            if len(draft):
                break
        return draft

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        del prefix, round, plan, chance, pays
        return False

    def observe(self, round: Round) -> None:
        for member in self._members:
            member.observe(round)

    def close(self) -> None:
        """The members belong to whoever made them."""


class _Apart:
    """A Chance whose nodes are numbered from elsewhere: two members that shared a choice would not be independent."""

    def __init__(self, chance: Chance, first: int) -> None:
        self._chance, self._first = chance, first

    def accept(self, prob: float, node: int) -> Toss:
        return self._chance.accept(prob, self._first + node)

    def draw(self, weights: Floats, node: int) -> int:
        return self._chance.draw(weights, self._first + node)
