"""Modified rejection sampling: keep the draft tokens the target could have drawn, then draw one more itself.

The output distribution is the target's, whatever q is, as long as every token was drawn from the q it declares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from speculatoviz.core.chance import EXTRA, Chance, Toss
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import ROOT, Check, Draft, Extra, Status, Support


class Decision(NamedTuple):
    """The accepted path, the token after it, every test made, and what was left of p where the path ended."""

    path: tuple[int, ...]
    extra: Extra
    checks: tuple[Check, ...]
    final: Distribution


def verify_tokens(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Token verification (Leviathan et al. 2023, section 2.3 and appendix A.1; Chen et al. 2023, algorithm 2).

    Walked over a tree, it is recursive rejection sampling (Miao et al. 2024, section 4.3; with siblings drawn without
    replacement Chen et al. 2024, "Sequoia", section 3.2); a chain is a tree with one child per node.
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
    extra = Extra(token, extra_status(draft, parent), left.prob(token))
    return Decision(tuple(path), extra, tuple(checks), left)


def verify_block(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Block verification of a chain (Sun et al. 2024, algorithm 2): whole prefixes are tested, the longest first.

    Never keeps less than token verification in expectation; the same for point masses and at T=0. The weight of a
    prefix is min(1, p(x) / q(x)) carried along, and a prefix that ends the draft is kept with its weight.
    Raises ValueError for a tree.
    """
    if not draft.is_chain:
        raise ValueError("expected a chain: block verification is not defined on a tree")
    p = [target(node) for node in range(-1, len(draft))]
    weights, kept_probs = prefixes(draft, p)
    tosses: dict[int, Toss] = {}
    kept = len(draft)
    while kept > 0:
        tosses[kept] = chance.accept(kept_probs[kept - 1], kept - 1)
        if tosses[kept].accepted:
            break
        kept -= 1
    checks: list[Check] = []
    for node, token in enumerate(draft.tokens.tolist()):
        status: Status = "accepted" if node < kept else "discarded"
        draft_prob, toss = _q(draft, node).prob(token), tosses.get(node + 1)
        uniform = toss.uniform if toss else None
        checks.append(Check(node, token, status, p[node].prob(token), draft_prob, kept_probs[node], uniform))
    left = p[kept] if kept == len(draft) else p[kept].minus(_q(draft, kept), weights[kept])
    token = left.draw(chance, EXTRA)
    extra = Extra(token, extra_status(draft, kept - 1), left.prob(token))
    return Decision(tuple(range(kept)), extra, tuple(checks), left)


def prefixes(draft: Draft, p: Sequence[Distribution]) -> tuple[list[float], list[float]]:
    """Weights of a chain's prefixes of 0 to n tokens, and the chance that each but the empty one passes its test.

    p: behind the last committed token and behind each node. A prefix is kept if it passes and no longer one does.
    """
    weights, kept_probs = [1.0], list[float]()
    for node, token in enumerate(draft.tokens.tolist()):
        draft_prob = _q(draft, node).prob(token)
        if draft_prob <= 0.0:
            raise ValueError(f"node {node} holds token {token}, to which its declared q gives no probability")
        weight = min(1.0, weights[-1] * p[node].prob(token) / draft_prob)
        weights.append(weight)
        last = node + 1 == len(draft)
        overlap = 0.0 if last else p[node + 1].overlap(_q(draft, node + 1), weight)
        # All of p lies under q: whatever comes next is kept, and this prefix is never asked for.
        kept_probs.append((weight - overlap) / (1.0 - overlap) if overlap < 1.0 else 1.0)
    return weights, kept_probs


def _q(draft: Draft, node: int) -> Support:
    return draft.q[node] or Support.point(int(draft.tokens[node]))


def _test_children(
    draft: Draft, parent: int, p: Distribution, chance: Chance, checks: list[Check]
) -> tuple[int, Distribution | None]:
    """The accepted child and None, or ROOT and what is left of p where every child was rejected.

    p is let go with an accepted child: a vocabulary-sized array that outlives its turn costs more than its sums.
    """
    for node in draft.children(parent):
        check, p = _test(draft, node, p, chance)
        checks.append(check)
        if check.status == "accepted":
            return node, None
    return ROOT, p


def _test(draft: Draft, node: int, p: Distribution, chance: Chance) -> tuple[Check, Distribution]:
    """Accept or reject one node; returns the check and what is left of p."""
    token = int(draft.tokens[node])
    q = _q(draft, node)
    target_prob, draft_prob = p.prob(token), q.prob(token)
    if draft_prob <= 0.0:
        raise ValueError(f"node {node} holds token {token}, to which its declared q gives no probability")
    acceptance = min(1.0, target_prob / draft_prob)
    toss = chance.accept(acceptance, node)
    status: Status = "accepted" if toss.accepted else "rejected"
    check = Check(node, token, status, target_prob, draft_prob, acceptance, toss.uniform)
    return check, p if toss.accepted else p.minus(q)


def extra_status(draft: Draft, last: int) -> Status:
    if len(draft) == 0:
        return "plain"
    return "resampled" if draft.children(last) else "bonus"
