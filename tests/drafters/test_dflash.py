"""Drafting with a DFlash head: chains and trees by definition, both laws of drafting, and what a round costs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Floats, Sampling, Support
from speculatoviz.drafters.base import CompositeDrafter, Drafter
from speculatoviz.drafters.dflash import DflashDrafter
from speculatoviz.errors import CancelledError
from support import tiny_dflash, twins
from support.head_drafts import TOGETHER, difference, request
from support.tiny_dflash import BLOCK, TARGET, VOCABULARY, Definition, weights
from support.tiny_eagle3 import HashedInputs
from support.toy_pair import PROMPT, no_clock
from support.tree_rounds import N_VOCAB

PREFIX = [0, 41, 4, 2, 3, 33, 1]
SIZE = 64
SINGLE = 1e-5  # q is float32
NEAR = 0.03  # of a log-probability: the KV cache holds float16
TOY = replace(TARGET, n_vocab=N_VOCAB)
DEEPEST = BLOCK - 1


def drafter(
    prefix: Sequence[int] = PREFIX, temperature: float = 0.0, copy: int = 0, **options: object
) -> DflashDrafter:
    ids = VOCABULARY.astype(np.int32)
    graph = tiny_dflash.loaded(copy=copy)
    made = DflashDrafter(graph, HashedInputs(prefix[:-1], TARGET), ids, SIZE, no_clock)
    made.begin(request(Sampling(temperature), **options))
    return made


def drafted(made: DflashDrafter, depth: int, nodes: int = 0, prefix: Sequence[int] = PREFIX, seed: int = 0) -> Draft:
    return made.draft(list(prefix), 0, Plan("dflash", depth, nodes), seeded(seed)("draft", 0))


def logprobs(prefix: Sequence[int] = PREFIX) -> Floats:
    """float[BLOCK - 1, K] of the tokens after a prefix, by the definition."""
    pytest.importorskip("torch")
    logits = Definition(weights()).block(HashedInputs(prefix[:-1], TARGET).states, prefix[-1])[1:].astype(np.float64)
    logs: Floats = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    return logs - logits.max(1, keepdims=True)


def paths(draft: Draft) -> list[tuple[int, ...]]:
    return [tuple(draft.tokens[draft.path(node)].tolist()) for node in range(len(draft))]


def test_a_chain_takes_the_most_probable_token_of_each_place() -> None:
    draft, values = drafted(drafter(), DEEPEST), logprobs()
    assert draft.is_chain
    assert len(draft) == DEEPEST
    assert set(draft.source) == {"dflash"}
    assert draft.q == (None,) * DEEPEST
    for place, token in enumerate(draft.tokens.tolist()):
        own = dict(zip(VOCABULARY.tolist(), values[place], strict=True))
        assert own[token] > max(own.values()) - NEAR


def test_it_drafts_no_deeper_than_its_block() -> None:
    made = drafter()
    assert made.block == DEEPEST
    for temperature in (0.0, 1.0):
        draft = drafted(drafter(temperature=temperature), 12)
        assert len(draft) == DEEPEST
        assert draft.is_chain


def test_a_tree_holds_the_paths_of_the_highest_probability() -> None:
    """Places are independent: the value of a path is the sum of its places'."""
    values = logprobs()
    every = {
        tuple(int(VOCABULARY[place]) for place in path): float(sum(values[level, i] for level, i in enumerate(path)))
        for length in (1, 2, 3)
        for path in itertools.product(range(len(VOCABULARY)), repeat=length)
    }
    draft = drafted(drafter(evidence=True), 3, 12)
    least = sorted(every.values())[-12]
    assert len(set(paths(draft))) == 12
    assert all(every[path] > least - 3 * NEAR for path in paths(draft))
    for node, path in enumerate(paths(draft)):
        shown = draft.scores[node]
        assert shown is not None
        assert shown.logprob == pytest.approx(every[path] - every.get(path[:-1], 0.0), abs=NEAR)


def test_every_place_is_drawn_from_its_own_row() -> None:
    values, draft = np.exp(logprobs()), drafted(drafter(temperature=1.0), 3, 7)
    firsts = [node for node in range(len(draft)) if node == draft.children(int(draft.parents[node]))[0]]
    assert len(firsts) >= 3
    for node in firsts:
        q = draft.q[node]
        assert q is not None
        assert np.abs(spread(q) - values[draft.position(node)]).max() < NEAR


def spread(q: Support) -> Floats:
    """Probabilities over the head's own ids."""
    found = np.zeros(len(VOCABULARY))
    found[np.searchsorted(VOCABULARY, q.ids)] = q.probs
    return found


def test_what_was_drawn_before_does_not_change_a_place() -> None:
    """The distribution of each place is known before anything is drawn: other draws have the same q there."""
    drafts = [drafted(drafter(temperature=3.0), DEEPEST, seed=seed) for seed in range(4)]
    assert len({tuple(draft.tokens.tolist()) for draft in drafts}) > 1
    for level in range(DEEPEST):
        first = drafts[0].q[level]
        assert first is not None
        for draft in drafts[1:]:
            q = draft.q[level]
            assert q is not None
            assert np.array_equal(q.ids, first.ids)
            assert np.array_equal(q.probs, first.probs)


def test_in_a_mixture_every_place_is_asked_of_its_own_row() -> None:
    values, made = np.exp(logprobs()), drafter(temperature=1.0)
    for level in range(DEEPEST):
        q = made.next([*PREFIX, *([1] * level)])
        assert q is not None
        assert np.abs(spread(q) - values[level]).max() < NEAR
    assert made.next([*PREFIX, *([1] * DEEPEST)]) is None


def test_rounds_of_one_drafter_are_those_of_fresh_ones() -> None:
    """Its cache follows what is committed: grown, rewound right after a rejection, other turns and other prompts."""
    histories = [PREFIX, [*PREFIX, 3, 0], [*PREFIX, 3, 1, 1], PREFIX[:4], PREFIX[:5], [2, 2], [2, 2, 1], PREFIX]
    made = drafter(copy=1)
    for prefix in histories:
        made._states.ids = prefix[:-1]  # type: ignore[misc]
        draft = drafted(made, 3, 6, prefix)
        assert len(draft) == 6
        assert set(paths(draft)) == set(paths(drafted(drafter(prefix), 3, 6, prefix)))
        own = dict(zip(VOCABULARY.tolist(), logprobs(prefix)[0], strict=True))
        assert own[int(draft.tokens[0])] > max(own.values()) - NEAR


def test_a_thousand_rounds_leave_no_trace() -> None:
    """Random texts, kept in part after each round: the drafts are those of a fresh cache, and memory is flat."""
    made, rng, ids, resident = drafter(copy=1), np.random.default_rng(5), [0], 0
    for round in range(1_000):
        kept = int(rng.integers(1, len(ids) + 1)) if rng.random() < 0.3 or len(ids) > SIZE - 4 else len(ids)
        ids = [*ids[:kept], *rng.integers(0, TARGET.n_vocab, 3).tolist()]
        made._states = HashedInputs(ids[:-1], TARGET)
        draft = drafted(made, DEEPEST, prefix=ids)
        if round % 40 == 0:
            assert draft.tokens.tolist() == drafted(drafter(ids), DEEPEST, prefix=ids).tokens.tolist()
        if round == 200:
            resident = psutil.Process().memory_info().rss
    assert psutil.Process().memory_info().rss - resident < 4 << 20


def test_what_it_cannot_read_leaves_it_silent() -> None:
    for held, prefix in (([], PREFIX), (PREFIX[:-2], PREFIX), ([9, *PREFIX[1:-1]], PREFIX), ([], [1])):
        made = drafter()
        made._states.ids = list(held)  # type: ignore[misc]
        assert len(drafted(made, 3, prefix=prefix)) == 0
    long = (PREFIX * SIZE)[: SIZE + 1]
    assert len(drafted(drafter(long), 3, prefix=long)) == 0
    assert len(drafted(drafter(long[:-1]), 3, prefix=long[:-1])) == 3


def test_what_a_prompt_still_costs_is_known_without_a_pass() -> None:
    made = drafter((PREFIX * 4)[:20])
    prefix = (PREFIX * 4)[:20]
    assert made.unread(prefix) == 19
    assert made.outlook(prefix).missing == 19
    drafted(made, 2, prefix=prefix)
    assert made.unread(prefix) == 0
    made._states.ids = [*prefix, 1, 2]  # type: ignore[misc]
    assert made.unread([*prefix, 1, 2, 3]) == 3
    assert made.outlook([*prefix, 1, 2, 3]).missing == 0, "what a round brings is part of every draft"
    made.forget_prompts()
    assert made.unread(prefix) == 19


def test_a_cancelled_run_stops_before_its_next_pass() -> None:
    """Between the chunks of a prompt, before the block, and between the levels of a draft."""
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    made = drafter(cancelled=cancelled)
    with pytest.raises(CancelledError):
        drafted(made, DEEPEST)
    assert len(asked) == 3
    made.begin(request(Sampling(0.0)))
    assert drafted(made, DEEPEST).tokens.tolist() == drafted(drafter(), DEEPEST).tokens.tolist()


def test_the_pass_is_spent_for_the_first_token() -> None:
    """So what a shallower draft would have saved is not overestimated: nothing but the choice of tokens."""
    ticks = itertools.count()
    made = DflashDrafter(
        tiny_dflash.loaded(), HashedInputs(PREFIX[:-1], TARGET), VOCABULARY.astype(np.int32), SIZE, lambda: next(ticks)
    )
    made.begin(request(Sampling(0.0)))
    first, *others = drafted(made, DEEPEST).times_ms
    assert first == pytest.approx(1000 + others[0])
    assert others == [others[0]] * (DEEPEST - 1)


# --- drawn tokens -------------------------------------------------------------------------------------


def own() -> DflashDrafter:
    """The head's drafter, of the toy pair's vocabulary."""
    states, ids = HashedInputs(PROMPT[:-1], TOY), np.arange(N_VOCAB, dtype=np.int32)
    return DflashDrafter(tiny_dflash.loaded(N_VOCAB), states, ids, SIZE, no_clock)


@pytest.mark.parametrize("make", TOGETHER.values(), ids=TOGETHER.keys())
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)])
@pytest.mark.parametrize(("depth", "nodes"), [(1, 1), (2, 2), (2, 4)])
def test_a_round_keeps_the_target_s_distribution(
    make: Callable[[DflashDrafter], Drafter], sampling: Sampling, depth: int, nodes: int
) -> None:
    assert difference(lambda: make(own()), sampling, depth, nodes) < SINGLE


class OfTheFirstPlace(CompositeDrafter):
    """The broken twin: declares the distribution of the first place for all of them."""

    name = "dflash"

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = self.members[0].draft(prefix, round, plan, chance)
        return Draft.chain(round, draft.tokens.tolist(), draft.q[:1] * len(draft), self.name)


@pytest.mark.parametrize(("twin", "nodes"), [(twins.Pruning, 4), (lambda own: OfTheFirstPlace([own]), 2)])
def test_a_draft_that_breaks_a_law_is_caught(twin: Callable[[DflashDrafter], Drafter], nodes: int) -> None:
    assert difference(lambda: twin(own()), Sampling(1.0), 2, nodes) > 1e-3


def test_closing_frees_the_head(tmp_path: Path) -> None:
    file = tiny_dflash.head(tmp_path / "head")
    states = HashedInputs(PREFIX[:-1], TARGET)
    made = DflashDrafter(tiny_dflash.graph(file), states, file.vocabulary, SIZE, no_clock)
    made.close()
    made.close()
