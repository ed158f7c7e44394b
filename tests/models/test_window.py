"""The cache under trees: whatever is fed, accepted or rewound, it holds the ids that it reports, and their states."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.engine import speculate
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.runtimes import toy
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.models.tree import ancestors
from speculatoviz.models.window import Window
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget

SIZE = 256
TOKENS = 3
ROUNDS = 1_000
MOST_VARIATION = 0.02  # of the next token, between two layouts of the same cells
MOST_PROCESS_BYTES = 24 << 20


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int] | None, int]:
    """Tokens, their parents (None for a chain), and the node whose path is kept."""
    n = draw(st.integers(1, 8))
    tokens = draw(st.lists(st.integers(0, TOKENS - 1), min_size=n, max_size=n))
    if draw(st.booleans()):
        return tokens, None, draw(st.integers(-1, n - 1))
    parents = [draw(st.integers(-1, node - 1)) for node in range(n)]
    return tokens, parents, draw(st.integers(-1, n - 1))


Step = tuple[str, object]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), trees()),
        st.tuples(st.just("rewind"), st.integers(0, 12)),
        st.tuples(st.just("drop"), trees()),
        st.tuples(st.just("record"), st.sampled_from(["", "h", "l", "hl"])),
    ),
    min_size=1,
    max_size=10,
)


def play(window: Window, steps: Sequence[Step], expected: Sequence[int], words: Sequence[int] = (0, 1, 2)) -> list[int]:
    """Take the steps, with `words` for tokens; the ids that should be held."""
    held = list(expected)
    for kind, what in steps:
        if kind == "rewind":
            assert isinstance(what, int)
            held = held[:what] if what else held
            window.keep(len(held))
        elif kind == "record":
            assert isinstance(what, str)
            window.record("h" in what, "l" in what)
            held = held[: len(window.ids)]  # recording gives up what it knows no state of
        else:
            assert isinstance(what, tuple)
            tokens, parents, node = [words[token] for token in what[0]], what[1], what[2]
            window.feed(tokens, "all", parents)
            if kind == "drop":
                window.keep(len(held))
                continue
            path = list(range(node + 1)) if parents is None else ancestors(parents, node)
            window.accept(path)
            held += [tokens[i] for i in path]
        assert window.ids == held
        assert window.context.length == len(held)
    return held


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_a_window_holds_what_was_accepted(steps: list[Step]) -> None:
    model = ToyModel(3, [b"a", b"b"])
    window = Window(model, SIZE)
    window.read_layers((2, 5))
    held = play(window, steps, [])
    assert np.array_equal(window.feed([1])[0], model.logits([*held, 1]))
    for place, inputs in enumerate(window.layer_inputs):
        assert np.array_equal(inputs, model.layer_inputs((2, 5), window.ids[: place + 1]))
    assert len(window.layer_inputs) == len(window.ids) or not window._inputs.on
    for place, state in enumerate(window.states):
        assert np.array_equal(state, model.logits(window.ids[: place + 1]))
    assert len(window.states) == len(window.ids) or not window.recording


def test_a_state_kept_for_another_token_would_show() -> None:
    """The broken twin: states that are not taken along the accepted path."""
    model = ToyModel(3, [b"a", b"b"])
    window = Window(model, SIZE)
    window.record()
    window.feed([0, 1, 1], "all", [-1, -1, 1])
    assert window._last is not None
    window._last = window._last._replace(states=np.roll(window._last.states, 1, axis=0))  # type: ignore[arg-type]
    window.accept([1, 2])
    assert not np.array_equal(window.states[0], model.logits([1]))
    window.read_layers((2,))
    window.record(hidden=False, layers=True)
    window.feed([0, 1, 1], "all", [-1, -1, 1])
    assert window._last.inputs is not None
    window._last = window._last._replace(inputs=np.roll(window._last.inputs, 1, axis=0))
    window.accept([1, 2])
    assert not np.array_equal(window.layer_inputs[0], model.layer_inputs((2,), [1]))


def test_other_layers_are_recorded_anew() -> None:
    model = ToyModel(3, [b"a", b"b"])
    window = Window(model, SIZE)
    window.read_layers((2,))
    window.record(hidden=False, layers=True)
    window.feed([0, 1])
    assert not len(window.states)
    window.read_layers((3, 2))
    assert not len(window.layer_inputs)
    window.record(hidden=False, layers=True)
    assert window.ids == []
    window.feed([0, 1])
    assert np.array_equal(window.layer_inputs[1], model.layer_inputs((3, 2), [0, 1]))


@pytest.fixture(scope="module")
def smol(smol_f32_path: Path) -> Iterator[LlamaCppModel]:
    """In float32, where another layout of the cells moves a logit by little."""
    model = LlamaCppModel(smol_f32_path, cells=4 * SIZE)
    yield model
    model.close()


@pytest.mark.smol
@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(steps=STEPS)
def test_a_real_window_holds_what_was_accepted(smol: LlamaCppModel, steps: list[Step]) -> None:
    prompt = smol.tokenizer.encode("the quick brown fox", special=False)
    window, fresh = Window(smol, SIZE), Window(smol, SIZE)
    try:
        window.feed(prompt)
        words = smol.tokenizer.encode(" the dog and", special=False)
        held = play(window, steps, prompt, words)
        row = window.feed(words[:1])[0].copy()
        expected = fresh.feed([*held, words[0]], "last")[0]
        one = distribution(row, Sampling(1.0)).dense(len(row))
        assert 0.5 * np.abs(one - distribution(expected, Sampling(1.0)).dense(len(row))).sum() < MOST_VARIATION
        assert len(window.states) == len(window.ids) or not window.recording
    finally:
        window.close()
        fresh.close()


# --- memory ------------------------------------------------------------------------------------------


def run_rounds(target: LocalTarget, drafter: Drafter, rounds: int, prompt: Sequence[int], tokens: int) -> None:
    """Runs of the whole engine over trees, states recorded, until there were that many rounds."""
    made, seed = 0, 0
    while made < rounds:
        limits = Limits(tokens, ignore_eos=True)
        needs = frozenset({"hidden"})
        request = Request(tuple(prompt), Sampling(0.8), limits, seed=seed, evidence=False, needs=needs)  # type: ignore[arg-type]
        policy = FixedPolicy(drafter.name, 3, 7)
        steps = speculate(request, target, {drafter.name: drafter}, policy, seeded(seed), lambda: 0.0)
        made += sum(isinstance(step, Round) for step in steps)
        seed += 1


def blocks() -> int:
    """Blocks of memory that Python has given out, but for the toy's own notes."""
    toy._hashed.cache_clear()
    gc.collect()
    return sys.getallocatedblocks()


def test_a_thousand_rounds_leave_nothing_behind() -> None:
    target_model, draft_model = ToyModel(1), ToyModel(1, mix=(2, 0.5))
    target = LocalTarget(target_model, SIZE, lambda: 0.0)
    own = ModelDrafter(draft_model, target_model.tokenizer, SIZE, lambda: 0.0)
    drafter = MultiDrafter([NgramDrafter(1, 3), own])
    run_rounds(target, drafter, 100, [0, 1], 60)
    before = blocks()
    run_rounds(target, drafter, ROUNDS, [0, 1], 60)
    assert blocks() - before < ROUNDS // 2


@pytest.mark.full
@pytest.mark.smol
def test_a_thousand_real_rounds_leave_nothing_behind(smol_path: Path) -> None:
    model: LanguageModel = LlamaCppModel(smol_path, cells=4 * SIZE)
    draft: LanguageModel = LlamaCppModel(smol_path, cells=2 * SIZE)
    try:
        target = LocalTarget(model, SIZE, lambda: 0.0)
        own = ModelDrafter(draft, model.tokenizer, SIZE, lambda: 0.0)
        drafter = MultiDrafter([NgramDrafter(1, 3), own])
        prompt = model.tokenizer.encode("the quick brown fox", special=False)
        run_rounds(target, drafter, 100, prompt, 120)
        before = psutil.Process().memory_info().rss
        run_rounds(target, drafter, ROUNDS, prompt, 120)
        assert psutil.Process().memory_info().rss - before < MOST_PROCESS_BYTES
    finally:
        draft.close()
        model.close()
