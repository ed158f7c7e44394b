"""What PyTorch trains is what the drafters compute, and the losses are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speculatoviz.heads.eagle import EagleHead  # noqa: E402
from speculatoviz.heads.eagle3_folder import Eagle3Shape  # noqa: E402
from speculatoviz.heads.medusa import MedusaHeads  # noqa: E402
from speculatoviz.train.data import Batch, collate  # noqa: E402
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape  # noqa: E402
from speculatoviz.train.eagle3 import Eagle3Loss, Eagle3Module  # noqa: E402
from speculatoviz.train.medusa import MedusaLoss, MedusaModule, MedusaShape  # noqa: E402
from speculatoviz.train.target import TargetMatrices  # noqa: E402
from support.tiny_heads import HIDDEN, VOCABULARY, TinyRows  # noqa: E402
from support.tiny_training import dialogue, file_of  # noqa: E402

DIALOGUES = [dialogue(0), dialogue(1, 9), dialogue(2, 12)]
LENGTH, DEPTH = 12, 4


def target() -> TargetMatrices:
    return TargetMatrices(TinyRows(), VOCABULARY, DIALOGUES)


def shaken(module):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in module.weights.values():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return module


def eagle(window: int = 64, **loss: float) -> EagleModule:
    return shaken(EagleModule(target(), EagleShape(2, 4, 12, window), EagleLoss(**loss), 0))  # type: ignore[arg-type]


def medusa(**loss: float) -> MedusaModule:
    return shaken(MedusaModule(target(), MedusaShape(3, 2), MedusaLoss(**loss), 0))


def eagle3(**loss: float) -> Eagle3Module:
    return shaken(Eagle3Module(target(), Eagle3Shape(HIDDEN, 2, 1, 4, 12), Eagle3Loss(**loss), 0))  # type: ignore[arg-type]


def weights(module):  # type: ignore[no-untyped-def]
    return {name: weight.detach().numpy() for name, weight in module.weights.items()}


@pytest.mark.parametrize("window", [64, 5, 2])
@pytest.mark.parametrize("begin", [1, 4, 8])
def test_eagle_drafts_with_the_numbers_it_was_trained_with(window: int, begin: int) -> None:
    """From every step of the training to the draft after the pairs that it stands for."""
    module = eagle(window)
    batch = collate(DIALOGUES)
    with torch.no_grad():
        steps = [states.numpy() for states in module.unrolled(batch.tokens, batch.states, DEPTH)]
    head = EagleHead(file_of("eagle", module.numbers, weights(module)), TinyRows())
    tokens, states = DIALOGUES[0].tokens, DIALOGUES[0].states.astype(np.float32)
    cache = head.open()
    _, own = cache.append(states[:begin], tokens[: begin + 1].tolist(), last=True)
    for step in range(DEPTH):
        if step:
            _, own = cache.grow(own, [int(tokens[begin + step])], [step - 2])
        if begin - 1 + step < LENGTH - 1:
            np.testing.assert_allclose(own[0], steps[step][0, begin - 1 + step], rtol=1e-4, atol=1e-5)


def test_eagle_guesses_what_its_head_drafts() -> None:
    module = eagle()
    head = EagleHead(file_of("eagle", module.numbers, weights(module)), TinyRows())
    guesses = module.guesses(collate(DIALOGUES), DEPTH).numpy()
    tokens, states = DIALOGUES[0].tokens, DIALOGUES[0].states.astype(np.float32)
    assert (guesses[0, 0] == -1).all(), "after the first token there is no state"
    for last in range(1, LENGTH - DEPTH):
        cache = head.open()
        logits, own = cache.append(states[:last], tokens[: last + 1].tolist(), last=True)
        for step in range(DEPTH):
            assert guesses[0, last, step] == VOCABULARY[logits[0].argmax()]
            logits, own = cache.grow(own, [int(tokens[last + 1 + step])], [step - 1])


def test_medusa_drafts_with_the_numbers_it_was_trained_with() -> None:
    module = medusa()
    heads = MedusaHeads(file_of("medusa", module.numbers, weights(module)), TinyRows())
    batch = collate(DIALOGUES)
    with torch.no_grad():
        own = [target().logits(states).numpy() for states in module.heads(batch.states)]
    guesses = module.guesses(batch, 3).numpy()
    for place in range(LENGTH):
        logits = heads.logits(DIALOGUES[0].states[place].astype(np.float32), 3)
        for head in range(3):
            np.testing.assert_allclose(logits[head], own[head][0, place], rtol=1e-4, atol=1e-4)
            if place + 1 < LENGTH:
                assert guesses[0, place + 1, head] == VOCABULARY[logits[head].argmax()]


def divergence(states: np.ndarray, truth: np.ndarray) -> float:
    rows = TinyRows().output(VOCABULARY).astype(np.float64)

    def logs(x: np.ndarray) -> np.ndarray:
        logits = rows @ x
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()

    p = logs(truth)
    return float((np.exp(p) * (p - logs(states))).sum())


def test_eagle_s_loss_is_the_divergence_from_the_target_behind_what_it_wrote() -> None:
    module, batch = eagle(noise=0.0, state=0.0, steps=2, decay=0.5, share=1.0), collate(DIALOGUES[:2])
    loss, parts = module.loss(batch, torch.Generator(), 0.99)
    with torch.no_grad():
        steps = [states.numpy() for states in module.unrolled(batch.tokens, batch.states, 2)]
    for step in range(2):
        sums = [0.0, 0.0]
        for row, own in enumerate(DIALOGUES[:2]):
            for pair in range(step, len(own) - 1):
                share = float(batch.weight[row, pair + 1])
                truth = own.states[pair + 1].astype(np.float64)
                sums[0] += share * divergence(steps[step][row, pair], truth)
                sums[1] += share
        assert parts[f"kl_{step + 1}"] == pytest.approx(sums[0] / sums[1], rel=1e-3)
    assert float(loss.detach()) == pytest.approx(parts["kl_1"] + 0.5 * parts["kl_2"], rel=1e-5)


def test_medusa_s_loss_is_the_divergence_from_the_target_so_many_tokens_on() -> None:
    module, batch = medusa(noise=0.0, decay=0.5, share=1.0), collate(DIALOGUES[:2])
    loss, parts = module.loss(batch, torch.Generator(), 0.99)
    with torch.no_grad():
        heads = [states.numpy() for states in module.heads(batch.states)]
    for head in (1, 2, 3):
        sums = [0.0, 0.0]
        for row, own in enumerate(DIALOGUES[:2]):
            for place in range(len(own) - head):
                share = float(batch.weight[row, place + head])
                sums[0] += share * divergence(heads[head - 1][row, place], own.states[place + head].astype(np.float64))
                sums[1] += share
        assert parts[f"kl_{head}"] == pytest.approx(sums[0] / sums[1], rel=1e-3)
    assert float(loss.detach()) == pytest.approx(parts["kl_1"] + 0.5 * parts["kl_2"] + 0.25 * parts["kl_3"], rel=1e-5)


@pytest.mark.parametrize("module", [eagle, medusa])
def test_padding_changes_nothing(module) -> None:  # type: ignore[no-untyped-def]
    made = module(noise=0.0, share=1.0)
    alone = collate(DIALOGUES[1:2])
    padded = collate(DIALOGUES[:2])
    padded = Batch(padded.tokens[1:], padded.states[1:], padded.weight[1:])
    assert padded.tokens.shape != alone.tokens.shape
    first, second = (made.loss(batch, torch.Generator(), 0.99)[0].detach() for batch in (alone, padded))
    assert float(first) == pytest.approx(float(second), rel=1e-5)


def test_the_template_is_not_learned() -> None:
    weight = collate([dialogue(0, template=4)]).weight[0].tolist()
    assert weight == [0.0] * 3 + [1.0] * 9, "the last token of the template is followed by an answer"


def test_eagle_takes_its_further_steps_later() -> None:
    module, batch = eagle(steps=4), collate(DIALOGUES)
    taken = [len(module.loss(batch, torch.Generator(), done)[1]) for done in (0.0, 0.5, 0.6, 0.8, 0.9, 1.0)]
    assert taken == [1, 1, 2, 3, 4, 4]


@pytest.mark.parametrize("module", [eagle, medusa, eagle3])
def test_everything_is_computed_where_the_head_is(module) -> None:  # type: ignore[no-untyped-def]
    """PyTorch's default device is another one here: a tensor that is made on it cannot be computed with the others."""
    made, batch, generator = module(), collate(DIALOGUES), torch.Generator("cpu")
    with torch.device("meta"):
        loss, _ = made.loss(batch, generator, 0.99)
        loss.backward()
        guesses = made.guesses(batch, 3)
    assert (loss.device.type, guesses.device.type) == ("cpu", "cpu")
    assert all(weight.grad is not None and weight.grad.device.type == "cpu" for weight in made.weights.values())
