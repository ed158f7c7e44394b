"""Drafting with a P-EAGLE head: one pass by definition, and both laws of drafting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Floats, Sampling, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.p_eagle import PEagleDrafter
from speculatoviz.errors import CancelledError
from speculatoviz.models.eagle3_graph import MOST_PAIRS
from support import tiny_p_eagle, twins
from support.head_drafts import TOGETHER, difference, request
from support.tiny_eagle3 import TARGET, VOCABULARY, HashedInputs, replace
from support.tiny_p_eagle import DEPTH
from support.toy_pair import PROMPT, no_clock
from support.tree_rounds import N_VOCAB

PREFIX = [0, 41, 4, 2, 3, 33, 1]
SIZE = 256
SINGLE = 1e-5  # q is float32
NEAR = 0.03  # of a log-probability: the KV cache holds float16
CLOSE = 0.01  # of a probability, likewise
TOY = replace(TARGET, n_vocab=N_VOCAB)


def drafter(prefix: Sequence[int] = PREFIX, temperature: float = 0.0, **options: object) -> PEagleDrafter:
    graph, file = tiny_p_eagle.loaded()
    made = PEagleDrafter(graph, HashedInputs(prefix[:-1]), file.vocabulary, tiny_p_eagle.masks(), SIZE, no_clock)
    made.begin(request(Sampling(temperature), **options))
    return made


def drafted(made: PEagleDrafter, depth: int, nodes: int = 0, prefix: Sequence[int] = PREFIX, seed: int = 0) -> Draft:
    return made.draft(list(prefix), 0, Plan("p-eagle", depth, nodes), seeded(seed)("draft", 0))


def logprobs(prefix: Sequence[int] = PREFIX) -> Floats:
    """float[DEPTH, K] of the tokens after a prefix, by the definition."""
    pytest.importorskip("torch")
    logits = tiny_p_eagle.rows(HashedInputs(prefix[:-1]).states, list(prefix))
    shifted: Floats = logits - logits.max(1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return logs


def spread(q: Support) -> Floats:
    """Probabilities over the head's own ids."""
    found = np.zeros(len(VOCABULARY))
    found[np.searchsorted(VOCABULARY, q.ids)] = q.probs
    return found


def paths(draft: Draft) -> list[tuple[int, ...]]:
    return [tuple(draft.tokens[draft.path(node)].tolist()) for node in range(len(draft))]


def check_rows(draft: Draft, values: Floats) -> None:
    """Every place is drawn from its own row."""
    firsts = [node for node in range(len(draft)) if node == draft.children(int(draft.parents[node]))[0]]
    assert len(firsts) >= DEPTH
    for node in firsts:
        q = draft.q[node]
        assert q is not None
        assert np.abs(spread(q) - np.exp(values[draft.position(node)])).max() < CLOSE


def test_a_chain_takes_the_most_probable_token_of_each_place() -> None:
    draft, values = drafted(drafter(), DEPTH), logprobs()
    assert draft.is_chain
    assert len(draft) == DEPTH
    assert set(draft.source) == {"p-eagle"}
    for place, token in enumerate(draft.tokens.tolist()):
        own = dict(zip(VOCABULARY.tolist(), values[place], strict=True))
        assert own[token] > max(own.values()) - NEAR


def test_every_place_is_drawn_from_its_own_row() -> None:
    values = logprobs()
    check_rows(drafted(drafter(temperature=1.0), DEPTH, 9), values)
    assert max(np.abs(np.exp(values[place]) - np.exp(values[0])).max() for place in range(1, DEPTH)) > 5 * CLOSE


def test_what_was_drawn_before_does_not_change_a_place() -> None:
    drafts = [drafted(drafter(temperature=3.0), DEPTH, seed=seed) for seed in range(4)]
    assert len({tuple(draft.tokens.tolist()) for draft in drafts}) > 1
    for level in range(DEPTH):
        first, *others = (draft.q[level] for draft in drafts)
        assert first is not None
        for other in others:
            assert other is not None
            np.testing.assert_array_equal(other.probs, first.probs)


def test_it_drafts_no_deeper_than_it_was_trained() -> None:
    assert drafter().block == DEPTH
    for temperature in (0.0, 1.0):
        draft = drafted(drafter(temperature=temperature), 12)
        assert len(draft) == DEPTH
        assert draft.is_chain


def test_rounds_of_one_drafter_are_those_of_fresh_ones() -> None:
    """Its cache follows what is committed: grown, rewound, and begun anew; no masked place is left in it."""
    histories = [PREFIX, [*PREFIX, 3, 0], [*PREFIX, 3, 1, 1], PREFIX[:4], [2, 2], [2, 2, 1]]
    made = drafter(temperature=1.0)
    for prefix in histories:
        made._states.ids = prefix[:-1]  # type: ignore[misc]
        check_rows(drafted(made, DEPTH, 0, prefix), logprobs(prefix))


@pytest.mark.parametrize("length", [MOST_PAIRS - 1, MOST_PAIRS + 1, MOST_PAIRS + 3, 2 * MOST_PAIRS])
def test_a_long_prompt_is_read_in_several_passes(length: int) -> None:
    prefix = (PREFIX * SIZE)[:length]
    made = drafter(prefix, temperature=1.0)
    assert made.unread(prefix) == length - 1
    check_rows(drafted(made, DEPTH, 0, prefix), logprobs(prefix))
    assert made.unread(prefix) == 1, "the last pair is always read again"


def test_what_it_cannot_read_leaves_it_silent() -> None:
    for held, prefix in (([], PREFIX), (PREFIX[:-2], PREFIX), ([9, *PREFIX[1:-1]], PREFIX), ([], [1])):
        made = drafter()
        made._states.ids = list(held)  # type: ignore[misc]
        assert len(drafted(made, 3, prefix=prefix)) == 0
    most = SIZE - DEPTH
    long = (PREFIX * SIZE)[: most + 1]
    assert len(drafted(drafter(long), 3, prefix=long)) == 0
    assert len(drafted(drafter(long[:-1]), 3, prefix=long[:-1])) == 3


def test_a_cancelled_run_stops_between_passes() -> None:
    with pytest.raises(CancelledError):
        drafted(drafter(cancelled=lambda: True), 4)


# --- drawn tokens -------------------------------------------------------------------------------------


def own() -> PEagleDrafter:
    """The head's drafter, of the toy pair's vocabulary."""
    (graph, file), masks = tiny_p_eagle.loaded(N_VOCAB), tiny_p_eagle.masks(N_VOCAB)
    return PEagleDrafter(graph, HashedInputs(PROMPT[:-1], TOY), file.vocabulary, masks, SIZE, no_clock)


@pytest.mark.parametrize("make", TOGETHER.values(), ids=TOGETHER.keys())
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)])
@pytest.mark.parametrize(("depth", "nodes"), [(1, 1), (2, 2), (2, 4)])
def test_a_round_keeps_the_target_s_distribution(
    make: Callable[[PEagleDrafter], Drafter], sampling: Sampling, depth: int, nodes: int
) -> None:
    assert difference(lambda: make(own()), sampling, depth, nodes) < SINGLE


def test_pruning_what_was_drawn_is_caught() -> None:
    assert difference(lambda: twins.Pruning(own()), Sampling(1.0), 2, 4) > 1e-3
