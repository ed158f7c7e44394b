"""Drafting with an EAGLE-3 head: chains and trees by definition, and both laws of drafting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.eagle3 import Eagle3Drafter
from speculatoviz.errors import CancelledError
from support import tiny_eagle3, twins
from support.head_drafts import TOGETHER, difference, request
from support.tiny_eagle3 import TARGET, VOCABULARY, Definition, HashedInputs, weights
from support.toy_pair import PROMPT, no_clock
from support.tree_rounds import N_VOCAB

PREFIX = [0, 41, 4, 2, 3, 33, 1]
SIZE = 64
SINGLE = 1e-5  # q is float32
NEAR = 0.03  # of a log-probability: the KV cache holds float16
TOY = tiny_eagle3.replace(TARGET, n_vocab=N_VOCAB)


def drafter(prefix: Sequence[int] = PREFIX, sampling: Sampling = Sampling(0.0), **options: object) -> Eagle3Drafter:  # noqa: B008
    ids = VOCABULARY.astype(np.int32)
    made = Eagle3Drafter(tiny_eagle3.loaded(), HashedInputs(prefix[:-1]), ids, SIZE, no_clock)
    made.begin(request(sampling, **options))
    return made


def drafted(made: Eagle3Drafter, depth: int, nodes: int = 0, prefix: Sequence[int] = PREFIX) -> Draft:
    return made.draft(list(prefix), 0, Plan("eagle3", depth, nodes), seeded(0)("draft", 0))


def logprobs(prefix: Sequence[int], path: Sequence[int]) -> dict[int, float]:
    """Of the token after a prefix and a path of draft tokens, by the definition."""
    pytest.importorskip("torch")
    logits, _ = Definition(weights()).path(HashedInputs(prefix[:-1]).states, list(prefix), list(path))
    logs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    return dict(zip(VOCABULARY.tolist(), logs.tolist(), strict=True))


def paths(draft: Draft) -> list[tuple[int, ...]]:
    return [tuple(draft.tokens[draft.path(node)].tolist()) for node in range(len(draft))]


def test_a_chain_follows_the_most_probable_tokens() -> None:
    draft = drafted(drafter(), 4)
    assert draft.is_chain
    assert len(draft) == 4
    assert set(draft.source) == {"eagle3"}
    assert draft.q == (None,) * 4
    for place, token in enumerate(draft.tokens.tolist()):
        values = logprobs(PREFIX, draft.tokens[:place].tolist())
        assert values[token] > max(values.values()) - NEAR


def test_a_tree_holds_paths_of_the_highest_probability() -> None:
    """On the first two levels, where every path can be listed."""
    made = drafter(evidence=True)
    draft = drafted(made, 2, 9)
    first = logprobs(PREFIX, [])
    values = {(token,): value for token, value in first.items()}
    for token, value in first.items():
        values |= {(token, below): value + further for below, further in logprobs(PREFIX, [token]).items()}
    least = sorted(values.values())[-9]
    assert len(set(paths(draft))) == 9
    assert all(values[path] > least - NEAR for path in paths(draft))
    for node, path in enumerate(paths(draft)):
        shown = draft.scores[node]
        assert shown is not None
        assert shown.logprob == pytest.approx(values[path] - values.get(path[:-1], 0.0), abs=NEAR)


def test_rounds_of_one_drafter_are_those_of_fresh_ones() -> None:
    """Its cache follows what is committed: grown, rewound, and begun anew."""
    histories = [PREFIX, [*PREFIX, 3, 0], [*PREFIX, 3, 1, 1], PREFIX[:4], [2, 2], [2, 2, 1]]
    made = drafter()
    for prefix in histories:
        made._states.ids = prefix[:-1]  # type: ignore[misc]
        draft, values = drafted(made, 3, 6, prefix), logprobs(prefix, [])
        assert len(draft) == 6
        assert values[int(draft.tokens[0])] > max(values.values()) - NEAR
        assert set(paths(draft)) == set(paths(drafted(drafter(prefix), 3, 6, prefix)))


def test_what_it_cannot_read_leaves_it_silent() -> None:
    for held, prefix in (([], PREFIX), (PREFIX[:-2], PREFIX), ([9, *PREFIX[1:-1]], PREFIX), ([], [1])):
        made = drafter()
        made._states.ids = list(held)  # type: ignore[misc]
        assert len(drafted(made, 3, prefix=prefix)) == 0
    long = (PREFIX * SIZE)[: SIZE + 1]
    assert len(drafted(drafter(long), 3, prefix=long)) == 0
    assert len(drafted(drafter(long[:-1]), 3, prefix=long[:-1])) == 3


def test_a_cancelled_run_stops_between_levels() -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(CancelledError):
        drafted(drafter(cancelled=cancelled), 4)
    assert len(asked) == 3


# --- drawn tokens -------------------------------------------------------------------------------------


def own() -> Eagle3Drafter:
    """The head's drafter, of the toy pair's vocabulary."""
    states, ids = HashedInputs(PROMPT[:-1], TOY), np.arange(N_VOCAB, dtype=np.int32)
    return Eagle3Drafter(tiny_eagle3.loaded(N_VOCAB), states, ids, SIZE, no_clock)


@pytest.mark.parametrize("make", TOGETHER.values(), ids=TOGETHER.keys())
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)])
@pytest.mark.parametrize(("depth", "nodes"), [(1, 1), (2, 2), (2, 4)])
def test_a_round_keeps_the_target_s_distribution(
    make: Callable[[Eagle3Drafter], Drafter], sampling: Sampling, depth: int, nodes: int
) -> None:
    assert difference(lambda: make(own()), sampling, depth, nodes) < SINGLE


def test_pruning_what_was_drawn_is_caught() -> None:
    assert difference(lambda: twins.Pruning(own()), Sampling(1.0), 2, 4) > 1e-3


def test_closing_frees_the_head(tmp_path: Path) -> None:
    file = tiny_eagle3.head(tmp_path / "head")
    made = Eagle3Drafter(tiny_eagle3.graph(file), HashedInputs(PREFIX[:-1]), file.vocabulary, SIZE, no_clock)
    made.close()
    made.close()
