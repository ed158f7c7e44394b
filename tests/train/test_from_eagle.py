"""An EAGLE-3 head that begins with an EAGLE head drafts nearly what that one drafts, before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cosine_similarity  # noqa: E402

from speculatoviz.core.types import Floats, Ints  # noqa: E402
from speculatoviz.errors import TrainError  # noqa: E402
from speculatoviz.heads.file import HeadFile  # noqa: E402
from speculatoviz.train import fill, from_eagle, run  # noqa: E402
from speculatoviz.train.data import collate  # noqa: E402
from speculatoviz.train.dialogue import Recipe  # noqa: E402
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape  # noqa: E402
from speculatoviz.train.eagle3 import Eagle3Loss, Eagle3Module  # noqa: E402
from speculatoviz.train.fit import Schedule, TrainingResult  # noqa: E402
from speculatoviz.train.job import TrainJob  # noqa: E402
from speculatoviz.train.store import Dialogue  # noqa: E402
from speculatoviz.train.target import TargetMatrices  # noqa: E402
from support import tiny_layered  # noqa: E402

LEAST = 0.97  # how alike the states of the first step are
D, IDS, HEADS, WIDTH, INNER, STEPS = 64, 96, 4, 16, 128, 3


class Rows:
    """Random embeddings and output rows."""

    hidden_size = D

    def __init__(self) -> None:
        self._rows = np.random.default_rng(5).standard_normal((2, IDS, D)).astype(np.float32)

    def embed(self, ids: Ints) -> Floats:
        return self._rows[0][ids]

    def output(self, ids: Ints) -> Floats:
        return self._rows[1][ids]


def texts(count: int, tokens: int = 40) -> list[Dialogue]:
    """Random states with a mean, as those of models have; the last of three layers holds what the state is made of."""
    chance = np.random.default_rng(7)
    mean, turn = chance.standard_normal(D), np.linalg.qr(chance.standard_normal((D, D)))[0]
    made = []
    for _ in range(count):
        states = chance.standard_normal((tokens, D)) + mean
        layers = np.concatenate([chance.standard_normal((tokens, 2 * D)), states @ turn * 3.0], 1)
        ids = chance.integers(0, IDS, tokens).astype(np.int32)
        made.append(Dialogue(ids, np.ones(tokens, np.uint8), states.astype(np.float16), layers.astype(np.float16)))
    return made


DIALOGUES = texts(100)


def eagle() -> EagleModule:
    target = TargetMatrices(Rows(), np.arange(IDS, dtype=np.int32), DIALOGUES)
    head = EagleModule(target, EagleShape(HEADS, WIDTH, INNER), EagleLoss(), 0)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in head.weights.values():
            weight.add_((0.2 if weight.ndim == 1 else 0.05) * torch.randn(weight.shape, generator=generator))
        head.weights["fc"][:, 2 * D :] = 0.0  # what reads the token before has no place in EAGLE-3
    return head


def begun(old: EagleModule) -> Eagle3Module:
    tensors = {name: weight.detach().numpy() for name, weight in old.weights.items()}
    file = HeadFile("eagle", "random", "0", D, np.arange(IDS, dtype=np.int32), tensors, old.numbers)
    head = Eagle3Module(old.target, from_eagle.shape(file), Eagle3Loss(STEPS), 0)
    with torch.no_grad():
        for name, weight in from_eagle.weights(old, old.target, DIALOGUES, 0).items():
            head.weights[name].copy_(weight)
    return head


def alike(old: EagleModule, new: Eagle3Module) -> list[float]:
    """Of each step how alike the states are that the output rows multiply: the mean cosine."""
    batch = collate(texts(8))
    with torch.no_grad():
        own, wanted = new.unrolled(batch, STEPS), old.unrolled(batch.tokens, batch.states, STEPS)
    places = slice(STEPS, None)  # a step has no states to begin with at the places before
    return [
        float(cosine_similarity(a[:, places], b[:, places], dim=-1).mean()) for a, b in zip(own, wanted, strict=True)
    ]


def test_it_has_the_states_of_the_head_it_begins_with() -> None:
    """The states of a random head are not like the target's, as those of a trained one are: later steps drift apart."""
    old = eagle()
    first, *later = alike(old, begun(old))
    assert first > LEAST
    assert min(later) > 0.7


@pytest.mark.parametrize("lost", ["q", "v", "o", "fc", "state_norm"])
def test_a_part_that_is_not_carried_over_is_noticed(lost: str) -> None:
    old = eagle()
    new = begun(old)
    with torch.no_grad():
        new.weights[lost].copy_(torch.flip(new.weights[lost], [0]))
    assert alike(old, new)[0] < LEAST


def test_the_further_heads_look_at_their_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what draws them to it they mix the states of all places."""
    old = eagle()
    monkeypatch.setattr(from_eagle, "_PULL", (0.0, 0.0))
    assert alike(old, begun(old))[0] < LEAST


def trained(job: TrainJob) -> TrainingResult:
    model = tiny_layered.opened(job.source)
    try:
        return run.train(job, model.tokenizer, lambda *_: None)
    finally:
        model.close()


def test_a_training_begins_with_an_eagle_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head of the first step is better than a new one, and its card says what it began with."""
    recipe = Recipe((4, 12), answer_tokens=40, greedy_share=0.9, dialogue_tokens=90, second_turn=0.0)
    monkeypatch.setattr(fill, "RECIPE", recipe)
    monkeypatch.setattr(
        run, "Schedule", lambda steps, rate, seed: Schedule(steps, 300, 3 * rate, 10, seed=seed, every=20)
    )
    target = tiny_layered.write_target(tmp_path / "tiny.gguf")
    job = TrainJob("eagle3", "tiny", target, 6000, tmp_path / "new", tmp_path / "data", steps=1, vocabulary=200)
    job = replace(job, threads=1, slots=8, write_with="llamacpp", device="cpu", unroll=2)
    first = trained(job).history[0][1]  # which writes the dialogues, with the layers
    eagle = tmp_path / "eagle.safetensors"
    trained(replace(job, kind="eagle", out=eagle, steps=40))
    begun = trained(replace(job, out=tmp_path / "begun", begin_with=eagle))

    assert begun.history[0][1] > first + 0.2
    card = (tmp_path / "begun" / "README.md").read_text()
    assert "--unroll 2 --layers 2,4,5 --begin-with eagle.safetensors" in card
    with pytest.raises(TrainError, match="reads the layers 2, 4, 5"):
        trained(replace(job, begin_with=tmp_path / "begun", layers=(1, 3, 6)))
    with pytest.raises(TrainError, match="this head reads the layers 1, 3, 6"):
        trained(replace(job, layers=(1, 3, 6)))
    for wrong in ((1, 3), (1, 3, 8), (0, 3, 5), (3, 3, 5), (5, 3, 1)):
        with pytest.raises(TrainError, match="does not name three inner layers"):
            trained(replace(job, layers=wrong))
