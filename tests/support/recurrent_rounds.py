"""Random rounds on models whose state cannot be cut: each round's rows against a context that was never rewound."""

from __future__ import annotations

import numpy as np

from speculatoviz.models.base import LanguageModel
from speculatoviz.models.window import Window
from support.passes import assert_close

SIZE = 160
PROMPT = 20
_COMPARED_EVERY = 10  # rounds


def play_rounds(model: LanguageModel, rounds: int, noise: float, *, seed: int = 0, as_draft: bool = False) -> int:
    """Verify random drafts, accept a part of each, and sometimes begin anew. Returns how many rounds were compared.

    as_draft: feed the draft token by token, as a draft model does. A round is compared by its rows with those of a
    context that holds the same ids and was never rewound. Raises AssertionError if they differ by more than `noise`.
    """
    rng = np.random.default_rng(seed)
    most = min(300, model.tokenizer.n_vocab)
    used, fresh = Window(model, SIZE), Window(model, SIZE)
    compared = 0
    ids: list[int] = []
    try:
        for number in range(rounds):
            if not ids or len(ids) > SIZE - 20 or rng.random() < 0.02:
                kept = int(rng.integers(0, len(ids) + 1)) if ids else 0
                ids = [*ids[: min(kept, SIZE // 2)], *rng.integers(3, most, PROMPT).tolist()]
                used.prefill(ids[:-1], lambda: False)
            draft = rng.integers(3, most, int(rng.integers(0, 9))).tolist()
            tokens = [*used.missing(ids), *draft] if as_draft else [ids[-1], *draft]
            if as_draft:
                first = len(tokens) - len(draft)
                rows = [np.array(used.feed(tokens[:first], "last"))]
                rows += [np.array(used.feed([token])) for token in draft]
                got = np.concatenate(rows)
            else:
                got = np.array(used.feed(tokens))
            if number % _COMPARED_EVERY == 0:
                fresh.keep(0)
                fresh.catch_up(ids[:-1], lambda: False)
                assert_close(got, np.array(fresh.feed([ids[-1], *draft])), noise)
                compared += 1
            accepted = int(rng.integers(0, len(draft) + 1))
            if not as_draft:
                used.accept(range(accepted + 1))
            ids = [*ids, *draft[:accepted], int(rng.integers(3, most))]
    finally:
        used.close()
        fresh.close()
    return compared
