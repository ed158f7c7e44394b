"""The same weights under several runtimes: one vocabulary, one template, one text, and a draft that is its target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import speculate
from speculatoviz.models.base import Feed, LanguageModel, Message
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support.departures import emitted, greedy_rounds
from support.runtimes import CAN_CONVERT, RUNTIMES, Weights

pytestmark = [pytest.mark.smol, pytest.mark.skipif(not CAN_CONVERT, reason="needs the extra hf")]

NAMES = [name for name in ("llamacpp", "ik", "transformers", "mlx") if RUNTIMES[name].installed]
PAIRS = [(draft, target) for draft in NAMES for target in NAMES if target not in (draft, "mlx")]
NEAR_TIE = 0.05  # logits; float32 runtimes differ by some hundredths
STARTS = [
    "The capital of France is",
    "Water boils at",
    "def fibonacci(n):",
    "Once upon a time, in a small village,",
    "The three primary colours are",
    "Dear Sir or Madam,",
    "1, 2, 3, 4, 5,",
    "SELECT name FROM users WHERE",
    "The mitochondria is",
    "Roses are red,",
]
MESSAGES: list[Message] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi, what is 12 + 30?"},
    {"role": "assistant", "content": "42."},
    {"role": "user", "content": "Danke schön! 🚀"},
]


CONTEXT = 256


@pytest.fixture(scope="module")
def models(weights: Weights) -> Iterator[dict[str, LanguageModel]]:
    loaded = {name: RUNTIMES[name].open(weights) for name in NAMES}
    yield loaded
    for model in loaded.values():
        model.close()


def test_the_vocabulary_is_one(models: dict[str, LanguageModel]) -> None:
    assert len({model.tokenizer.fingerprint for model in models.values()}) == 1


def test_the_chat_template_is_one(models: dict[str, LanguageModel]) -> None:
    texts = {model.tokenizer.render_chat(MESSAGES) for model in models.values()}
    assert len(texts) == 1
    ids = {tuple(model.tokenizer.encode(text, special=True)) for model in models.values() for text in texts}
    assert len(ids) == 1


@pytest.mark.parametrize(
    "text", [*STARTS, "naïve café 你好 🚀", "x = 1234567 * 89.5\n\n\tif x:", "<|im_end|> in a text", "  two  spaces "]
)
@pytest.mark.parametrize("special", [True, False])
def test_texts_are_read_alike(models: dict[str, LanguageModel], text: str, special: bool) -> None:
    read = {tuple(model.tokenizer.encode(text, special=special)) for model in models.values()}
    assert len(read) == 1


def test_tokens_are_shown_alike(models: dict[str, LanguageModel]) -> None:
    for token in [*range(40), *range(1000, 1100), 49151]:
        assert len({model.tokenizer.token_bytes(token) for model in models.values()}) == 1
        assert len({model.tokenizer.token_name(token) for model in models.values()}) == 1


def test_hidden_states_are_those_before_the_output(models: dict[str, LanguageModel]) -> None:
    """Two runtimes agree on them, to a thousandth of their size."""
    ids = models["llamacpp"].tokenizer.encode(STARTS[0], special=False)
    states = []
    for model in (models["llamacpp"], models["transformers"]):
        context = model.open(64)
        rows = model.forward([Feed(context, ids, hidden=True)])[0]
        assert rows.hidden is not None
        states.append(np.array(rows.hidden))
        context.close()
    assert states[0].shape == states[1].shape == (len(ids), 576)
    assert np.abs(states[0] - states[1]).max() < 2e-3 * np.abs(states[0]).max()


def test_inputs_of_layers_are_one(models: dict[str, LanguageModel]) -> None:
    """llama.cpp's and those of transformers, to a hundredth of their size. Those of the next layer are not."""
    ids = models["llamacpp"].tokenizer.encode(STARTS[0], special=False)
    inputs = {}
    for name, layers in (("llamacpp", (2, 15, 27)), ("transformers", (2, 15, 27)), ("next", (3, 16, 28))):
        model = models["transformers" if name == "next" else name]
        context = model.open(64)
        rows = model.forward([Feed(context, ids, "last", layers=layers)])[0]
        assert rows.layers is not None
        inputs[name] = np.split(np.array(rows.layers), 3, axis=1)
        context.close()
    for own, other, wrong in zip(*inputs.values(), strict=True):
        assert own.shape == other.shape == (len(ids), 576)
        assert relative_difference(other, own) < 0.01 < relative_difference(wrong, own)


def relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """The median over rows of |got - expected| / |expected|. The first token of a text has far larger numbers."""
    return float(np.median(np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)))


def test_attention_is_over_ancestors_alone(models: dict[str, LanguageModel]) -> None:
    model = models["transformers"]
    context = model.open(64)
    model.forward([Feed(context, [10, 11])])
    rows = model.forward([Feed(context, [12, 13, 14], parents=[-1, 0, 0], attention=True)])[0]
    assert rows.attention is not None
    assert rows.attention.shape == (30, 9, 3, 5)
    assert np.allclose(rows.attention.sum(axis=-1), 1, atol=1e-4)
    assert rows.attention[:, :, 2, 3].max() == 0, "a sibling"
    assert rows.attention[:, :, 2, 2].max() > 0, "the parent"
    context.close()


@dataclass(frozen=True)
class Parting:
    position: int
    margin: float


def parting(model: LanguageModel, ids: list[int], text: list[int], other: list[int]) -> Parting | None:
    """Where two greedy texts part, and by how much the model preferred its own token there."""
    at = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), None)
    if at is None:
        return None
    context = model.open(CONTEXT)
    row = model.forward([Feed(context, [*ids, *text[:at]], "last")])[0].logits[0]
    margin = float(row[text[at]] - row[other[at]])
    context.close()
    return Parting(at, margin)


def greedy_texts(model: LanguageModel, starts: list[str], tokens: int) -> list[list[int]]:
    target = LocalTarget(model, CONTEXT, lambda: 0.0)
    texts = []
    for start in starts:
        ids = model.tokenizer.encode(start, special=False)
        texts.append(emitted(greedy_rounds(target, None, ids, 0, tokens)))
    target.close()
    return texts


def compare_texts(models: dict[str, LanguageModel], starts: list[str], tokens: int) -> None:
    reference = models["llamacpp"]
    expected = greedy_texts(reference, starts, tokens)
    for name in NAMES[1:]:
        partings = []
        for start, text, other in zip(starts, expected, greedy_texts(models[name], starts, tokens), strict=True):
            ids = reference.tokenizer.encode(start, special=False)
            if (found := parting(reference, ids, text, other)) is not None:
                assert 0 <= found.margin < NEAR_TIE, f"{name} {start!r}: {found}"
                partings.append(found)
        print(f"\n{name} against llama.cpp: {len(starts)} texts of {tokens} tokens, partings {partings}")


def test_greedy_texts_agree_up_to_near_ties(models: dict[str, LanguageModel]) -> None:
    compare_texts(models, STARTS[:4], 8)


@pytest.mark.full
def test_greedy_texts_agree_up_to_near_ties_at_length(models: dict[str, LanguageModel]) -> None:
    compare_texts(models, STARTS, 64)


def acceptance(
    draft: LanguageModel, target: LanguageModel, temperature: float, starts: list[str], tokens: int
) -> float:
    """Mean acceptance probability of the tested tokens: the rate without the luck of its few random numbers.

    The draft samples from its whole vocabulary.
    """
    vocabulary = target.tokenizer.n_vocab
    drafter = ModelDrafter(draft, target.tokenizer, CONTEXT, lambda: 0.0, support_size=vocabulary)
    verifier = LocalTarget(target, CONTEXT, lambda: 0.0)
    accepted, probs = 0, list[float]()
    for seed, start in enumerate(starts):
        ids = target.tokenizer.encode(start, special=False)
        request = Request(tuple(ids), Sampling(temperature), Limits(tokens, ignore_eos=True), seed=seed, evidence=False)
        steps = speculate(request, verifier, {"model": drafter}, FixedPolicy("model", 3), seeded(seed), lambda: 0.0)
        for step in steps:
            if isinstance(step, Round):
                accepted += len(step.verdict.path)
                probs += [check.acceptance_prob for check in step.verdict.checks]
    drafter.close()
    verifier.close()
    mean = float(np.mean(probs))
    print(f"\nT={temperature}: {accepted} of {len(probs)} accepted, mean probability {mean:.4f}")
    return mean


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(("draft", "target"), PAIRS, ids=lambda name: name)
def test_a_draft_that_is_its_target_is_accepted(
    models: dict[str, LanguageModel], draft: str, target: str, temperature: float
) -> None:
    starts, tokens = (STARTS[:2], 8) if "mlx" in (draft, target) else (STARTS[:3], 16)
    assert acceptance(models[draft], models[target], temperature, starts, tokens) > 0.99


@pytest.mark.full
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("draft", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_a_draft_that_is_its_target_is_accepted_at_length(
    models: dict[str, LanguageModel], draft: str, target: str, temperature: float
) -> None:
    """All pairs; within one runtime too, where only the batch differs."""
    starts, tokens = (STARTS[:4], 16) if "mlx" in (draft, target) else (STARTS, 96)
    assert acceptance(models[draft], models[target], temperature, starts, tokens) > 0.99


def test_a_draft_of_other_weights_is_not(models: dict[str, LanguageModel], weights: Weights) -> None:
    """The twin: four bits less of every weight show at once, and would under a wrong cache or another vocabulary."""
    quantised = RUNTIMES["llamacpp-quantised"].open(weights)
    try:
        assert acceptance(quantised, models["transformers"], 1.0, STARTS[:4], 24) < 0.99
    finally:
        quantised.close()
