"""p and q side by side, as a rule used them: what the page draws of one decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from speculatoviz.core.rejection import Decision
from speculatoviz.core.rounds import Compared
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import ROOT, Draft, Rule, Support

READS_Q: frozenset[Rule] = frozenset({"token", "block"})  # the rules that compare p with q


def compared_checks(
    decision: Decision, draft: Draft, rule: Rule, target: Callable[[int], Distribution], count: int
) -> dict[int, tuple[Compared, ...]]:
    """For each tested node, p and q of at most `count` tokens.

    They contain the tested token and, where the accepted path ends, the extra token. target(node): p after a node, for
    ROOT after the last committed token. Under the rule `token`, p of a sibling that is tested after a rejection is the
    residual norm(max(0, p - q)), as the rule used it.
    """
    found: dict[int, tuple[Compared, ...]] = {}
    left: dict[int, Distribution] = {}
    last = decision.path[-1] if decision.path else ROOT
    for check in decision.checks:
        parent = int(draft.parents[check.node])
        p = left.get(parent) or target(parent)
        q = (draft.q[check.node] or Support.point(check.token)) if rule in READS_Q else None
        concerned = (check.token, decision.extra.token) if parent == last else (check.token,)
        found[check.node] = compared(p, q, concerned, count)
        if rule == "token" and q is not None and check.status == "rejected":
            left[parent] = p.minus(q)
    return found


def compared(p: Distribution, q: Support | None, concerned: Sequence[int], count: int) -> tuple[Compared, ...]:
    """`concerned`, and as many of the most probable tokens of p and q as `count` has room for.

    Ordered by max(p, q), largest first.
    """
    likely = {token for token, _ in p.top(count)} | (_likely(q, count) if q else set())
    rows = [Compared(token, p.prob(token), q.prob(token) if q else None) for token in likely | set(concerned)]
    rows.sort(key=lambda row: (-max(row.target_prob, row.draft_prob or 0.0), row.token))
    room = max(0, count - len(set(concerned)))
    others = [row for row in rows if row.token not in concerned][:room]
    return tuple(row for row in rows if row.token in concerned or row in others)


def _likely(q: Support, count: int) -> set[int]:
    """The `count` most probable tokens of q."""
    order = (-q.probs).argsort(kind="stable")[:count]
    return set(q.ids[order].tolist())
