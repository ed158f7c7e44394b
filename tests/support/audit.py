"""Whether the tokens that a drafter draws fit the distributions that it declares for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Request, Support
from speculatoviz.drafters.base import Drafter
from support.goodness import cells, goodness_of_fit

Place = tuple[tuple[int, ...], tuple[int, ...], bytes]


class Finding(NamedTuple):
    """p_value: of the worst place, times the number of places tested. later: those that have an earlier sibling."""

    p_value: float
    tested: int
    later: int


@dataclass(slots=True)
class _Drawn:
    q: Support | None
    tokens: Counter[int] = field(default_factory=Counter)


def audit(drafter: Drafter, request: Request, plan: Plan, runs: int) -> Finding:
    """Draft after the prompt of a request, and compare every token with its q.

    A place is what was settled before a token was drawn: its ancestors, its earlier siblings, and q. Of all drafts
    that come to one place the tokens must be distributed as q; a token without q must always be the same.
    """
    drafter.begin(request)
    drawn: dict[Place, _Drawn] = {}
    for seed in range(runs):
        draft = drafter.draft(list(request.prompt), 0, plan, seeded(seed)("draft", 0))
        for node, place in enumerate(_places(draft)):
            drawn.setdefault(place, _Drawn(draft.q[node])).tokens[int(draft.tokens[node])] += 1
    found = {place: _fit(own.q, own.tokens) for place, own in drawn.items()}
    tested = {place: p_value for place, p_value in found.items() if p_value is not None}
    assert tested or all(own.q is None or len(own.q.ids) == 1 for own in drawn.values()), "nothing was tested"
    worst = min(tested.values(), default=1.0) * max(1, len(tested))
    return Finding(min(1.0, worst), len(tested), sum(bool(siblings) for _, siblings, _ in tested))


def _places(draft: Draft) -> list[Place]:
    said = draft.tokens.tolist()
    places: list[Place] = []
    for node, (parent, q) in enumerate(zip(draft.parents.tolist(), draft.q, strict=True)):
        above = tuple(said[other] for other in draft.path(parent))
        siblings = tuple(said[other] for other in draft.children(parent) if other < node)
        places.append((above, siblings, b"" if q is None else q.ids.tobytes() + q.probs.tobytes()))
    return places


def _fit(q: Support | None, tokens: Counter[int]) -> float | None:
    """The p-value of the tokens drawn at one place, rare ones pooled; None if too few were drawn to tell.

    0 for tokens that q excludes, and for a q that is no distribution over ascending ids.
    """
    if q is None:
        return None if len(tokens) == 1 else 0.0
    error = abs(float(q.probs.sum(dtype=np.float64)) - 1.0)
    if error > (1e-9 if q.probs.dtype == np.float64 else 1e-6) or not np.all(np.diff(q.ids) > 0):
        return 0.0
    if any(q.prob(token) <= 0.0 for token in tokens):
        return 0.0
    probs = dict(zip(q.ids.tolist(), q.probs.tolist(), strict=True))
    return goodness_of_fit(tokens, probs) if len(cells(tokens, probs)[0]) > 1 else None
