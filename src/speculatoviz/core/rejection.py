"""Modified rejection sampling: accept drafted tokens so that the output distribution stays the target's.

Exact for any q, as long as every token was drawn from the q that its draft declares. p is the target, q the draft.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from speculatoviz.core.chance import EXTRA, Chance, Toss
from speculatoviz.core.rounds import Check, Extra
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import ROOT, Draft, Status, Support


class Decision(NamedTuple):
    """path: the accepted nodes. extra: the token after them. checks: every test, in order. final: the distribution that
    the extra token was drawn from (p, or the residual after a rejection)."""

    path: tuple[int, ...]
    extra: Extra
    checks: tuple[Check, ...]
    final: Distribution


def verify_tokens(draft: Draft, target: Callable[[int], Distribution], chance: Chance) -> Decision:
    """Token verification (Leviathan et al. 2023, section 2.3 and appendix A.1; Chen et al. 2023, algorithm 2).

    On a tree this is recursive rejection sampling (Miao et al. 2024, section 4.3; siblings drawn without replacement:
    Chen et al. 2024, "Sequoia", section 3.2). A chain is a tree with one child per node.
    target(node): p after a node, for ROOT after the last committed token; called only for rows that are needed.

    1. At a node, take p there and test its children in order.
    2. Accept a child x with probability min(1, p(x) / q(x)), and continue at x.
    3. On rejection, p <- norm(max(0, p - q)), and test the next child.
    4. If no child is left, draw the extra token from p.
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
    """Block verification of a chain (Sun et al. 2024, algorithm 2): tests whole prefixes, the longest first.

    It accepts at least as many tokens as token verification in expectation, and exactly as many for point masses and
    at T=0. The first prefix that passes its test is kept; the extra token is drawn from the residual
    norm(max(0, w p - q)) after it, with w the weight of the prefix (see `prefixes`). Raises ValueError for a tree.
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
    """Weights float[n + 1] of a chain's prefixes of 0 to n tokens, and the probabilities float[n] of passing the test.

    p[i]: the target's distribution after i drafted tokens. With x_i the drafted tokens, w_0 = 1 and
    w_i = min(1, w_(i-1) p_(i-1)(x_i) / q_i(x_i)). The prefix of i < n tokens passes with probability
    (w_i - s_i) / (1 - s_i), s_i = sum min(w_i p_i, q_(i+1)); the whole draft passes with probability w_n. The longest
    prefix that passes is kept. Raises ValueError for a token to which its q gives no probability.
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
        # overlap 1: w p lies below q everywhere, so the longer prefix always passes and this test never runs.
        kept_probs.append((weight - overlap) / (1.0 - overlap) if overlap < 1.0 else 1.0)
    return weights, kept_probs


def _q(draft: Draft, node: int) -> Support:
    return draft.q[node] or Support.point(int(draft.tokens[node]))


def _test_children(
    draft: Draft, parent: int, p: Distribution, chance: Chance, checks: list[Check]
) -> tuple[int, Distribution | None]:
    """(accepted child, None), or (ROOT, residual) if every child was rejected.

    p is not returned with an accepted child: to keep an array of vocabulary size alive costs more than to sum it.
    """
    for node in draft.children(parent):
        check, p = _test(draft, node, p, chance)
        checks.append(check)
        if check.status == "accepted":
            return node, None
    return ROOT, p


def _test(draft: Draft, node: int, p: Distribution, chance: Chance) -> tuple[Check, Distribution]:
    """Accept or reject one node. Returns the check and the next p: unchanged, or the residual."""
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
    """The status of the extra token after the node `last` (ROOT: nothing was accepted)."""
    if len(draft) == 0:
        return "plain"
    return "resampled" if draft.children(last) else "bonus"
