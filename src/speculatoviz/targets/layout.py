"""Which rows a forward pass computes for a draft."""

from __future__ import annotations

from typing import NamedTuple

from speculatoviz.core.types import ROOT, Draft


class Layout(NamedTuple):
    """The tokens of a pass, the last committed one first, and where each part of the draft finds its row.

    parents: None for a chain. node_rows, probe_rows: the row behind each node and each probe; the row behind the last
    committed token is 0.
    """

    tokens: list[int]
    parents: list[int] | None
    node_rows: list[int]
    probe_rows: list[int]

    def row(self, node: int) -> int:
        """The row behind a node, or behind the last committed token for ROOT."""
        return 0 if node == ROOT else self.node_rows[node]


def layout(last: int, draft: Draft) -> Layout:
    """Equal siblings share a row: both stay nodes, and what follows them is the same."""
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
