"""What the suffix drafter drafts: the longest match, its best guesses first, and what it learnt."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.sampling import QUANTA
from speculatoviz.core.types import ROOT, Draft, Drafting, Limits, Request, Sampling
from speculatoviz.drafters.suffix import SuffixDrafter
from support.toy_pair import no_clock

TREES = Drafting(trees=True)
EARLIER = [[0, 1, 0, 1, 1, 0, 0, 1, 2], [1, 0, 1, 0, 0, 2]]  # of the toy's letters 0 and 1, and its end 2
LETTERS = np.random.default_rng(3).integers(0, 4, (20, 12)).tolist()  # four letters, no end


def suffix(**settings: Any) -> SuffixDrafter:
    return SuffixDrafter(no_clock, **{"longest": 3, "least": 0.0, "corpus": EARLIER, **settings})


def asked(sampling: Sampling, drafting: Drafting = TREES, ends: frozenset[int] = frozenset()) -> Request:
    return Request((7,), sampling, Limits(32, ends), evidence=False, drafting=drafting)


def begun(drafter: SuffixDrafter) -> SuffixDrafter:
    drafter.begin(asked(Sampling(0.0)))
    return drafter


def drafted(drafter: SuffixDrafter, prefix: list[int], depth: int, nodes: int = 0) -> Draft:
    """A greedy draft."""
    return begun(drafter).draft(prefix, 0, Plan("suffix", depth, nodes), seeded(0)("draft", 0))


def shape(draft: Draft) -> list[tuple[int, int]]:
    return list(zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True))


def test_without_a_match_nothing_is_drafted() -> None:
    assert len(drafted(SuffixDrafter(no_clock), [1, 2, 3, 4], 4, 8)) == 0
    assert SuffixDrafter(no_clock).next([1, 2, 3]) is None
    assert SuffixDrafter(no_clock).confidence([1, 2, 3]) == 0.0


def test_a_chain_continues_the_match_and_a_period_beyond_the_text() -> None:
    assert drafted(SuffixDrafter(no_clock), [5, 6, 8, 9, 5, 6], 2).tokens.tolist() == [8, 9]
    period = drafted(SuffixDrafter(no_clock), [1, 2, 3] * 3, 8)
    assert period.tokens.tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert period.q == (None,) * 8
    assert set(period.source) == {"suffix"}


def test_a_token_names_the_prediction_if_no_longer_context_of_another_text_had_it() -> None:
    """The prompt has 5 6 7 too; only the prediction goes on with 8, and only the prompt with 9 after 6 7."""
    drafter = SuffixDrafter(no_clock, longest=4, least=0.0)

    def source(prompt: list[int], prediction: tuple[int, ...]) -> list[str]:
        drafter.begin(replace(asked(Sampling(0.0)), prompt=tuple(prompt), prediction=prediction))
        return list(drafter.draft(prompt, 0, Plan("suffix", 1), seeded(0)("draft", 0)).source)

    assert source([5, 6, 7], (5, 6, 7, 8)) == ["prediction"]
    assert source([5, 6, 7, 8, 1, 5, 6, 7], (5, 6, 7, 8)) == ["prediction"]  # both have it after as long a context
    assert source([4, 6, 7, 9, 1, 4, 6, 7], (6, 7, 8)) == ["suffix"]
    assert source([4, 6, 7, 9, 1, 4, 6, 7], ()) == ["suffix"]


def test_the_longest_match_decides() -> None:
    text = [1, 2, 3, 9, 2, 4, 9, 2, 4, 1, 2]  # 2 came before 4 twice, but 1 2 before 3
    assert drafted(SuffixDrafter(no_clock), text, 1).tokens.tolist() == [3]


def test_a_tree_grows_where_it_is_most_likely_right() -> None:
    earlier = [[1, 5, 6, 7]] * 5 + [[1, 8, 9]] * 3 + [[1, 2]]
    draft = drafted(suffix(corpus=earlier, longest=1), [3, 1], 3, 5)
    # 5 (5/9), then its sure continuations, and 8 (3/9) before what follows it
    assert shape(draft) == [(5, ROOT), (6, 0), (7, 1), (8, ROOT), (9, 3)]
    assert shape(drafted(suffix(corpus=earlier, longest=1), [3, 1], 3, 3)) == [(5, ROOT), (6, 0), (7, 1)]
    assert shape(drafted(suffix(corpus=earlier, longest=1), [3, 1], 1, 5)) == [(5, ROOT), (8, ROOT), (2, ROOT)]


def test_of_two_texts_the_longer_match_decides() -> None:
    drafter = suffix(corpus=[[3, 5]] * 9)
    assert drafted(drafter, [1, 2, 3, 4, 9, 1, 2, 3], 1).tokens.tolist() == [4]
    assert drafted(drafter, [1, 2, 3, 4, 9, 8, 7, 3], 1).tokens.tolist() == [5]


def test_a_plan_without_spare_nodes_is_a_chain() -> None:
    assert len(drafted(SuffixDrafter(no_clock), [1, 2, 3] * 3, 8, 3)) == 8


def test_it_drafts_no_more_than_the_target_takes_and_draws_only_where_that_is_wanted() -> None:
    drafter = suffix(corpus=LETTERS)
    drafter.begin(asked(Sampling(1.0), Drafting(trees=True, sampled=False)))
    draft = drafter.draft([0, 1], 0, Plan("suffix", 3, 7, 3), seeded(0)("draft", 0))
    assert draft.q == (None,) * 3


def test_a_drawn_tree_grows_deeper_behind_a_sure_token() -> None:
    earlier = [[1, 5, 6]] * 10 + [[1, 10 + i] for i in range(10)]
    drafter = suffix(corpus=earlier, longest=1)
    drafter.begin(asked(Sampling(1.0)))
    drafts = [drafter.draft([3, 1], 0, Plan("suffix", 2, 3), seeded(seed)("draft", 0)) for seed in range(12)]
    sure = [draft for draft in drafts if draft.tokens[0] == 5]
    assert 0 < len(sure) < len(drafts)
    # a sibling would be right with probability 1/2, but which of ten it is, nobody knows
    assert all(shape(draft)[1] == (6, 0) for draft in sure)


def test_what_is_too_unlikely_is_not_drafted() -> None:
    earlier = [[1, 5, 6, 7]] * 5 + [[1, 8, 9]] * 3 + [[1, 2]]
    draft = drafted(suffix(corpus=earlier, longest=1, least=0.25), [3, 1], 3, 5)
    assert shape(draft) == [(5, ROOT), (6, 0), (7, 1), (8, ROOT), (9, 3)][: len(draft)]
    assert 0 < len(draft) < 5


def test_nothing_is_drafted_behind_an_end() -> None:
    drafter = suffix(corpus=[[1, 2, 3, 4]], longest=1)
    drafter.begin(asked(Sampling(0.0), ends=frozenset({3})))
    assert drafter.draft([1], 0, Plan("suffix", 5), seeded(0)("draft", 0)).tokens.tolist() == [2, 3]
    assert drafter.draft([1], 0, Plan("suffix", 5, 9), seeded(0)("draft", 0)).tokens.tolist() == [2, 3]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=24), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=40)
def test_drawn_trees_obey_the_plan_and_declare_what_is_left(text: list[int], seed: int, quantise: bool) -> None:
    drafter = suffix(corpus=[text, *EARLIER])
    wanted = Drafting(trees=True, support_size=3, quantised=quantise)
    drafter.begin(asked(Sampling(1.0), wanted, frozenset({2})))
    draft = drafter.draft([*text, 0], 0, Plan("suffix", 3, 7), seeded(seed)("draft", 0))
    assert 0 < len(draft) <= 7
    for node, q in enumerate(draft.q):
        token, parent = int(draft.tokens[node]), int(draft.parents[node])
        assert parent < node
        assert draft.position(node) < 3
        assert parent == ROOT or draft.tokens[parent] != 2
        assert q is not None
        assert q.prob(token) > 0
        assert len(q.ids) <= 3
        assert not {int(draft.tokens[n]) for n in draft.children(parent) if n < node} & set(q.ids.tolist())
        if quantise:
            assert np.array_equal(q.probs * QUANTA, np.round(q.probs * QUANTA))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=20), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_a_draft_depends_on_the_prefix_alone(prefixes: list[list[int]]) -> None:
    kept = suffix()
    for prefix in prefixes:
        assert shape(drafted(kept, prefix, 3, 6)) == shape(drafted(suffix(), prefix, 3, 6))
        assert kept.confidence(prefix) == begun(suffix()).confidence(prefix)


def test_it_learns_from_finished_runs_within_bounds() -> None:
    drafter = SuffixDrafter(no_clock, corpus_tokens=12, least=0.0)
    drafter.remember([1, 2, 3, 4])
    assert drafted(drafter, [9, 1, 2], 4).tokens.tolist() == [3, 4]
    for start in range(10, 40, 5):
        drafter.remember(list(range(start, start + 5)))
    assert len(drafted(drafter, [9, 1, 2], 4)) == 0
    assert drafted(drafter, [9, 35, 36], 4).tokens.tolist() == [37, 38, 39]


def test_a_long_match_is_trusted_more_than_a_short_or_an_ambiguous_one() -> None:
    drafter = begun(SuffixDrafter(no_clock))
    text = list(range(20))
    long = drafter.confidence([*text, 99, *text[:10]])
    short = drafter.confidence([*text, 99, 0])
    ambiguous = drafter.confidence([*text, 0, 50, 0, 51, 99, 0])
    assert 8 > long > 2 * short > 4 * ambiguous > 0
    assert short < 1.0
    assert drafter.confidence([1, 2, 3] * 9) < 8


def test_its_distribution_is_that_of_the_counts() -> None:
    drafter = suffix(corpus=[[1, 5]] * 3 + [[1, 6]], longest=1)
    drafter.begin(asked(Sampling(1.0)))
    q = drafter.next([9, 1])
    assert q is not None
    assert (q.ids.tolist(), q.probs.tolist()) == ([5, 6], pytest.approx([0.75, 0.25]))
    draft = drafter.draft([9, 1], 0, Plan("suffix", 1), seeded(0)("draft", 0))
    declared = draft.q[0]
    assert declared is not None
    assert np.array_equal(declared.probs, q.probs)


def test_what_is_shown_is_timed_apart() -> None:
    ticks = itertools.count()
    drafter = SuffixDrafter(lambda: float(next(ticks)), corpus=[[1, 5]] * 3 + [[1, 6]], least=0.0)
    drafter.begin(replace(asked(Sampling(0.0)), evidence=True))
    draft = drafter.draft([9, 1], 0, Plan("suffix", 1, 2), seeded(0)("draft", 0))
    assert draft.times_ms == (1000.0, 1000.0)
    assert draft.evidence_ms == 2000.0
    shown = draft.scores[1]
    assert shown is not None
    assert shown.logprob == pytest.approx(np.log(0.25))
    assert [token for token, _ in shown.top] == [5, 6]
    assert shown.entropy == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))


@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (4, 3)])
def test_lengths_that_make_no_sense_are_refused(shortest: int, longest: int) -> None:
    with pytest.raises(ValueError, match="shortest <= longest"):
        SuffixDrafter(no_clock, longest, shortest)
