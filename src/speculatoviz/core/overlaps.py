"""How much of a rejection which difference between draft and target explains, for display.

p is the target's distribution as the rule uses it, q the draft's. p° is p without filters. All sums are over the
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.rejection import prefixes
from speculatoviz.core.rounds import Check, Overlap
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import Draft, Rule, Support

Rows = Callable[[int], Distribution]  # a distribution after a node, or after ROOT


def overlaps(draft: Draft, checks: Sequence[Check], p: Rows, unfiltered: Rows | None, rule: Rule) -> list[Overlap]:
    """The overlap at each check, in the order of the checks.

    p(node): the target's distribution after a node. unfiltered(node): p° there; None if no filter cuts anything.
    """
    reaches = _reaches(draft, p) if rule == "block" else [1.0] * len(draft)
    found: list[Overlap] = []
    last_parent, left = None, None
    for check in checks:
        node, parent = check.node, int(draft.parents[check.node])
        if left is None or parent != last_parent:
            left = p(parent)
        cut = None if unfiltered is None else unfiltered(parent)
        found.append(_overlap(draft, check, left, cut, reaches[node], rule))
        last_parent, left = parent, _after(draft, node, left, rule)
    return found


def _reaches(draft: Draft, p: Rows) -> list[float]:
    """w_i of `rejection.prefixes`: the probability that block verification keeps the nodes before node i."""
    weights, _ = prefixes(draft, [p(node) for node in range(-1, len(draft))])
    return weights[:-1]


def _after(draft: Draft, node: int, p: Distribution, rule: Rule) -> Distribution | None:
    """The p that the next sibling is tested against, once `node` is rejected; None for p itself."""
    if rule == "token":
        return p.minus(declared(draft, node))
    return p.minus(Support.point(int(draft.tokens[node]))) if rule == "match" else None


def declared(draft: Draft, node: int) -> Support:
    """q of a node: what its token was drawn from, or the point mass on a chosen token."""
    return draft.q[node] or Support.point(int(draft.tokens[node]))


def _overlap(
    draft: Draft, check: Check, p: Distribution, unfiltered: Distribution | None, reach: float, rule: Rule
) -> Overlap:
    node, q = check.node, declared(draft, check.node)
    evidence = draft.evidence[node] if draft.evidence else None
    own = q if evidence is None or evidence.own is None else evidence.own
    shared = p.overlap(own, reach)
    uncovered = 0.0
    if evidence is not None and evidence.vocabulary is not None:
        uncovered = reach * max(0.0, 1.0 - p.mass(evidence.vocabulary))
    filtered = 0.0 if unfiltered is None else _filtered(p, unfiltered, own, reach)
    return Overlap(reach, _accepted(check, p, q, reach, rule), shared, uncovered, filtered)


def _accepted(check: Check, p: Distribution, q: Support, reach: float, rule: Rule) -> float:
    if rule == "match":
        return float((p.probs(q.ids) * q.probs).sum())  # a token drawn from p is the one drawn from q
    return float(check.status != "rejected") if rule == "typical" else p.overlap(q, reach)


def _filtered(p: Distribution, unfiltered: Distribution, q: Support, reach: float) -> float:
    """sum of min(w p°, q) over the tokens with p = 0."""
    cut = p.probs(q.ids) == 0.0
    return float(np.minimum(reach * unfiltered.probs(q.ids), q.probs)[cut].sum())
