"""Drafting from hidden states: chains and trees by definition, and both laws of drafting, for `eagle`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Drafting, Limits, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.errors import CancelledError
from speculatoviz.heads.eagle import EagleHead
from support import twins
from support.head_drafts import TOGETHER, difference
from support.tiny_heads import VOCABULARY, HashedStates, TinyRows, eagle_file, eagle_head
from support.toy_pair import PROMPT, no_clock
from support.tree_rounds import N_VOCAB

PREFIX = [0, 1, 4, 2, 3, 3, 1]
END = 4
SMALL = EagleHead(eagle_file(vocabulary=np.arange(N_VOCAB, dtype=np.int32)), TinyRows())
SINGLE = 1e-6  # q is float32
SIGNIFICANCE = 1e-4


def drafter(prefix: list[int] = PREFIX, sampling: Sampling = Sampling(0.0), **options: object) -> EagleDrafter:  # noqa: B008
    made = EagleDrafter(eagle_head(), HashedStates(prefix[:-1]), no_clock)
    made.begin(request(sampling, **options))
    return made


def request(sampling: Sampling, **options: object) -> Request:
    fields: dict[str, object] = {"evidence": False, "drafting": Drafting(trees=True)}
    limits = Limits(64, stop_ids=frozenset({END}), ignore_eos=bool(options.pop("ignore_eos", True)))
    return Request((0,), sampling, limits, **(fields | options))  # type: ignore[arg-type]


def drafted(made: EagleDrafter, depth: int, nodes: int = 0, prefix: list[int] = PREFIX, seed: int = 0) -> Draft:
    return made.draft(prefix, 0, Plan("eagle", depth, nodes), seeded(seed)("draft", 0))


def paths(prefix: list[int], depth: int) -> dict[tuple[int, ...], float]:
    """The log-probability of every path of the head up to a depth, one path at a time."""
    head, held = eagle_head(), HashedStates(prefix[:-1])
    found: dict[tuple[int, ...], float] = {(): 0.0}
    for length in range(depth):
        for path in [path for path in found if len(path) == length]:
            cache = head.open()
            rows, own = cache.append(held.states, prefix, last=True)
            for node, token in enumerate(path):
                rows, own = cache.grow(own, [token], [node - 1])
            logits = rows[0].astype(np.float64)
            logs = logits - np.log(np.exp(logits).sum())
            for token, log in zip(VOCABULARY.tolist(), logs.tolist(), strict=True):
                found[(*path, token)] = found[path] + log
    del found[()]
    return found


def tree(draft: Draft) -> list[tuple[int, ...]]:
    return [tuple(draft.tokens[draft.path(node)].tolist()) for node in range(len(draft))]


def test_a_chain_follows_the_most_probable_tokens() -> None:
    draft, values = drafted(drafter(), 3), paths(PREFIX, 3)
    path: tuple[int, ...] = ()
    for token in draft.tokens.tolist():
        beside = {other: value for other, value in values.items() if other[:-1] == path}
        path = (*path, token)
        assert path == max(beside, key=lambda other: beside[other])
    assert draft.is_chain
    assert len(draft) == 3
    assert draft.q == (None,) * 3
    assert set(draft.source) == {"eagle"}


@pytest.mark.parametrize("nodes", [5, 8, 14])
def test_a_tree_holds_the_most_probable_paths(nodes: int) -> None:
    made = EagleDrafter(eagle_head(), HashedStates(PREFIX[:-1]), no_clock, width=64)
    made.begin(request(Sampling(0.0)))
    values = paths(PREFIX, 3)
    best = sorted(values, key=lambda path: -values[path])[:nodes]

    assert set(tree(drafted(made, 3, nodes))) == set(best)


def test_a_narrow_tree_is_a_tree_of_the_head_s_own_paths() -> None:
    draft = drafted(drafter(), 3, 7)
    assert len(draft) == 7
    assert len(set(tree(draft))) == 7, "no node twice"
    assert all(path in paths(PREFIX, 3) for path in tree(draft))
    assert all(parent < node for node, parent in enumerate(draft.parents.tolist()))


def test_a_target_without_trees_gets_a_chain() -> None:
    assert drafted(drafter(drafting=Drafting(trees=False)), 3, 9).is_chain
    assert drafted(drafter(sampling=Sampling(1.0), drafting=Drafting(trees=False)), 3, 9).is_chain


def test_tokens_that_are_only_compared_are_chosen() -> None:
    only = drafted(drafter(sampling=Sampling(1.0), drafting=Drafting(sampled=False)), 3)
    assert only.q == (None,) * 3
    assert only.tokens.tolist() == drafted(drafter(), 3).tokens.tolist()


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)])
def test_nothing_grows_below_an_end(sampling: Sampling) -> None:
    ended = 0
    for seed in range(12):
        draft = drafted(drafter(sampling=sampling, ignore_eos=False), 4, 12, seed=seed)
        for node, token in enumerate(draft.tokens.tolist()):
            ended += token == END
            assert token != END or not draft.children(node)
    assert ended, "an end was drafted at all"


def test_rounds_of_one_drafter_are_those_of_fresh_ones() -> None:
    """Its cache follows what is committed: grown, rewound, and begun anew."""
    histories = [PREFIX, [*PREFIX, 3, 0], [*PREFIX, 3, 1, 1], PREFIX[:4], [2, 2], [2, 2, 1]]
    held = HashedStates([])
    made = EagleDrafter(eagle_head(), held, no_clock)
    made.begin(request(Sampling(0.0)))
    for prefix in histories:
        held.ids = prefix[:-1]
        assert tree(drafted(made, 3, 6, prefix)) == tree(drafted(drafter(prefix), 3, 6, prefix))


def test_states_that_are_missing_leave_it_silent() -> None:
    for held, prefix in (([], PREFIX), (PREFIX[:-2], PREFIX), ([9, *PREFIX[1:-1]], PREFIX), ([], [1])):
        made = EagleDrafter(eagle_head(), HashedStates(held), no_clock)
        made.begin(request(Sampling(0.0)))
        assert len(drafted(made, 3, prefix=prefix)) == 0
        assert made.next(prefix) is None


def test_a_cancelled_run_stops_between_levels() -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(CancelledError):
        drafted(drafter(cancelled=cancelled), 4)
    assert len(asked) == 3


def test_its_opinions_are_shown() -> None:
    draft, values = drafted(drafter(evidence=True), 2), paths(PREFIX, 2)
    first = draft.scores[0]
    assert first is not None
    assert first.logprob == pytest.approx(values[(int(draft.tokens[0]),)], abs=1e-5)
    assert dict(first.top) == pytest.approx({p[0]: value for p, value in values.items() if len(p) == 1}, abs=1e-5)
    sampled = drafted(drafter(sampling=Sampling(1.0), evidence=True), 2, 4)
    assert sampled.covered_mass[0] == pytest.approx(1.0)
    assert drafted(drafter(), 2).scores == (None, None)


def test_a_mixture_may_ask_for_one_distribution() -> None:
    values = paths(PREFIX, 1)
    q = drafter().next(PREFIX)
    assert q is not None
    assert q.ids.tolist() == VOCABULARY.tolist()
    np.testing.assert_allclose(q.probs, [np.exp(values[(int(token),)]) for token in q.ids], rtol=1e-4)


def test_asked_on_it_goes_on_from_its_own_states() -> None:
    values, made = {(): 0.0} | paths(PREFIX, 3), drafter()
    path: tuple[int, ...] = ()
    for token in (int(VOCABULARY[1]), int(VOCABULARY[0]), 0):
        q = made.next([*PREFIX, *path])
        assert q is not None
        further = [np.exp(values[(*path, int(last))] - values[path]) for last in q.ids]
        np.testing.assert_allclose(q.probs, further, rtol=1e-4)
        path = (*path, token)


def test_asked_for_another_path_or_behind_a_draft_it_is_silent() -> None:
    made = drafter()
    assert made.next(PREFIX) is not None
    assert made.next([*PREFIX, 1, 1]) is None
    drafted(made, 2)
    assert made.next([*PREFIX, 1]) is None
    assert made.next(PREFIX) is not None
    made.begin(request(Sampling(1.0)))
    assert made.next([*PREFIX, 1]) is None


# --- drawn tokens -------------------------------------------------------------------------------------


def test_siblings_are_drawn_without_replacement() -> None:
    draft = drafted(drafter(sampling=Sampling(1.0)), 2, 7)
    for parent in (-1, *range(len(draft))):
        seen: list[int] = []
        for node in draft.children(parent):
            q = draft.q[node]
            assert q is not None
            assert q.probs.sum() == pytest.approx(1.0, abs=1e-6)
            assert not set(seen) & set(q.ids.tolist())
            assert int(draft.tokens[node]) in q.ids
            seen.append(int(draft.tokens[node]))


def test_supports_are_as_the_target_wants_them() -> None:
    wanted = Drafting(trees=True, support_size=2, quantised=True)
    for q in drafted(drafter(sampling=Sampling(1.0), drafting=wanted), 2, 6).q:
        assert q is not None
        assert len(q.ids) <= 2
        assert np.array_equal(q.probs * 2**16, np.round(q.probs * 2**16))
        assert q.probs.sum() == 1.0


def own() -> EagleDrafter:
    """The head's drafter, of the toy pair's vocabulary."""
    return EagleDrafter(SMALL, HashedStates(PROMPT[:-1]), no_clock)


@pytest.mark.parametrize("make", TOGETHER.values(), ids=TOGETHER.keys())
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2), Sampling(1.0, top_p=0.8)])
@pytest.mark.parametrize(("depth", "nodes"), [(1, 1), (2, 2), (2, 4)])
def test_a_round_keeps_the_target_s_distribution(
    make: Callable[[EagleDrafter], Drafter], sampling: Sampling, depth: int, nodes: int
) -> None:
    assert difference(lambda: make(own()), sampling, depth, nodes) < SINGLE


class Certain:
    """Stops before tokens that are less certain than `least`."""

    def __init__(self, least: float) -> None:
        self._least = least

    def computes_another(self, certainties: Sequence[float]) -> bool:
        return certainties[-1] > self._least

    def adds_another(self, certainties: Sequence[float], certainty: float) -> bool:
        return certainty > self._least


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)])
@pytest.mark.parametrize("least", [0.0, 0.25, 0.3, 1.0])
def test_a_chain_that_stops_early_keeps_the_target_s_distribution(least: float, sampling: Sampling) -> None:
    assert difference(own, sampling, 2, 2, Certain(least)) < SINGLE


def test_a_chain_stops_before_an_uncertain_token() -> None:
    def chain(least: float) -> Draft:
        return drafter().draft(PREFIX, 0, Plan("eagle", 3, stop=Certain(least)), seeded(0)("draft", 0))

    whole = chain(0.0)
    certainties = [certainty for certainty in whole.certainties if certainty is not None]

    assert len(whole) == len(certainties) == 3
    assert len(chain(1.0)) == 0
    lowest = min(range(3), key=certainties.__getitem__)
    assert len(chain(certainties[lowest])) == lowest
    assert drafted(drafter(), 3).certainties == (None, None, None), "nobody asked"


def test_pruning_what_was_drawn_is_caught() -> None:
    assert difference(lambda: twins.Pruning(own()), Sampling(1.0), 2, 4) > 1e-3


def test_evidence_states_the_heads_vocabulary() -> None:
    shown = drafted(drafter(evidence=True), 3)
    hidden = drafted(drafter(), 3)

    assert all(one is not None and one.vocabulary is not None for one in shown.evidence)
    assert [one.vocabulary.tolist() for one in shown.evidence if one and one.vocabulary is not None] == [
        VOCABULARY.tolist()
    ] * len(shown)
    assert set(hidden.evidence) == {None}
