"""What a grammar forces is drafted without a model: the text that must follow, whatever was chosen before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from speculatoviz.core.chance import Chance
from speculatoviz.core.constraint import FORCED, Constraint
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import ROOT, Draft, Need, Request
from speculatoviz.drafters.base import Drafter, Pays

MOST_FORCED = 16  # tokens of one draft: a pass takes more time with more rows
_CERTAINTY = 0.95  # of a forced token. The text is certain, but p may prefer to split it into other tokens


class ForcedDrafter:
    """Drafts forced tokens, then lets `drafter` go on after them.

    Forced tokens are chosen without chance, so q is a point mass. They cost no pass, so a draft can have more of them
    than its plan is deep. Chosen tokens of `drafter` that the grammar does not allow are left out: they could not be
    accepted. Its drawn tokens stay, as every drawn token has to.
    """

    def __init__(self, drafter: Drafter, constraint: Constraint) -> None:
        self._drafter, self._constraint = drafter, constraint
        self._begun: Request | None = None

    @property
    def name(self) -> str:
        return self._drafter.name

    @property
    def needs(self) -> frozenset[Need]:
        return self._drafter.needs

    @property
    def begins_at_no_cost(self) -> bool:
        return self._drafter.begins_at_no_cost

    @property
    def request(self) -> Request:
        """The request of the run. Raises RuntimeError before `begin`."""
        if self._begun is None:
            raise RuntimeError(f"{self.name}: begin() must be called before draft()")
        return self._begun

    @property
    def block(self) -> int | None:
        return None  # forced text can be longer than a block of the drafter's

    def unread(self, prefix: list[int]) -> int:
        return self._drafter.unread(prefix)

    def begin(self, request: Request) -> None:
        self._begun = request
        self._drafter.begin(request)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        """Targets that take a grammar compute in this process: nothing is drafted ahead."""
        del prefix, round, plan, chance, pays
        return False

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Pays) -> bool:
        del round, plan, chance, pays
        return False

    def forget_prompts(self) -> None:
        self._drafter.forget_prompts()

    def close(self) -> None:
        """The other drafter is closed by whoever made it."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        forced = self._forced(prefix, plan.room)
        if not forced:
            return self._allowed(prefix, self._drafter.draft(prefix, round, plan, chance))
        first = Draft.chain(round, list(forced), (), FORCED)
        depth = plan.depth - len(forced)
        if depth <= 0 or forced[-1] in self.request.limits.end_ids:
            return first
        room = None if plan.room is None else plan.room - len(forced)
        rest = replace(plan, depth=depth, nodes=max(0, plan.nodes - len(forced)), room=room)
        longer = [*prefix, *forced]
        return _joined(first, self._allowed(longer, self._drafter.draft(longer, round, rest, chance)))

    def outlook(self, prefix: list[int]) -> Outlook:
        forced = self._forced(prefix, None)
        own = self._drafter.outlook(prefix)
        if not forced:
            return own
        certainties = (_CERTAINTY,) * len(forced)
        return Outlook(forced, certainties, None if own.longest is None else len(forced) + own.longest, own.missing)

    def observe(self, round: Round) -> None:
        self._drafter.observe(round)

    def _forced(self, prefix: Sequence[int], room: int | None) -> tuple[int, ...]:
        """The forced tokens after `prefix`, as many as the pass and the run's limit have room for."""
        output = prefix[self.request.output_start :]
        left = self.request.limits.max_tokens - len(output) - 1
        most = min(MOST_FORCED, left if room is None else min(left, room))
        return self._constraint.forced(output, most) if most > 0 else ()

    def _allowed(self, prefix: Sequence[int], draft: Draft) -> Draft:
        """The draft without chosen nodes that the grammar does not allow, and without what is below them."""
        output = prefix[self.request.output_start :]
        kept: set[int] = set()
        for node, (token, parent) in enumerate(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True)):
            attached = parent == ROOT or parent in kept
            if attached and (draft.q[node] is not None or self._allows(output, draft, parent, token)):
                kept.add(node)
        return draft if len(kept) == len(draft) else only(draft, kept)

    def _allows(self, output: Sequence[int], draft: Draft, parent: int, token: int) -> bool:
        allowed = self._constraint.allowed([*output, *draft.tokens[draft.path(parent)].tolist()])
        return allowed is None or bool(allowed[token])


def _joined(first: Draft, rest: Draft) -> Draft:
    """`rest` below the last node of the chain `first`. Probes of `rest` are left out."""
    n, more = len(first), len(rest)
    parents = np.where(rest.parents == ROOT, n - 1, rest.parents + n).astype(np.int32)
    return replace(
        rest,
        tokens=np.concatenate([first.tokens, rest.tokens]),
        parents=np.concatenate([first.parents, parents]),
        q=first.q + rest.q,
        source=first.source + rest.source,
        scores=first.scores + rest.scores,
        times_ms=first.times_ms + rest.times_ms,
        covered_mass=first.covered_mass + (rest.covered_mass or (None,) * more),
        certainties=(None,) * n + rest.certainties if rest.certainties else (),
        evidence=(None,) * n + rest.evidence if rest.evidence else (),
        probes=None,
    )


def only(draft: Draft, kept: Collection[int]) -> Draft:
    """A draft of some of its nodes, which include all of their ancestors. Probes are left out.

    Exact only if no drawn token is left out (the second law of drafting, see `Draft`).
    """
    nodes = sorted(kept)
    places = {ROOT: ROOT} | {node: place for place, node in enumerate(nodes)}
    return replace(
        draft,
        tokens=draft.tokens[nodes],
        parents=np.array([places[int(draft.parents[node])] for node in nodes], np.int32),
        q=tuple(draft.q[node] for node in nodes),
        source=tuple(draft.source[node] for node in nodes),
        scores=tuple(draft.scores[node] for node in nodes),
        times_ms=tuple(draft.times_ms[node] for node in nodes),
        covered_mass=tuple(draft.covered_mass[node] for node in nodes) if draft.covered_mass else (),
        certainties=tuple(draft.certainties[node] for node in nodes) if draft.certainties else (),
        evidence=tuple(draft.evidence[node] for node in nodes) if draft.evidence else (),
        probes=None,
    )
