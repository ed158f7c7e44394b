"""Several drafts behind one prefix as one tree."""

from __future__ import annotations

from collections.abc import Sequence

from speculatoviz.core.types import ROOT, Draft, Node


def merge(round: int, drafts: Sequence[Draft]) -> Draft:
    """One tree of all drafts; of equal siblings the earlier one takes the children of both.

    A later sibling that was chosen is then left out. One that was drawn stays as a leaf, tested in its turn: a drawn
    token is never withdrawn, and only the row behind it is shared. Its children were drawn behind the same tokens, so
    their q holds below the earlier one too.
    """
    nodes: list[Node] = []
    place_of: dict[tuple[int, int], int] = {}  # (parent, token) -> the first node that says so
    for draft in drafts:
        moved = {ROOT: ROOT}
        for node, own in enumerate(_nodes(draft)):
            parent = moved[own.parent]
            first = place_of.get((parent, own.token))
            if first is None or own.q is not None:
                nodes.append(own._replace(parent=parent))
            moved[node] = place_of.setdefault((parent, own.token), len(nodes) - 1)
    return Draft.tree(round, nodes, sum(draft.evidence_ms for draft in drafts))


def _nodes(draft: Draft) -> list[Node]:
    return [
        Node(token, parent, draft.q[i], draft.source[i], draft.scores[i], draft.times_ms[i], draft.covered_mass[i])
        for i, (token, parent) in enumerate(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True))
    ]
