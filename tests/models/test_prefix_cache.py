"""Prefixes of earlier runs: a run that begins with one continues from it, and computes what it would have computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Floats, Sampling
from speculatoviz.models.prefix_cache import SHORTEST, Prefix, PrefixCache, Snapshot
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.toy import ToyContext, ToyModel
from speculatoviz.models.window import Window

SIZE = 512
BUDGET = 700
MOST_VARIATION = 0.02  # of the next token, between two layouts of the same cells
DOCUMENT, OTHER = [0, 1, 2, 0, 2, 1] * 25, [2, 2, 1, 0, 1] * 30


def never() -> bool:
    return False


# A run: which of two documents it begins with, how many tokens of it, the questions after it, whether states are asked.
RUNS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 150), st.lists(st.integers(0, 2), max_size=90), st.booleans()),
    min_size=2,
    max_size=7,
)


def prompt_of(document: bool, length: int, question: Sequence[int]) -> list[int]:
    return [*(DOCUMENT if document else OTHER)[:length], *question]


def check_run(window: Window, model: ToyModel, ids: Sequence[int], *, recorded: bool, layers: bool = False) -> None:
    """Begin a run with `ids` and compare its first logits, its hidden states and its layers with the definition's."""
    window.read_layers((2, 4))
    window.record(recorded, layers)
    window.prefill(ids[:-1], never)
    assert window.ids == list(ids[:-1])
    assert np.array_equal(window.feed(ids[-1:])[0], model.logits(ids))
    assert len(window.states) == len(ids) or not recorded
    for place, state in enumerate(window.states):
        assert np.array_equal(state, model.logits(ids[: place + 1]))
    assert len(window.layer_inputs) == len(ids) or not layers
    for place, inputs in enumerate(window.layer_inputs):
        assert np.array_equal(inputs, model.layer_inputs((2, 4), ids[: place + 1]))


@settings(max_examples=60, deadline=None)
@example(runs=[(True, 64, [], True), (True, 65, [], False), (False, 1, [], False), (True, 66, [], True)])
@given(runs=RUNS)
def test_a_restored_prefix_gives_the_logits_of_a_prefill_bit_for_bit(
    runs: list[tuple[bool, int, list[int], bool]],
) -> None:
    model, cache = ToyModel(3, [b"a", b"b", b"c"]), PrefixCache(BUDGET)
    window = Window(model, SIZE, cache)
    for document, length, question, recorded in runs:
        check_run(window, model, prompt_of(document, length, question), recorded=recorded, layers=length % 2 == 0)
        assert cache.held_tokens <= BUDGET


class OtherTokens(PrefixCache):
    """The broken twin: returns a prefix of other tokens, under the ids that were asked for."""

    def find(self, ids: Sequence[int], known: int, **wanted: Any) -> Prefix | None:
        del known, wanted
        held = self.prefixes
        return Prefix(tuple(ids[: len(held[0].ids)]), held[0].snapshot, held[0].states) if held else None


class StaleStates(PrefixCache):
    """The broken twin: the hidden states are those after the next token."""

    what = "states"

    def find(self, ids: Sequence[int], known: int, **wanted: Any) -> Prefix | None:
        found = super().find(ids, known, **wanted)
        return found and replace(found, **{self.what: np.roll(getattr(found, self.what), 1, axis=0)})


class StaleInputs(StaleStates):
    """The broken twin: the inputs of layers are those at the next token."""

    what = "inputs"


@pytest.mark.parametrize(
    ("twin", "recorded"), [(OtherTokens, False), (StaleStates, True), (StaleInputs, True), (StaleInputs, False)]
)
def test_a_cache_that_returns_something_else_is_caught(twin: type[PrefixCache], recorded: bool) -> None:
    def play(cache: PrefixCache) -> None:
        model = ToyModel(3, [b"a", b"b", b"c"])
        window = Window(model, SIZE, cache)
        for ids in (DOCUMENT, OTHER, [2, 2, *DOCUMENT], [*DOCUMENT, 1]):
            check_run(window, model, ids, recorded=recorded, layers=twin is StaleInputs)

    play(PrefixCache(BUDGET))
    with pytest.raises(AssertionError):
        play(twin(BUDGET))


# --- what is reused and what is held ------------------------------------------------------------------


@pytest.fixture
def window() -> Window:
    return Window(ToyModel(3, [b"a", b"b", b"c"]), SIZE, PrefixCache(BUDGET))


def held(window: Window) -> list[tuple[int, ...]]:
    assert window.prefixes is not None
    return [prefix.ids for prefix in window.prefixes.prefixes]


def test_a_return_to_an_earlier_prompt_computes_only_what_is_new(window: Window) -> None:
    window.prefill(DOCUMENT, never)
    window.prefill(OTHER, never)
    assert window.reused == 0
    assert window.align([*DOCUMENT, 1, 1]) == [1, 1]
    assert window.reused == len(DOCUMENT)


def test_without_a_cache_only_the_last_prompt_is_reused() -> None:
    window = Window(ToyModel(3, [b"a", b"b", b"c"]), SIZE)
    window.prefill(DOCUMENT, never)
    window.prefill(OTHER, never)
    assert window.align(DOCUMENT) == DOCUMENT
    assert window.reused == 0


def test_the_least_recently_used_prefix_goes_first() -> None:
    window = Window(ToyModel(3, [b"a", b"b", b"c"]), SIZE, PrefixCache(2 * len(DOCUMENT) + 10))
    first, second, third = ([place, *DOCUMENT] for place in (0, 1, 2))
    for ids in (first, second, first, third, [2, 2, 2]):
        window.prefill(ids, never)
    assert held(window) == [tuple(first), tuple(third)]


def test_a_beginning_of_another_prefix_is_not_held_twice(window: Window) -> None:
    for ids in ([*DOCUMENT[:100]], OTHER, DOCUMENT, OTHER, DOCUMENT[:90], OTHER):
        window.prefill(ids, never)
    assert [ids for ids in held(window) if ids[0] == 0] == [tuple(DOCUMENT)]


def test_a_short_prefix_is_not_worth_a_copy(window: Window) -> None:
    window.prefill(DOCUMENT[: SHORTEST - 1], never)
    window.prefill(OTHER, never)
    assert held(window) == []


class Refusing(ToyModel):
    """Refuses every snapshot, as a library does for one of another version."""

    def open(self, size: int) -> ToyContext:
        class Context(ToyContext):
            def restore(self, state: Snapshot, length: int) -> bool:
                del state, length
                self.tokens = []
                return False

        return Context(size)


def test_a_snapshot_that_is_refused_is_dropped_and_the_prompt_is_computed() -> None:
    model, cache = Refusing(3, [b"a", b"b", b"c"]), PrefixCache(BUDGET)
    window = Window(model, SIZE, cache)
    for ids in (DOCUMENT, OTHER, [*DOCUMENT, 1]):
        check_run(window, model, ids, recorded=False)
    assert tuple(DOCUMENT) not in held(window)


# --- a real model -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smol(smol_f32_path: Path) -> Iterator[LlamaCppModel]:
    model = LlamaCppModel(smol_f32_path, cells=2 * SIZE)
    yield model
    model.close()


def probs_after(window: Window, ids: Sequence[int]) -> Floats:
    window.prefill(ids[:-1], never)
    row = window.feed(ids[-1:])[0]
    return distribution(row, Sampling(1.0)).dense(len(row))


@pytest.mark.smol
def test_a_real_prefix_is_restored_with_its_states(smol: LlamaCppModel) -> None:
    encode = smol.tokenizer.encode
    document, other = encode("the quick brown fox " * 30, special=False), encode("a cat sat " * 40, special=False)
    question = encode(" Then it ran to", special=False)
    window, fresh = Window(smol, SIZE, PrefixCache(2 * SIZE)), Window(smol, SIZE)
    try:
        for opened in (window, fresh):
            opened.record()
        expected = probs_after(fresh, [*document, *question])
        probs_after(window, document)
        probs_after(window, other)
        got = probs_after(window, [*document, *question])
        assert window.reused >= len(document) - 1
        assert 0.5 * np.abs(got - expected).sum() < MOST_VARIATION
        assert np.abs(window.states - fresh.states).max() < MOST_VARIATION * np.abs(fresh.states).max()
        wrong = probs_after(fresh, [*other, *question])
        assert 0.5 * np.abs(got - wrong).sum() > MOST_VARIATION, "another prefix would show"
    finally:
        window.close()
        fresh.close()


@pytest.mark.parametrize(("recorded", "layers", "usable"), [(False, (), 6), (True, (), 0), (False, (1,), 0)])
def test_a_snapshot_that_cannot_be_cut_stands_for_all_of_its_ids_or_none(
    recorded: bool, layers: tuple[int, ...], usable: int
) -> None:
    """Of the first four ids everything is known, of the last two the ids alone."""
    rows = np.zeros((4, 2), np.float32)
    prefix = Prefix(tuple(range(6)), np.zeros(1, np.uint8), rows, (1,), rows)
    assert prefix.usable(range(9), recorded=recorded, layers=layers, whole=True) == usable
    assert prefix.usable(range(9), recorded=recorded, layers=layers) == (usable or 4)
    assert prefix.usable(range(5), recorded=recorded, layers=layers, whole=True) == 0
