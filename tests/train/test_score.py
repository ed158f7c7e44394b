"""The held-out score is decoding, round by round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speculatoviz.train.data import Batch  # noqa: E402
from speculatoviz.train.score import HeldOutAnswers, Score  # noqa: E402
from speculatoviz.train.store import AUTHORS, Dialogue  # noqa: E402
from speculatoviz.train.target import TargetMatrices  # noqa: E402
from support.tiny_heads import HIDDEN, TinyRows  # noqa: E402
from support.tiny_training import dialogue  # noqa: E402

EVERY = np.arange(5, dtype=np.int32)
FIRST, LENGTH = 2, 14


class Scripted:
    """Right about the text except at these places."""

    def __init__(self, text: list[int], wrong: set[int]) -> None:
        self._text, self._wrong = text, wrong

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        result = torch.full((*batch.tokens.shape, depth), -1, dtype=torch.long)
        for last in range(batch.tokens.shape[1]):
            for step in range(depth):
                place = last + 1 + step
                if place < len(self._text):
                    result[:, last, step] = -2 if place in self._wrong else self._text[place]
        return result


def exam(dialogues: list[Dialogue]) -> HeldOutAnswers:
    return HeldOutAnswers.of(dialogues, TargetMatrices(TinyRows(), EVERY, dialogues))


def text(own: Dialogue) -> list[int]:
    last = int((TinyRows().output(EVERY) @ own.states[-1].astype(np.float32)).argmax())
    return [*own.tokens.tolist(), last]


def decoded(length: int, wrong: set[int], depth: int) -> tuple[int, int]:
    """Rounds and accepted tokens of an answer that ends at `length`, decoded one token at a time."""
    place, rounds, accepted = FIRST, 0, 0
    while place < length:
        run = 0
        while run < depth and place + run < length and place + run not in wrong:
            run += 1
        rounds, accepted, place = rounds + 1, accepted + run, place + run + 1
    return rounds, accepted


@pytest.mark.parametrize("wrong", [set(), {2}, {5, 6}, {3, 8, 13}, set(range(LENGTH))])
@pytest.mark.parametrize("depth", [1, 4])
def test_the_acceptance_length_is_that_of_decoding(wrong: set[int], depth: int) -> None:
    own = dialogue(0, LENGTH, FIRST)
    score = exam([own]).score(Scripted(text(own), wrong), depth)
    rounds, accepted = decoded(LENGTH, wrong, depth)

    assert score.answers == 1
    assert score.mean_acceptance_length == pytest.approx(1 + accepted / rounds)


def test_shares_are_of_what_could_still_be_accepted() -> None:
    own = dialogue(0, LENGTH, FIRST)
    score = exam([own]).score(Scripted(text(own), {4, 9}), 4)
    # Three rounds: 2 3 4x, 5 6 7 8 and then 9 by the target, 10 11 12 13.
    tried = {0: [2, 5, 10], 1: [3, 6, 11], 2: [4, 7, 12], 3: [8, 13]}
    for position, places in tried.items():
        right = sum(place not in {4, 9} for place in places)
        assert score.conditional[position] == pytest.approx(right / len(places))


def test_answers_that_are_not_greedy_are_not_scored() -> None:
    own = dialogue(0, LENGTH, FIRST)
    mixed = own.tokens.copy()
    mixed[4:12] = (mixed[4:12] + 1) % 5
    sampled = Dialogue(mixed, own.authors, own.states)
    assert [place for place, _, _ in exam([sampled, own, dialogue(1, 6, FIRST)]).answers] == [1], "too short a one too"


def test_a_text_that_was_read_is_no_answer() -> None:
    own = dialogue(0, LENGTH, FIRST)
    read = replace(own, authors=np.where(own.authors == AUTHORS.index("answer"), AUTHORS.index("text"), 0).astype("u1"))
    assert [place for place, _, _ in exam([read, own]).answers] == [1]


def test_answers_that_are_known_to_be_greedy_all_count() -> None:
    """Also those that are short, or partly outside of the head's vocabulary."""
    dialogues = [dialogue(1, 6, FIRST), dialogue(0, LENGTH, FIRST)]
    every = HeldOutAnswers.every(dialogues, TargetMatrices(TinyRows(), EVERY[:3], dialogues))
    assert every.answers == [(0, FIRST, 6), (1, FIRST, LENGTH)]


def test_rounds_are_of_each_answer_and_sum_to_the_score() -> None:
    dialogues = [dialogue(seed, 10 + seed, FIRST) for seed in range(5)]
    made, scripted = exam(dialogues), Scripted(text(dialogues[0]), {5})
    rounds = made.rounds(scripted, 3)
    assert len(rounds) == len(made.answers)
    for own, (index, first, end) in zip(rounds, made.answers, strict=True):
        assert sum(right for right, _ in own) + len(own) in {end - first, end - first + 1}, index
    assert Score.of(rounds, 3) == made.score(scripted, 3)


def test_long_dialogues_are_drafted_for_in_smaller_batches() -> None:
    sizes: list[int] = []

    class Watched(Scripted):
        def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
            sizes.append(batch.tokens.numel())
            return super().guesses(batch, depth)

    dialogues = [dialogue(seed, length, FIRST) for seed, length in enumerate((20, 7000, 20, 30, 2500, 2500, 2500, 40))]
    exam(dialogues).rounds(Watched(text(dialogues[0]), set()), 1)
    assert sizes == [20, 7000, 60, 5000, 5000], "a dialogue alone may be longer"


def test_batches_of_dialogues_give_the_same_score() -> None:
    dialogues = [dialogue(seed, 10 + seed, FIRST) for seed in range(5)]
    scripted = Scripted(text(dialogues[0]), {5})
    made = exam(dialogues)
    assert made.score(scripted, 3, batch=2) == made.score(scripted, 3, batch=8)
    assert dialogues[0].states.shape[1] == HIDDEN
