"""Under a grammar the output is that of the masked target: every choice of whole runs over a toy is listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.constraint import FORCED, Constraint
from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Limits, Penalties, Request, Rule, Sampling, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.forced import ForcedDrafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.targets import local
from support import toy_grammar
from support.toy_grammar import ALTERNATING, END, PAIRS, A, Automaton, B
from support.toy_pair import PROMPT, FixedDrafter, largest_difference, model_drafter, no_clock
from support.tree_runs import whole_tree_runs
from support.whole_runs import Factory, whole_runs

EXACT = 1e-12
BROKEN = 1e-3
SAMPLINGS = {
    "greedy": Sampling(0.0),
    "T=1": Sampling(1.0),
    "filters": Sampling(0.8, top_k=2, top_p=0.9, min_p=0.05),
    "penalties": Sampling(1.0, penalties=Penalties(presence=0.7, frequency=0.9, repetition=1.3)),
}


HALF = Automaton([{A: 1}, {B: 0, END: 2}, {}])  # every second token is a choice of two


def forced(make: Factory, constraint: Constraint = PAIRS) -> Factory:
    return lambda draft, target: ForcedDrafter(make(draft, target), constraint)


DRAFTERS: dict[str, Factory] = {
    "model": model_drafter,
    "model, forced first": forced(model_drafter),
    "model, one token": lambda draft, target: model_drafter(draft, target, 1),
    "suffix, forced first": forced(lambda draft, target: SuffixDrafter(no_clock, 3, corpus=[[0, 1, 0, 0, 1, 1]])),
    "fixed": lambda draft, target: FixedDrafter([0, 0, 1]),
    "fixed, forced first": forced(lambda draft, target: FixedDrafter([0, 0, 1])),
    "ngram, forced first": forced(lambda draft, target: NgramDrafter(1, 2)),
}


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("drafter", DRAFTERS.values(), ids=DRAFTERS.keys())
def test_whole_runs_keep_the_masked_distribution(drafter: Factory, sampling: Sampling) -> None:
    found, expected = whole_runs(sampling, 2, drafter, constraint=PAIRS)
    assert largest_difference(found, expected) < EXACT
    assert all(PAIRS.allowed(output[:-1]) is not None for output in found)


@pytest.mark.parametrize("rule", ["block", "match"])
def test_other_rules_keep_the_masked_distribution(rule: Rule) -> None:
    found, expected = whole_runs(Sampling(1.0), 2, forced(model_drafter), rule=rule, constraint=PAIRS)
    assert largest_difference(found, expected) < EXACT


def second_guesses(model: ToyModel) -> Drafter:
    return model_drafter(ToyModel(1, ALPHABET[:2], mix=(2, 0.5)), model)


@pytest.mark.parametrize("name", ["greedy", "T=1"])
def test_trees_keep_the_masked_distribution(name: str) -> None:
    for make in (second_guesses, lambda model: ForcedDrafter(second_guesses(model), PAIRS)):
        found, expected, _ = whole_tree_runs(SAMPLINGS[name], make, 2, 3, constraint=PAIRS)
        assert largest_difference(found, expected) < EXACT


def test_q_without_the_mask_is_exact_and_accepted_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, accepted = whole_tree_runs(Sampling(1.0), second_guesses, 2, 0, constraint=HALF)
    monkeypatch.setattr(ModelDrafter, "_processed", lambda self, logits, processor, path: logits)
    found, expected, without = whole_tree_runs(Sampling(1.0), second_guesses, 2, 0, constraint=HALF)

    assert largest_difference(found, expected) < EXACT
    assert accepted > without + 0.1


@pytest.mark.parametrize(
    "twin", [toy_grammar.unmasked, toy_grammar.masked_as_at_the_start, toy_grammar.not_for_the_bonus]
)
def test_masks_of_other_positions_are_caught(twin: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_processed", twin)
    found, expected = whole_runs(Sampling(1.0), 2, model_drafter, constraint=PAIRS)
    assert largest_difference(found, expected) > BROKEN


def test_a_drafter_that_withdraws_drawn_tokens_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn from q without the mask, tokens that are not allowed have to stay, and be rejected."""

    def withdrawing(self: ForcedDrafter, prefix: Sequence[int], draft: Draft) -> Draft:
        kept = honest(self, prefix, replace(draft, q=(None,) * len(draft)))
        return replace(kept, q=draft.q[: len(kept)])

    honest = ForcedDrafter._allowed
    monkeypatch.setattr(ForcedDrafter, "_allowed", withdrawing)
    monkeypatch.setattr(ModelDrafter, "_processed", lambda self, logits, processor, path: logits)
    found, expected = whole_runs(Sampling(1.0), 2, forced(model_drafter, HALF), constraint=HALF)
    assert largest_difference(found, expected) > BROKEN


# --- drafts --------------------------------------------------------------------------------------------


def begun(make: Callable[[], Drafter], constraint: Automaton, max_tokens: int = 32) -> ForcedDrafter:
    drafter = ForcedDrafter(make(), constraint)
    limits = Limits(max_tokens, stop_ids=frozenset({END}))
    drafter.begin(Request(PROMPT, Sampling(0.0), limits, evidence=False, output_from=2, constraint=constraint))
    return drafter


def drafted(drafter: ForcedDrafter, output: list[int], plan: Plan) -> tuple[list[int], tuple[str, ...]]:
    draft = drafter.draft([*PROMPT, *output], 0, plan, seeded(0)("draft", 0))
    assert draft.is_chain
    return draft.tokens.tolist(), draft.source


def test_forced_tokens_come_first_and_the_other_drafter_fills_the_depth() -> None:
    drafter = begun(lambda: FixedDrafter([B, A, B]), PAIRS)
    assert drafted(drafter, [A], Plan("fixed", 3)) == ([B, B, A], (FORCED, "fixed", "fixed"))
    assert drafted(drafter, [A], Plan("fixed", 1)) == ([B], (FORCED,))
    assert drafted(drafter, [], Plan("fixed", 2)) == ([B, A], ("fixed", "fixed"))


def test_forced_tokens_may_be_more_than_the_plan_is_deep_and_no_more_than_there_is_room_for() -> None:
    drafter = begun(lambda: FixedDrafter([A]), ALTERNATING)
    assert drafted(drafter, [], Plan("fixed", 2))[0] == [A, B] * 8
    assert drafted(drafter, [], Plan("fixed", 2, room=5))[0] == [A, B, A, B, A]
    assert drafted(begun(lambda: FixedDrafter([A]), ALTERNATING, 8), [A, B], Plan("fixed", 2))[0] == [A, B, A, B, A]


def test_chosen_tokens_that_are_not_allowed_are_left_out() -> None:
    drafter = begun(lambda: FixedDrafter([A, A, B]), PAIRS)
    assert drafted(drafter, [], Plan("fixed", 3))[0] == [A]
    assert drafted(drafter, [A], Plan("fixed", 4))[0] == [B, A]


def test_an_outlook_names_what_is_forced() -> None:
    drafter = begun(lambda: FixedDrafter([B]), PAIRS)
    assert drafter.outlook([*PROMPT, A]).tokens == (B,)
    assert drafter.outlook(list(PROMPT)).tokens == (B,)  # the other drafter's own


def test_a_draft_model_without_an_allowed_token_drafts_nothing() -> None:
    class Lacking(ToyModel):
        """Gives the token `b` no logit."""

        def logits(self, prefix: Sequence[int]) -> np.ndarray:
            return np.where(np.arange(3) == B, -np.inf, super().logits(prefix))

    target = ToyModel(1, ALPHABET[:2])
    drafter = begun(lambda: model_drafter(Lacking(1, ALPHABET[:2]), target), PAIRS)
    assert drafted(drafter, [A], Plan("model", 1))[1] == (FORCED,)
    assert drafter._drafter.draft([*PROMPT, A], 0, Plan("model", 2), seeded(0)("draft", 0)).tokens.tolist() == []


def test_a_restricted_q_is_renormalised() -> None:
    request = Request(PROMPT, Sampling(1.0), Limits(9), constraint=PAIRS, output_from=2)
    processor = LogitsProcessor(request, PROMPT)
    q = Support(np.array([A, B], np.int32), np.array([0.75, 0.25]))
    after = processor.restricted(q, [A])
    assert after is not None
    assert (after.ids.tolist(), after.probs.tolist()) == ([B], [1.0])
    assert processor.restricted(Support.point(A), [A]) is None
    assert processor.restricted(q, [A, A]) is q  # p is 0 there
