"""Trees of tokens as runtimes compute them: parents int[n] in topological order, -1 (ROOT) above the first nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import ROOT


def depths(parents: Sequence[int]) -> list[int]:
    """int[n]: the number of ancestors of each node, which is its position after the end of the context."""
    result: list[int] = []
    for parent in parents:
        result.append(0 if parent == ROOT else result[parent] + 1)
    return result


def visible(parents: Sequence[int]) -> npt.NDArray[np.bool_]:
    """bool[n, n], an attention mask: entry (i, j) is true if node j is node i or one of its ancestors."""
    result = np.eye(len(parents), dtype=np.bool_)
    for node, parent in enumerate(parents):
        if parent != ROOT:
            result[node] |= result[parent]
    return result


def ancestors(parents: Sequence[int], node: int) -> list[int]:
    """The nodes from a first one down to `node`, both included; empty for ROOT."""
    path: list[int] = []
    while node != ROOT:
        path.append(node)
        node = parents[node]
    return path[::-1]


def leaves(parents: Sequence[int]) -> list[int]:
    """The nodes without children, in ascending order."""
    return sorted(set(range(len(parents))) - set(parents))


def check_keep(held: int, length: int, tree: Sequence[int] | None, path: Sequence[int]) -> None:
    """Raises ValueError if a context of `held` tokens cannot `keep(length, path)`.

    tree: the parents of the last pass, None if it was no tree. path: nodes of it, from a first one downwards.
    """
    if not 0 <= length <= held:
        raise ValueError(f"expected a length from 0 to {held}, got {length}")
    if not path:
        return
    if tree is None or length != held:
        raise ValueError("expected no path: it can only follow the whole length, after a tree")
    if not all(0 <= node < len(tree) for node in path) or ancestors(tree, path[-1]) != list(path):
        raise ValueError(f"expected a path from a first node downwards, got {list(path)}")
