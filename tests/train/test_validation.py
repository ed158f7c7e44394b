"""Prompts that the user names: answered once and greedily, scored by category, and never trained on or chosen by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speculatoviz.errors import TrainError  # noqa: E402
from speculatoviz.models.base import Message  # noqa: E402
from speculatoviz.train import validation as validating  # noqa: E402
from speculatoviz.train.data import Batch, TrainingData  # noqa: E402
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape  # noqa: E402
from speculatoviz.train.fit import Schedule, StepReport, TrainingResult, fit  # noqa: E402
from speculatoviz.train.job import Question, Questions, TrainJob  # noqa: E402
from speculatoviz.train.score import HeldOutAnswers  # noqa: E402
from speculatoviz.train.store import AUTHORS, Corpus, CorpusOrigin, Counts, Dialogue  # noqa: E402
from speculatoviz.train.target import TargetMatrices  # noqa: E402
from speculatoviz.train.validation import Answered, Validation, answered, write_answers  # noqa: E402
from support.letters import letters  # noqa: E402
from support.stated_toy import StatedToy  # noqa: E402
from support.tiny_heads import HIDDEN, TinyRows, state  # noqa: E402
from support.tiny_training import dialogue  # noqa: E402

TOKENS = 12
ASKED = Questions(
    "asked.jsonl",
    tuple(Question(f"kind {place % 3}", (("user", letters(place, 5 + place)),)) for place in range(9)),
    TOKENS,
)


def greedy(model: StatedToy, prompt: list[int], most: int) -> list[int]:
    written: list[int] = []
    while len(written) < most:
        token = int(model.logits([*prompt, *written]).argmax())
        if token in model.tokenizer.eos_ids:
            break
        written.append(token)
    return written


@pytest.mark.parametrize(("slots", "pass_tokens"), [(1, 3), (4, 8), (4, 99), (20, 1)])
def test_the_answers_are_what_the_target_writes(slots: int, pass_tokens: int) -> None:
    model = StatedToy()
    prompts = [model.tokenizer.encode(letters(seed, 4 + 3 * seed), special=False) for seed in range(30)]
    found = write_answers(model, prompts, TOKENS, (), slots=slots, pass_tokens=pass_tokens)
    ended = 0
    for prompt, own in zip(prompts, found, strict=True):
        tokens, answer = own.tokens.tolist(), greedy(model, prompt, TOKENS)
        assert tokens == [*prompt, *answer]
        assert [AUTHORS[author] for author in own.authors] == ["question"] * len(prompt) + ["answer"] * len(answer)
        states = np.array([state(tokens[: end + 1]) for end in range(len(tokens))])
        np.testing.assert_array_equal(own.states, states.astype(np.float16))
        ended += len(answer) < TOKENS
    assert 0 < ended < len(prompts), "some end before the limit"
    assert max(map(len, model.passes)) == min(slots, 30)
    assert max(map(sum, model.passes)) <= max(slots, pass_tokens)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> StatedToy:
    model = StatedToy()
    monkeypatch.setattr(validating, "writing_model", lambda *_: model)
    return model


def corpus(folder: Path, model: StatedToy) -> Corpus:
    return Corpus(folder / "data", CorpusOrigin("toy", model.tokenizer.fingerprint, HIDDEN))


def answers(folder: Path, model: StatedToy, asked: Questions = ASKED, context: int = 999) -> Answered:
    job = TrainJob("eagle", "toy", folder / "toy.gguf", 9000, folder / "h", folder / "data", 4, validate=asked)
    found = answered(job, corpus(folder, model), model.tokenizer, context, lambda *_: None)
    assert found is not None
    return found


def test_prompts_are_answered_once_in_the_chat_template(toy: StatedToy, tmp_path: Path) -> None:
    first = answers(tmp_path, toy)
    passes = len(toy.passes)
    again = answers(tmp_path, toy)
    assert len(toy.passes) == passes
    assert again.categories == [question.category for question in ASKED.questions]
    for own, before, question in zip(again.dialogues, first.dialogues, ASKED.questions, strict=True):
        turn = Message(role="user", content=question.messages[0][1])
        prompt = toy.tokenizer.encode_chat([turn])
        assert own.tokens.tolist() == before.tokens.tolist() == [*prompt, *greedy(toy, prompt, TOKENS)]
    assert len(list(tmp_path.glob("data/validation-*.safetensors"))) == 1


@pytest.mark.parametrize(
    "other",
    [replace(ASKED, tokens=TOKENS + 1), replace(ASKED, questions=ASKED.questions[1:])],
    ids=["tokens", "prompts"],
)
def test_other_prompts_have_answers_of_their_own(other: Questions, toy: StatedToy, tmp_path: Path) -> None:
    first, second = answers(tmp_path, toy), answers(tmp_path, toy, other)
    assert first.digest != second.digest
    assert len(list(tmp_path.glob("data/validation-*.safetensors"))) == 2
    assert answers(tmp_path, toy).digest == first.digest


def test_they_are_no_dialogues_of_the_corpus(toy: StatedToy, tmp_path: Path) -> None:
    answers(tmp_path, toy)
    assert corpus(tmp_path, toy).counts() == Counts()
    assert list(corpus(tmp_path, toy).dialogues()) == []


def test_prompts_that_are_too_long_are_left_out_and_counted(toy: StatedToy, tmp_path: Path) -> None:
    sizes = [len(toy.tokenizer.encode_chat([Message(role="user", content=q.messages[0][1])])) for q in ASKED.questions]
    found = answers(tmp_path, toy, context=sorted(sizes)[3] + TOKENS)
    assert len(found.dialogues) == len(found.categories) == 4
    assert found.left_out == len(sizes) - 4
    with pytest.raises(TrainError, match=r"No prompt of asked\.jsonl") as refusal:
        answers(tmp_path, toy, context=TOKENS)
    assert "--validate" in refusal.value.hint


class Wrong:
    """Right about each text, except at every third place of those whose first token is even."""

    def __init__(self, texts: dict[bytes, list[int]]) -> None:
        self._texts = texts

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        result = torch.full((*batch.tokens.shape, depth), -1, dtype=torch.long)
        for row, tokens in enumerate(batch.tokens.numpy()):
            text = next(own for own in self._texts.values() if tokens[: len(own) - 1].tolist() == own[:-1])
            for last in range(len(text) - 1):
                for step in range(min(depth, len(text) - last - 1)):
                    place = last + 1 + step
                    result[row, last, step] = -2 if place % 3 == 0 and text[0] % 2 == 0 else text[place]
        return result


def validation(dialogues: list[Dialogue], categories: list[str], digest: str = "d") -> Validation:
    target = TargetMatrices(TinyRows(), np.arange(5, dtype=np.int32), dialogues)
    return Validation.of(Answered(ASKED, dialogues, categories, 0, digest), target)


def test_each_category_has_the_score_of_its_answers_alone() -> None:
    dialogues = [dialogue(seed, 14 + seed) for seed in range(8)]
    categories = [("odd", "even")[int(own.tokens[0]) % 2 == 0] for own in dialogues]
    made = validation(dialogues, categories)
    head = Wrong({own.tobytes(): own.tolist() for own in made.answers.texts})
    scores = made.score(head, 3)

    assert list(scores.by_category) == ["even", "odd"]
    assert scores.by_category["odd"].mean_acceptance_length > scores.by_category["even"].mean_acceptance_length
    for category, found in scores.by_category.items():
        alone = [own for own, of in zip(dialogues, categories, strict=True) if of == category]
        assert found == validation(alone, [category] * len(alone)).answers.score(head, 3)
    assert scores.overall == made.answers.score(head, 3)


DATA = TrainingData([dialogue(seed, 30) for seed in range(40)], [dialogue(seed, 30) for seed in range(40, 46)])
TARGET = TargetMatrices(TinyRows(), np.arange(5, dtype=np.int32), [*DATA.train, *DATA.held_out])
EXAM = HeldOutAnswers.of(DATA.held_out, TARGET)
HOW = Schedule(steps=8, batch_tokens=240, rate=0.1, warmup=5, every=2, depth=3)


@pytest.fixture
def one_thread() -> None:
    torch.set_num_threads(1)


def fitted(
    path: Path, scored: Validation | None, stop: int = 99, module: EagleModule | None = None
) -> tuple[TrainingResult | None, list[StepReport]]:
    told: list[StepReport] = []

    def report(step: StepReport) -> None:
        told.append(step)
        if step.step >= stop and step.score is None:
            raise KeyboardInterrupt

    head = module or EagleModule(TARGET, EagleShape(2, 4, 16), EagleLoss(steps=2), 0)
    try:
        return fit(head, DATA, EXAM, HOW, path, report, scored), told
    except KeyboardInterrupt:
        return None, told


OTHERS = [dialogue(seed, 20) for seed in range(60, 64)]


@pytest.mark.usefixtures("one_thread")
def test_every_score_is_also_of_the_prompts_and_chooses_nothing(tmp_path: Path) -> None:
    plain, _ = fitted(tmp_path / "a", None)
    result, told = fitted(tmp_path / "b", validation(OTHERS, ["x", "x", "y", "z"]))

    assert result is not None
    assert plain is not None
    assert [step for step, _ in result.validation] == [step for step, _ in result.history] == [0, 2, 4, 6, 8]
    for step in told:
        assert (step.validation is None) == (step.score is None)
        assert step.validation is None or set(step.validation.by_category) == {"x", "y", "z"}
    assert (result.step, result.score) == (plain.step, plain.score)
    for name, weight in plain.weights.items():
        torch.testing.assert_close(result.weights[name], weight)
    assert plain.validation == ()


@pytest.mark.usefixtures("one_thread")
def test_scores_on_the_prompts_survive_an_interruption_and_others_do_not(tmp_path: Path) -> None:
    scored = validation(OTHERS, ["x", "x", "y", "z"])
    whole, _ = fitted(tmp_path / "a", scored)
    fitted(tmp_path / "b", scored, stop=5)
    resumed, _ = fitted(tmp_path / "b", scored)
    assert whole is not None
    assert resumed is not None
    assert [step for step, _ in resumed.validation] == [0, 2, 4, 6, 8]
    for (_, one), (_, two) in zip(whole.validation, resumed.validation, strict=True):
        assert one.overall.mean_acceptance_length == pytest.approx(two.overall.mean_acceptance_length)

    fitted(tmp_path / "c", scored, stop=5)
    other, _ = fitted(tmp_path / "c", validation(OTHERS, ["v"] * 4, "other"))
    assert other is not None
    assert [(step, list(own.by_category)) for step, own in other.validation] == [(6, ["v"]), (8, ["v"])]
