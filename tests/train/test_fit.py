"""Training learns, resumes and keeps the best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speculatoviz.errors import TrainError  # noqa: E402
from speculatoviz.heads.eagle3_folder import Eagle3Shape  # noqa: E402
from speculatoviz.train.data import TrainingData  # noqa: E402
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape  # noqa: E402
from speculatoviz.train.eagle3 import Eagle3Loss, Eagle3Module  # noqa: E402
from speculatoviz.train.fit import Schedule, StepReport, TrainingResult, fit  # noqa: E402
from speculatoviz.train.medusa import MedusaLoss, MedusaModule, MedusaShape  # noqa: E402
from speculatoviz.train.score import HeldOutAnswers  # noqa: E402
from speculatoviz.train.target import TargetMatrices  # noqa: E402
from support.tiny_heads import HIDDEN, TinyRows  # noqa: E402
from support.tiny_training import dialogue  # noqa: E402

DATA = TrainingData([dialogue(seed, 30) for seed in range(40)], [dialogue(seed, 30) for seed in range(40, 46)])
TARGET = TargetMatrices(TinyRows(), np.arange(5, dtype=np.int32), [*DATA.train, *DATA.held_out])
EXAM = HeldOutAnswers.of(DATA.held_out, TARGET)
HOW = Schedule(steps=60, batch_tokens=240, rate=0.1, warmup=5, every=20, depth=3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def eagle() -> EagleModule:
    return EagleModule(TARGET, EagleShape(2, 4, 16), EagleLoss(steps=3), 0)


def medusa() -> MedusaModule:
    return MedusaModule(TARGET, MedusaShape(3, 1), MedusaLoss(), 0)


def eagle3() -> Eagle3Module:
    return Eagle3Module(TARGET, Eagle3Shape(HIDDEN, 2, 1, 4, 16), Eagle3Loss(steps=3), 0)


def trained(
    module, path: Path, how: Schedule = HOW, stop: int = 10**9
) -> tuple[TrainingResult | None, list[StepReport]]:  # type: ignore[no-untyped-def]
    told: list[StepReport] = []

    def report(step: StepReport) -> None:
        told.append(step)
        if step.step >= stop and step.score is None:
            raise KeyboardInterrupt

    try:
        return fit(module, DATA, EXAM, how, path, report), told
    except KeyboardInterrupt:
        return None, told


@pytest.mark.parametrize("module", [eagle, medusa, eagle3])
def test_a_head_learns(module, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    fitted, told = trained(module(), tmp_path / "c")
    scores = [step.score.mean_acceptance_length for step in told if step.score]

    assert fitted is not None
    assert fitted.score.mean_acceptance_length == max(scores) > scores[0] + 0.3
    assert len(scores) == 4, "before the first step, and every twenty"
    assert told[-1].loss < 0.8 * next(step.loss for step in told if step.step == 1)


@pytest.mark.parametrize("module", [eagle, eagle3])
def test_an_interrupted_training_ends_as_one_that_was_not(module, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    whole, told = trained(module(), tmp_path / "a")
    broken, _ = trained(module(), tmp_path / "b", stop=33)
    resumed, rest = trained(module(), tmp_path / "b")

    assert broken is None
    assert whole is not None
    assert resumed is not None
    assert rest[0].step == 21, "from the checkpoint on"
    assert rest[0].best == next(step.best for step in told if step.step == 21) > 1
    assert rest[-1].loss == pytest.approx(told[-1].loss, rel=1e-4)
    assert dict(resumed.history) == pytest.approx(dict(whole.history))
    for name, weight in whole.weights.items():
        torch.testing.assert_close(resumed.weights[name], weight)


def test_the_best_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    """A rate that ruins what was learned once the first checkpoint is there."""
    fitted, told = trained(eagle(), tmp_path / "c", Schedule(20, 240, 0.1, 5, every=20, depth=3))
    module = eagle()
    again, _ = trained(module, tmp_path / "c", Schedule(40, 240, 1e4, 5, every=20, depth=3))

    assert fitted is not None
    assert again is not None
    assert again.step == fitted.step == 20
    for name, weight in fitted.weights.items():
        torch.testing.assert_close(again.weights[name], weight)
    assert told[-1].score == again.score


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    trained(medusa(), tmp_path / "c", Schedule(5, 240, every=5))
    with pytest.raises(TrainError, match="not a checkpoint of this training"):
        trained(eagle(), tmp_path / "c")
    (tmp_path / "d").write_bytes(b"no checkpoint")
    with pytest.raises(TrainError, match="not a checkpoint of this training"):
        trained(eagle(), tmp_path / "d")


def test_a_checkpoint_of_other_data_vocabulary_or_seed_is_refused(tmp_path: Path) -> None:
    """Weights of one vocabulary would be taken for those of another, and scores on other answers compared."""
    how = Schedule(5, 240, every=5)
    trained(eagle(), tmp_path / "c", how)
    grown = TrainingData([*DATA.train, DATA.train[0]], DATA.held_out)
    other = TargetMatrices(TinyRows(), np.array([0, 1, 2, 3], np.int32), [*DATA.train, *DATA.held_out])
    for module, data, schedule in (
        (eagle(), grown, how),
        (EagleModule(other, EagleShape(2, 4, 16), EagleLoss(steps=3), 0), DATA, how),
        (EagleModule(TARGET, EagleShape(2, 4, 24), EagleLoss(steps=3), 0), DATA, how),
        (eagle(), DATA, replace(how, seed=7)),
    ):
        with pytest.raises(TrainError, match="its data, vocabulary, shape or seed are others") as refusal:
            fit(module, data, EXAM, schedule, tmp_path / "c", lambda _: None)
        assert "Remove it to begin anew" in refusal.value.hint
    assert fit(eagle(), DATA, EXAM, replace(how, steps=6), tmp_path / "c", lambda _: None).history[-1][0] == 6


def test_without_greedy_answers_there_is_nothing_to_choose_by(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="No greedy answer"):
        fit(eagle(), DATA, HeldOutAnswers([], [], []), HOW, tmp_path / "c", lambda _: None)


def test_output_rows_change_at_a_tenth_of_the_rate(tmp_path: Path) -> None:
    """AdamW's first step moves every number with a gradient by the rate."""
    module = eagle3()
    before = {name: weight.detach().clone() for name, weight in module.weights.items()}
    trained(module, tmp_path / "c", Schedule(1, 240, 0.1, 0, every=1, depth=3))
    moved = {name: (weight.detach() - before[name]).abs().max() for name, weight in module.weights.items()}
    assert float(moved["output"]) == pytest.approx(0.01, rel=0.02)
    assert float(moved["output_norm"]) == pytest.approx(0.1, rel=0.02)


def test_a_short_training_reaches_its_rate(tmp_path: Path) -> None:
    """The rate rises over a tenth of the steps at most: here over two of twenty, not over a hundred."""
    module, rates = eagle3(), list[float]()

    def note(step: StepReport) -> None:
        if step.score is None:
            moved = module.weights["output_norm"].detach()
            rates.append(float((moved - before[-1]).abs().max()))
            before.append(moved.clone())

    before = [module.weights["output_norm"].detach().clone()]
    fit(module, DATA, EXAM, Schedule(20, 240, 0.1, 100, every=20, depth=3), tmp_path / "c", note)
    assert rates[0] == pytest.approx(0.05, rel=0.02), "AdamW's first step moves by the rate"
    assert max(rates[1:4]) > 0.05


def test_the_optimisers_are_named(tmp_path: Path) -> None:
    words = {}
    for module in (eagle, eagle3):
        fitted, _ = trained(module(), tmp_path / module.__name__, Schedule(1, 240, every=1, depth=3))
        assert fitted is not None
        words[module.__name__] = fitted.optimisers
    assert words["eagle"] == "AdamW for vectors and Muon for matrices"
    assert words["eagle3"] == "AdamW for vectors, AdamW at 0.1 of the rate for output rows and Muon for matrices"
