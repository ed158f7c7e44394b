"""Penalties written out token by token, and deliberately broken ways to apply them to a draft."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.types import Draft, Floats, Penalties, Sampling
from speculatoviz.targets.layout import Layout

PENALISED = {
    "presence and frequency": Sampling(1.0, penalties=Penalties(presence=0.7, frequency=0.9)),
    "negative": Sampling(0.7, top_k=2, penalties=Penalties(presence=-0.8, frequency=-0.3)),
    "repetition": Sampling(1.0, penalties=Penalties(repetition=1.7)),
    "repetition of the last two": Sampling(1.0, top_p=0.9, penalties=Penalties(repetition=1.7, last_n=2)),
    "biases": Sampling(1.0, penalties=Penalties(bias=((0, 1.5), (2, -2.0)))),
    "all": Sampling(0.8, min_p=0.05, penalties=Penalties(0.5, 0.6, 1.4, 3, ((1, -0.7),))),
    "greedy": Sampling(0.0, penalties=Penalties(0.6, 0.5, 1.3)),
}


def penalised(logits: Floats, ids: Sequence[int], output_start: int, penalties: Penalties) -> Floats:
    """The logits float[V] after `ids`, by the definition of `Penalties`, one token at a time."""
    bias, output = dict(penalties.bias), list(ids[output_start:])
    window = list(ids) if penalties.last_n is None else list(ids[-penalties.last_n :])
    result = []
    for token, logit in enumerate(logits.tolist()):
        z = logit + bias.get(token, 0.0)
        if token in window:
            z = z / penalties.repetition if z > 0 else z * penalties.repetition
        count = output.count(token)
        z -= penalties.frequency * count + (penalties.presence if count else 0.0)
        result.append(z)
    return np.array(result, logits.dtype)


# --- broken twins of `targets.local._processed` ------------------------------------------------------------

Processed = Callable[[int], Floats]


def by_the_whole_draft(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Counts all tokens of the draft at every position."""
    return lambda node: processor(logits[rows.row(node)], draft.tokens.tolist())


def by_what_is_committed(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Counts no token of the draft."""
    del draft
    return lambda node: processor(logits[rows.row(node)])


def by_the_nodes_before(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Counts the nodes up to a position in the order of the draft, those of other branches too."""
    return lambda node: processor(logits[rows.row(node)], draft.tokens[: node + 1].tolist())


def not_for_the_bonus(draft: Draft, logits: Floats, rows: Layout, processor: LogitsProcessor) -> Processed:
    """Leaves the logits after a whole path as they are."""

    def of(node: int) -> Floats:
        row: Floats = logits[rows.row(node)]
        leaf = len(draft) > 0 and not draft.children(node)
        return row if leaf else processor(row, draft.tokens[draft.path(node)].tolist())

    return of
