"""Rules of other programs, for comparison: sample-and-match, which is exact, and typical acceptance, which is not."""

from __future__ import annotations

import math
from collections.abc import Callable

from speculatoviz.core.chance import EXTRA, Chance
from speculatoviz.core.rejection import Decision, extra_status
from speculatoviz.core.rounds import Check, Extra
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import ROOT, Draft, Status

TYPICAL_EPSILON = 0.09  # the thresholds of Medusa's code
TYPICAL_DELTA = 0.3


def verify_match(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Sample-and-match: draw a token from p at each node; continue while a child holds that token.

    Exact for any q, which it never reads. A token drawn from q is accepted with probability sum p q; rejection
    sampling accepts it with probability sum min(p, q), which is at least as much.
    """
    path, checks = list[int](), list[Check]()
    while True:
        parent = path[-1] if path else ROOT
        p = target(parent)
        token = p.draw(chance, parent)
        tested, found = _compare(draft, parent, token, p)
        checks += tested
        if found is None:
            return Decision(tuple(path), Extra(token, extra_status(draft, parent), p.prob(token)), tuple(checks), p)
        path.append(found)


def _compare(draft: Draft, parent: int, token: int, p: Distribution) -> tuple[list[Check], int | None]:
    """Checks of the children of `parent` up to the one that holds `token`, and that child; None if there is none."""
    checks: list[Check] = []
    for node in draft.children(parent):
        own, q = int(draft.tokens[node]), draft.q[node]
        same = own == token
        status: Status = "accepted" if same else "rejected"
        prob = p.prob(own)
        checks.append(Check(node, own, status, prob, q.prob(own) if q else 1.0, prob, None))
        if same:
            return checks, node
    return checks, None


def verify_typical(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Typical acceptance (Cai et al. 2024, section 2.3.1). LOSSY: the output distribution is not the target's.

    A token x passes if p(x) >= min(epsilon, delta exp(-H(p))), H being the entropy of p. The longest path of tokens
    that pass is accepted, and the extra token is drawn from p after it.
    """
    rows = {ROOT: target(ROOT)}
    depths, checks = {ROOT: 0}, dict[int, Check]()
    for node, (token, parent) in enumerate(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True)):
        if parent not in rows:
            continue  # its parent did not pass, so it is not tested
        p, q = rows[parent], draft.q[node]
        prob = p.prob(token)
        kept = prob >= min(TYPICAL_EPSILON, TYPICAL_DELTA * math.exp(-p.entropy()))
        status: Status = "accepted" if kept else "rejected"
        checks[node] = Check(node, token, status, prob, q.prob(token) if q else 1.0, float(kept), None)
        if kept:
            rows[node], depths[node] = target(node), depths[parent] + 1
    last = max(depths, key=lambda node: depths[node])  # the first of the deepest
    path = draft.path(last)
    shown = tuple(_beside(check, path) for check in checks.values())
    token = rows[last].draw(chance, EXTRA)
    return Decision(tuple(path), Extra(token, extra_status(draft, last), rows[last].prob(token)), shown, rows[last])


def _beside(check: Check, path: list[int]) -> Check:
    """A token that passed but is not on the longest path is discarded."""
    if check.status != "accepted" or check.node in path:
        return check
    return Check(check.node, check.token, "discarded", check.target_prob, check.draft_prob, check.acceptance_prob, None)
