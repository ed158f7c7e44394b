"""The lookahead drafter: exact, probes that are never emitted, and a pool that learns what the target would write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import ROOT, Draft, Drafting, Floats, Limits, Request, Sampling, Support
from speculatoviz.drafters.lookahead import LookaheadDrafter, Pool
from speculatoviz.engine import speculate
from speculatoviz.models.base import PREFILL_TOKENS
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support.toy_pair import largest_difference, no_clock
from support.tree_runs import whole_tree_runs

EXACT = 1e-12
BROKEN = 1e-3
TREES = Drafting(trees=True)
PERIOD = 4


class PeriodicModel(ToyModel):
    """Writes the first four letters in turn, whatever came before the last one; it never writes the others."""

    def logits(self, prefix: Sequence[int]) -> Floats:
        row = super().logits(prefix) / 100
        row[(prefix[-1] + 1) % PERIOD] += 10
        return row


def periodic() -> PeriodicModel:
    return PeriodicModel(1, [b"a", b"b", b"c", b"d", b"e", b"f"])


def rounds(
    drafter: LookaheadDrafter,
    model: ToyModel,
    prompt: tuple[int, ...],
    tokens: int,
    nodes: int = 8,
    sampling: Sampling = Sampling(0.0),  # noqa: B008 (frozen)
    ends: frozenset[int] = frozenset(),
) -> list[Round]:
    """One run of the whole engine, which continues after an end token."""
    target = LocalTarget(model, 256, no_clock)
    limits = Limits(tokens, ends, ignore_eos=True)
    request = Request(prompt, sampling, limits, evidence=False, needs=drafter.needs)
    steps = speculate(request, target, {"lookahead": drafter}, FixedPolicy("lookahead", 3, nodes), seeded(0), no_clock)
    return [step for step in steps if isinstance(step, Round)]


def emitted(run: Sequence[Round]) -> list[int]:
    return [token for step in run for token in step.emitted]


# --- exactness ---------------------------------------------------------------------------------------


class Bold(LookaheadDrafter):
    """Says that it drew the tokens of its pool from a broad distribution."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        tokens = draft.tokens.tolist()
        ids = np.arange(3, dtype=np.int32)
        return replace(draft, q=tuple(Support(ids, np.where(ids == token, 0.5, 0.25)) for token in tokens))


def whole_runs(sampling: Sampling, drafting: Drafting, make: Callable[[], LookaheadDrafter]) -> tuple[float, float]:
    """How far off the outcome is, and the tokens accepted."""
    found, truth, accepted = whole_tree_runs(
        sampling, lambda _: make(), 2, 4, drafting, tokens=8 if sampling.greedy else 4
    )
    assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
    return largest_difference(found, truth), accepted


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)], ids=str)
@pytest.mark.parametrize("drafting", [Drafting(trees=True, tokens=63), Drafting(trees=True, tokens=5), Drafting()])
def test_whole_runs_keep_the_targets_distribution(drafting: Drafting, sampling: Sampling) -> None:
    wrong, accepted = whole_runs(sampling, drafting, lambda: LookaheadDrafter(2, 3, 2))
    assert wrong < EXACT
    assert accepted > 0


def test_a_drafter_that_declares_a_broad_q_is_caught() -> None:
    wrong, _ = whole_runs(Sampling(1.0), Drafting(trees=True, tokens=63), lambda: Bold(2, 3, 2))
    assert wrong > BROKEN


# --- the window --------------------------------------------------------------------------------------


def path_to(probes: tuple[tuple[int, ...], tuple[int, ...]], n: int, probe: int) -> list[int]:
    tokens, parents = probes
    path: list[int] = []
    place = probe + n
    while place != ROOT:
        assert place >= n, "a probe hangs below the last committed token or another probe"
        path.append(tokens[place - n])
        place = parents[place - n]
    return path[::-1]


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)], ids=str)
def test_the_target_answers_behind_every_column_and_the_window_moves_on(sampling: Sampling) -> None:
    model, drafter = ToyModel(3), LookaheadDrafter(window=3, ngram=4)
    prompt = (0, 1, 2, 3, 1)
    run = rounds(drafter, model, prompt, 16, sampling=sampling)
    committed, window = list(prompt), None
    for step in run:
        probes, n = step.draft.probes, len(step.draft)
        assert probes is not None
        columns = [[committed[-1]], [], []]
        for probe, said in enumerate(step.verdict.probed):
            path = path_to(probes, n, probe)
            assert said == int(model.logits([*committed, *path]).argmax())
            column = 0 if probe < 2 else 1 + (probe - 2) // 3
            columns[column].append(probes.tokens[probe])
            assert len(path) == column + len(columns[column]) - 1
        assert window is None or [column[1:] for column in columns[:1]] + columns[1:] == window
        said = [step.verdict.probed[last] for last in (1, 4, 7)]
        moved = [[*column[1:], token] for column, token in zip(columns, said, strict=True)]
        window = [moved[0][1:], *moved[1:]]
        committed += step.emitted


def test_the_pool_learns_what_the_target_writes() -> None:
    drafter = LookaheadDrafter()
    run = rounds(drafter, periodic(), (0, 5, 4, 5, 4), 64)
    assert emitted(run) == [(5 + i) % PERIOD for i in range(64)]
    assert [step.accepted for step in run[:4]] == [0] * 4
    assert all(step.accepted >= 2 for step in run[4:-1])
    assert all(step.accepted == 3 for step in run[8:-1])


def test_probes_are_never_emitted() -> None:
    drafter = LookaheadDrafter()
    run = rounds(drafter, periodic(), (0, 5, 4, 5, 4), 64)
    sent = {token for step in run if step.draft.probes for token in step.draft.probes.tokens}
    assert {4, 5} <= sent
    assert not {4, 5} & set(emitted(run))
    assert all(node < len(step.draft) for step in run for node in step.verdict.path)


def test_a_run_begins_anew() -> None:
    drafter, model = LookaheadDrafter(), periodic()
    first = rounds(drafter, model, (0, 5, 4), 40)
    second = rounds(drafter, model, (0, 5, 4), 40)
    assert [step.emitted for step in first] == [step.emitted for step in second]


def test_an_end_does_not_stay_in_the_window() -> None:
    drafter, ends = LookaheadDrafter(window=2, ngram=3), frozenset(range(PERIOD))
    run = rounds(drafter, periodic(), (4, 5), 9, ends=ends)
    assert {token for step in run if step.draft.probes for token in step.draft.probes.tokens} == {4, 5}
    assert set(emitted(run)) <= ends


# --- what it drafts ----------------------------------------------------------------------------------


def drafts(
    drafter: LookaheadDrafter,
    plan: Plan,
    ngrams: Sequence[Sequence[int]],
    drafting: Drafting = TREES,
    ends: frozenset[int] = frozenset(),
) -> Draft:
    drafter.begin(Request((7, 1), Sampling(1.0), Limits(9, ends), evidence=False, drafting=drafting))
    for ngram in ngrams:
        drafter.pool.add(ngram)
    return drafter.draft([7, 1], 0, plan, seeded(0)("draft", 0))


NGRAMS = [(1, 2, 3, 4), (1, 2, 5, 6), (1, 8, 9, 9), (2, 0, 0, 0)]


def test_its_guesses_are_one_tree_newest_first_and_chosen() -> None:
    draft = drafts(LookaheadDrafter(), Plan("lookahead", 3, 20), NGRAMS)
    assert draft.tokens.tolist() == [8, 9, 9, 2, 5, 6, 3, 4]
    assert draft.parents.tolist() == [ROOT, 0, 1, ROOT, 3, 4, 3, 6]
    assert draft.q == (None,) * 8


def test_it_keeps_to_the_plan_and_the_targets_limits() -> None:
    assert drafts(LookaheadDrafter(), Plan("lookahead", 2, 3), NGRAMS).tokens.tolist() == [8, 9, 2]
    assert drafts(LookaheadDrafter(), Plan("lookahead", 2), NGRAMS).tokens.tolist() == [8, 9]
    assert drafts(LookaheadDrafter(), Plan("lookahead", 5), NGRAMS).tokens.tolist() == [8, 9, 9]
    ended = drafts(LookaheadDrafter(), Plan("lookahead", 3, 20), NGRAMS, ends=frozenset({8, 5}))
    assert ended.tokens.tolist() == [8, 2, 5, 3, 4]
    few = drafts(LookaheadDrafter(), Plan("lookahead", 3, 20, 18), NGRAMS)
    assert few.probes is not None
    assert len(few.tokens) + len(few.probes.tokens) == 18
    fewer = drafts(LookaheadDrafter(), Plan("lookahead", 3, 20, 4), NGRAMS)
    assert (fewer.probes, len(fewer)) == (None, 4)


def test_a_target_without_trees_gets_one_chain_of_what_the_text_said() -> None:
    drafter = LookaheadDrafter()
    drafter.begin(Request((1, 2, 3, 4, 1), Sampling(), Limits(9), evidence=False))
    draft = drafter.draft([1, 2, 3, 4, 1], 0, Plan("lookahead", 3, 9), seeded(0)("draft", 0))
    assert draft.tokens.tolist() == [2, 3, 4]
    assert draft.is_chain
    assert draft.probes is None


def test_a_pass_holds_the_largest_window_with_one_guess() -> None:
    largest = LookaheadDrafter(window=15, ngram=5)
    draft = drafts(largest, Plan("lookahead", 3, 60), [(1, n, n, n, n) for n in range(9)])
    assert draft.probes is not None
    assert 1 + len(draft) + len(draft.probes.tokens) <= PREFILL_TOKENS
    for window, ngram, guesses in ((0, 4, 4), (5, 2, 4), (5, 4, 0)):
        with pytest.raises(ValueError, match="ngram >= 3"):
            LookaheadDrafter(window, ngram, guesses)
    with pytest.raises(ValueError, match="<= 64"):
        LookaheadDrafter(window=16, ngram=5)


def test_the_pool_is_bounded_and_newest_first() -> None:
    pool = Pool(guesses=2, most_keys=3)
    for ngram in ([1, 2, 3], [1, 4, 5], [1, 2, 3], [1, 6, 7]):
        pool.add(ngram)
    assert pool.after(1) == [(6, 7), (2, 3)]
    for key in (2, 3, 4):
        pool.add([key, 0, 0])
    assert pool.after(1) == []
    assert len(pool) == 3
