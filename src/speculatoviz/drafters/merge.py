"""Several drafts after one prefix as one tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from speculatoviz.core.types import ROOT, Draft, Node, Probes


def merge(round: int, drafts: Sequence[Draft]) -> Draft:
    """One tree of all drafts, in order. Of equal siblings the first one takes the children of both.

    A later equal sibling that was chosen without chance is left out. One that was drawn stays as a leaf and is tested
    in its turn: a drawn token is never withdrawn. Its children were drawn after the same tokens, so their q holds below
    the first one too. Of several drafts with probes, the first one's probes are kept.
    """
    nodes: list[Node] = []
    probing: tuple[Probes, dict[int, int], int] | None = None
    first_of: dict[tuple[int, int], int] = {}  # (parent, token) -> the first node with that token there
    for draft in drafts:
        merged = {ROOT: ROOT}  # node of the draft -> node of the tree
        for node, own in enumerate(_nodes(draft)):
            parent = merged[own.parent]
            if (parent, own.token) not in first_of or own.q is not None:
                nodes.append(own._replace(parent=parent))
            merged[node] = first_of.setdefault((parent, own.token), len(nodes) - 1)
        if draft.probes is not None and probing is None:
            probing = draft.probes, merged, len(draft)
    tree = Draft.tree(round, nodes, sum(draft.evidence_ms for draft in drafts))
    return replace(tree, probes=_moved(*probing, len(nodes))) if probing else tree


def _moved(probes: Probes, merged: dict[int, int], drafted: int, nodes: int) -> Probes:
    """The probes of a draft of `drafted` nodes, renumbered for the tree of `nodes` nodes."""
    parents = (merged[above] if above < drafted else nodes + above - drafted for above in probes.parents)
    return Probes(probes.tokens, tuple(parents))


def _nodes(draft: Draft) -> list[Node]:
    evidence = draft.evidence or (None,) * len(draft)
    return [
        Node(
            token,
            parent,
            draft.q[i],
            draft.source[i],
            draft.scores[i],
            draft.times_ms[i],
            draft.covered_mass[i],
            evidence=evidence[i],
        )
        for i, (token, parent) in enumerate(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True))
    ]
