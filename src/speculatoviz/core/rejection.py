"""Modified rejection sampling: keep the draft tokens the target could have drawn, then draw one more itself.

Token verification of Leviathan et al. 2023 (section 2.3, appendix A.1) and Chen et al. 2023 (algorithm 2), walked
over a tree: a chain is a tree with one child per node. The output distribution is the target's, whatever q is, as
long as every token was drawn from the q it declares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from speculatoviz.core.chance import EXTRA, Chance
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import ROOT, Check, Draft, Extra, Status, Support


class Decision(NamedTuple):
    """The accepted path, the token after it, every test made, and what was left of p where the path ended."""

    path: tuple[int, ...]
    extra: Extra
    checks: tuple[Check, ...]
    final: Distribution


def verify_tokens(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Token verification.

    target(node) is p behind a node (ROOT: behind the last committed token), asked for only where it is needed.
    At each node the children are tested in order: accept x with probability min(1, p(x) / q(x)); on rejection
    go on with p <- norm(max(0, p - q)). When no child is left, draw the extra token from p.
    """
    path, checks = list[int](), list[Check]()
    while True:
        parent = path[-1] if path else ROOT
        node, left = _test_children(draft, parent, target(parent), chance, checks)
        if left is not None:
            break
        path.append(node)
    token = left.draw(chance, EXTRA)
    extra = Extra(token, _extra_status(draft, parent), left.prob(token))
    return Decision(tuple(path), extra, tuple(checks), left)


def _test_children(
    draft: Draft, parent: int, p: Distribution, chance: Chance, checks: list[Check]
) -> tuple[int, Distribution | None]:
    """The accepted child and None, or ROOT and what is left of p where every child was rejected.

    p is let go with an accepted child: a vocabulary-sized array that outlives its turn costs more than its sums.
    """
    for node in _children(draft, parent):
        check, p = _test(draft, node, p, chance)
        checks.append(check)
        if check.status == "accepted":
            return node, None
    return ROOT, p


def _test(draft: Draft, node: int, p: Distribution, chance: Chance) -> tuple[Check, Distribution]:
    """Accept or reject one node; returns the check and what is left of p."""
    token = int(draft.tokens[node])
    q = draft.q[node] or Support.point(token)
    target_prob, draft_prob = p.prob(token), q.prob(token)
    if draft_prob <= 0.0:
        raise ValueError(f"node {node} holds token {token}, to which its declared q gives no probability")
    acceptance = min(1.0, target_prob / draft_prob)
    toss = chance.accept(acceptance, node)
    status: Status = "accepted" if toss.accepted else "rejected"
    check = Check(node, token, status, target_prob, draft_prob, acceptance, toss.uniform)
    return check, p if toss.accepted else p.minus(q)


def _extra_status(draft: Draft, last: int) -> Status:
    if len(draft) == 0:
        return "plain"
    return "resampled" if _children(draft, last) else "bonus"


def _children(draft: Draft, parent: int) -> list[int]:
    return [node for node, up in enumerate(draft.parents.tolist()) if up == parent]
