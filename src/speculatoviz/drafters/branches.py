"""Several drafts behind one prefix as one tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speculatoviz.core.types import ROOT, Draft, Node, Probes


def merge(round: int, drafts: Sequence[Draft]) -> Draft:
    """One tree of all drafts; of equal siblings the earlier one takes the children of both.

    A later sibling that was chosen is then left out. One that was drawn stays as a leaf, tested in its turn: a drawn
    token is never withdrawn, and only the row behind it is shared. Its children were drawn behind the same tokens, so
    their q holds below the earlier one too. Of probes the first that come are kept: one window looks ahead.
    """
    nodes: list[Node] = []
    probing: tuple[Probes, dict[int, int], int] | None = None
    place_of: dict[tuple[int, int], int] = {}  # (parent, token) -> the first node that says so
    for draft in drafts:
        moved = {ROOT: ROOT}
        for node, own in enumerate(_nodes(draft)):
            parent = moved[own.parent]
            first = place_of.get((parent, own.token))
            if first is None or own.q is not None:
                nodes.append(own._replace(parent=parent))
            moved[node] = place_of.setdefault((parent, own.token), len(nodes) - 1)
        if draft.probes is not None and probing is None:
            probing = draft.probes, moved, len(draft)
    tree = Draft.tree(round, nodes, sum(draft.evidence_ms for draft in drafts))
    return replace(tree, probes=_moved(*probing, len(nodes))) if probing else tree


def _moved(probes: Probes, places: dict[int, int], first: int, nodes: int) -> Probes:
    """Probes behind a draft of `first` nodes, where these stand at other places among so many `nodes`."""
    parents = (places[above] if above < first else nodes + above - first for above in probes.parents)
    return Probes(probes.tokens, tuple(parents))


def _nodes(draft: Draft) -> list[Node]:
    return [
        Node(token, parent, draft.q[i], draft.source[i], draft.scores[i], draft.times_ms[i], draft.covered_mass[i])
        for i, (token, parent) in enumerate(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True))
    ]
