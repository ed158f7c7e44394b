"""The tokens of a forward pass over a draft, and the row of logits of each node."""

from __future__ import annotations

from typing import NamedTuple

from speculatoviz.core.types import ROOT, Draft


class Layout(NamedTuple):
    """The tokens of a pass, the last committed one first, and the rows of its logits float[r, V].

    tokens int[r]. parents int[r]: the index of each token's parent, ROOT for the first; None for a chain. node_rows
    int[n]: the row after each node of the draft. probe_rows: the row after each probe. Row 0 is the one after the last
    committed token.
    """

    tokens: list[int]
    parents: list[int] | None
    node_rows: list[int]
    probe_rows: list[int]

    def row(self, node: int) -> int:
        """The row after a node, or after the last committed token for ROOT."""
        return 0 if node == ROOT else self.node_rows[node]


def layout(last: int, draft: Draft) -> Layout:
    """The layout of a draft after the committed token `last`.

    Equal siblings share a row: the same tokens precede both, so the distribution after them is the same. The draft
    keeps both nodes, and the rule tests both.
    """
    if draft.is_chain and draft.probes is None:
        n = len(draft)
        return Layout([last, *draft.tokens.tolist()], None, list(range(1, n + 1)), [])
    tokens, parents = [last], [ROOT]
    rows: list[int] = []
    shared: dict[tuple[int, int], int] = {}
    wanted = list(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True))
    if draft.probes is not None:
        wanted += zip(draft.probes.tokens, draft.probes.parents, strict=True)
    for token, parent in wanted:
        above = 0 if parent == ROOT else rows[parent]
        row = shared.setdefault((above, token), len(tokens))
        if row == len(tokens):
            tokens.append(token)
            parents.append(above)
        rows.append(row)
    n = len(draft)
    return Layout(tokens, parents, rows[:n], rows[n:])
