"""Penalties are those of plain decoding at every position of a draft: by definition, and in all runs of a toy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.logits import LogitsProcessor
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Penalties, Request, Rule, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import Change, speculate
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets import local
from speculatoviz.targets.local import LocalTarget
from support import penalties as support
from support.penalties import PENALISED, penalised
from support.toy_pair import PROMPT, FixedDrafter, largest_difference, model_drafter, no_clock
from support.tree_runs import whole_tree_runs
from support.whole_runs import whole_runs

EXACT = 1e-12
BROKEN = 1e-3
N_VOCAB = 12

some_penalties = st.builds(
    Penalties,
    presence=st.floats(-2, 2),
    frequency=st.floats(-2, 2),
    repetition=st.floats(0.1, 10),
    last_n=st.one_of(st.none(), st.integers(1, 9)),
    bias=st.dictionaries(st.integers(0, N_VOCAB - 1), st.floats(-100, 100), max_size=3).map(lambda d: tuple(d.items())),
)
texts = st.lists(st.integers(0, N_VOCAB - 1), max_size=9)


def logits_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(N_VOCAB)


def processor(penalties: Penalties, ids: Sequence[int], output_start: int) -> LogitsProcessor:
    return LogitsProcessor(
        Request(tuple(ids), Sampling(1.0, penalties=penalties), Limits(9), output_from=output_start), ids
    )


@settings(max_examples=60, deadline=None)
@given(penalties=some_penalties, prompt=texts, output=texts, split=st.integers(0, 9), seed=st.integers(0, 99))
def test_they_are_as_defined_wherever_the_draft_begins(
    penalties: Penalties, prompt: list[int], output: list[int], split: int, seed: int
) -> None:
    logits, ids = logits_of(seed), [*prompt, *output]
    whole = processor(penalties, ids, len(prompt))(logits)
    drafted = processor(penalties, [*prompt, *output[:split]], len(prompt))(logits, output[split:])

    np.testing.assert_allclose(whole, penalised(logits, ids, len(prompt), penalties), rtol=1e-12, atol=1e-12)
    assert drafted.tobytes() == whole.tobytes()
    assert logits.tobytes() == logits_of(seed).tobytes()


@settings(max_examples=60, deadline=None)
@given(penalties=some_penalties, prompt=texts, path=texts, kept=st.sets(st.integers(0, N_VOCAB - 1), min_size=1))
def test_logits_over_some_ids_are_part_of_those_over_all(
    penalties: Penalties, prompt: list[int], path: list[int], kept: set[int]
) -> None:
    vocabulary, logits = np.array(sorted(kept), np.int32), logits_of(0)
    process = processor(penalties, prompt, len(prompt))
    some = process(logits[vocabulary], path, vocabulary)

    assert some.tobytes() == process(logits, path)[vocabulary].tobytes()


def test_ids_without_a_logit_are_left_out() -> None:
    process = processor(Penalties(1.0, 1.0, 2.0, bias=((11, 3.0),)), [11, 10], 0)
    np.testing.assert_array_equal(process(np.ones(5)), np.ones(5))


def test_without_penalties_nothing_is_copied() -> None:
    logits = logits_of(0)
    assert processor(Penalties(), [1, 2], 0)(logits, [3]) is logits


@pytest.mark.parametrize(
    "wrong", [{"presence": np.inf}, {"repetition": 0.0}, {"repetition": -1.0}, {"last_n": 0}, {"bias": ((1, np.nan),)}]
)
def test_penalties_without_meaning_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Penalties(**wrong)  # type: ignore[arg-type]


# --- all runs ------------------------------------------------------------------------------------------

DRAFTERS: dict[str, Callable[[ToyModel, ToyModel], Drafter]] = {
    "model": model_drafter,
    "fixed": lambda draft, target: FixedDrafter([0, 1, 0]),
}


@pytest.mark.parametrize("sampling", PENALISED.values(), ids=PENALISED.keys())
@pytest.mark.parametrize("drafter", DRAFTERS.values(), ids=DRAFTERS.keys())
def test_whole_runs_keep_the_penalised_distribution(
    drafter: Callable[[ToyModel, ToyModel], Drafter], sampling: Sampling
) -> None:
    found, expected = whole_runs(sampling, 2, drafter)
    assert largest_difference(found, expected) < EXACT


def second_guesses(model: ToyModel) -> Drafter:
    return model_drafter(ToyModel(1, ALPHABET[:2], mix=(2, 0.5)), model)


@pytest.mark.parametrize("name", ["presence and frequency", "repetition", "greedy"])
def test_whole_runs_over_trees_keep_the_penalised_distribution(name: str) -> None:
    found, expected, _ = whole_tree_runs(PENALISED[name], second_guesses, 2, 3, tokens=2)
    assert largest_difference(found, expected) < EXACT


@pytest.mark.parametrize("rule", ["block", "match"])
def test_other_rules_keep_the_penalised_distribution(rule: Rule) -> None:
    found, expected = whole_runs(PENALISED["all"], 2, model_drafter, rule=rule)
    assert largest_difference(found, expected) < EXACT


@pytest.mark.parametrize("twin", [support.by_the_whole_draft, support.by_what_is_committed, support.not_for_the_bonus])
def test_penalties_of_other_tokens_are_caught(twin: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_processed", twin)
    found, expected = whole_runs(PENALISED["presence and frequency"], 2, model_drafter)
    assert largest_difference(found, expected) > BROKEN


def test_penalties_of_other_branches_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_processed", support.by_the_nodes_before)
    sampling = PENALISED["presence and frequency"]
    found, expected, _ = whole_tree_runs(sampling, second_guesses, 1, 3, tokens=2)
    assert largest_difference(found, expected) > BROKEN


def test_penalising_q_raises_what_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = Sampling(1.0, penalties=Penalties(bias=((2, -3.0),)))
    *_, accepted = whole_tree_runs(sampling, second_guesses, 2, 0, tokens=2)
    monkeypatch.setattr(
        "speculatoviz.drafters.model.ModelDrafter._processed", lambda self, logits, processor, path: logits
    )
    found, expected, without = whole_tree_runs(sampling, second_guesses, 2, 0, tokens=2)

    assert largest_difference(found, expected) < EXACT  # any q is exact
    assert accepted > without + 0.1


# --- one run -------------------------------------------------------------------------------------------


def greedy_text(model: ToyModel, penalties: Penalties, count: int) -> list[int]:
    ids = list(PROMPT)
    for _ in range(count):
        ids.append(int(penalised(model.logits(ids), ids, len(PROMPT), penalties).argmax()))
    return ids[len(PROMPT) :]


def run(model: ToyModel, sampling: Sampling, changes: Callable[[], Sequence[Change]]) -> list[int]:
    request = Request(PROMPT, sampling, Limits(24, ignore_eos=True))
    target = LocalTarget(model, 64, no_clock)
    drafter = model_drafter(ToyModel(0, ALPHABET, mix=(7, 0.3)), model)
    policy = FixedPolicy(drafter.name, 3)
    steps = speculate(request, target, {drafter.name: drafter}, policy, seeded(0), no_clock, changes)
    return [token for step in steps if isinstance(step, Round) for token in step.emitted]


def test_a_change_of_settings_forgets_no_token_of_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    model, penalties = ToyModel(0, ALPHABET), Penalties(presence=1.5, frequency=0.5)

    def text() -> list[int]:
        rounds = iter([[], [], [Change(depth=2)], [], [Change(depth=3)]])
        return run(model, Sampling(0.0, penalties=penalties), lambda: next(rounds, []))

    assert text() == greedy_text(model, penalties, 24)
    monkeypatch.setattr(Request, "output_start", property(lambda request: len(request.prompt)))
    assert text() != greedy_text(model, penalties, 24)
