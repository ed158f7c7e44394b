"""The held-out score: how long the chains are that a head gets right on dialogues it was not trained on.

The text is the target's own. An answer that the target wrote greedily can be decoded round by round at T=0 without the
target: a drafted token is accepted if it is the text's next token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from speculatoviz.train.data import Batch, collate
from speculatoviz.train.store import AUTHORS, Dialogue
from speculatoviz.train.target import TargetMatrices

_GREEDY = 0.9  # the least share of an answer's tokens that are the target's most probable ones
_SHORTEST = 8  # tokens of an answer
_DIALOGUES, _TOKENS = 8, 6144  # that are drafted for at once, padding included
Rounds = list[tuple[int, int]]  # of decoding an answer: (tokens accepted, tokens that could be)
_Ids = npt.NDArray[np.int64]


class ChainPredictor(Protocol):
    """A head that drafts chains for whole dialogues at once."""

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """long[B, T, depth]: entry [b, i, k] is the token drafted for place i + 1 + k of dialogue b by a draft that
        begins after token i; -1 where there is no state to draft from."""


@dataclass(frozen=True, slots=True)
class Score:
    """mean_acceptance_length: 1 + accepted / rounds, over all answers. conditional: by position, accepted tokens of
    those whose predecessors in the draft were accepted. answers: how many were decoded."""

    mean_acceptance_length: float
    conditional: tuple[float, ...]
    answers: int

    @classmethod
    def of(cls, answers: Sequence[Rounds], depth: int) -> Score:
        """Of the rounds of each answer."""
        reached, passed, rounds = np.zeros(depth, np.int64), np.zeros(depth, np.int64), 0
        for right, most in chain.from_iterable(answers):
            rounds += 1
            passed[:right] += 1
            reached[: min(right + 1, most)] += 1
        share = tuple((passed / np.maximum(reached, 1)).tolist())
        return cls(1 + int(passed.sum()) / max(1, rounds), share, len(answers))


@dataclass(frozen=True, slots=True)
class CategoryScores:
    """The score over all answers, and by category in the order of their names."""

    overall: Score
    by_category: Mapping[str, Score]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutAnswers:
    """Greedy answers of held-out dialogues.

    texts: of each dialogue its tokens and the one the target predicts next, int64[n + 1]. answers: (index of the
    dialogue, first token, end) of each.
    """

    dialogues: Sequence[Dialogue]
    texts: Sequence[_Ids]
    answers: Sequence[tuple[int, int, int]]

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue], target: TargetMatrices) -> HeldOutAnswers:
        """The answers that are long enough and nearly all the target's most probable tokens."""
        texts = [_text(dialogue, target) for dialogue in dialogues]
        answers = [
            (index, first, end)
            for index, (dialogue, text) in enumerate(zip(dialogues, texts, strict=True))
            for first, end in _greedy(dialogue, text, target)
        ]
        return cls(dialogues, texts, answers)

    @classmethod
    def every(cls, dialogues: Sequence[Dialogue], target: TargetMatrices) -> HeldOutAnswers:
        """All answers of dialogues whose answers are known to be greedy."""
        texts = [_text(dialogue, target) for dialogue in dialogues]
        answers = [(index, first, end) for index, own in enumerate(dialogues) for first, end in _answers(own)]
        return cls(dialogues, texts, answers)

    def score(self, head: ChainPredictor, depth: int, batch: int = _DIALOGUES) -> Score:
        """Decode every answer with chains of `depth` tokens. batch: the most dialogues that are drafted for at once."""
        return Score.of(self.rounds(head, depth, batch), depth)

    def rounds(self, head: ChainPredictor, depth: int, batch: int = _DIALOGUES) -> list[Rounds]:
        """Of each answer the rounds of decoding it; arguments as of `score`."""
        found: list[Rounds] = []
        for indices in self._batches(batch):
            guesses = head.guesses(collate([self.dialogues[index] for index in indices]), depth).numpy()
            found += [
                list(_rounds(guesses[index - indices[0]], self.texts[index], first, end))
                for index, first, end in self.answers
                if index in indices
            ]
        return found

    def _batches(self, most: int) -> Iterator[range]:
        start, longest = 0, 0
        for index, dialogue in enumerate(self.dialogues):
            longest = max(longest, len(dialogue))
            if index > start and (index - start == most or (index + 1 - start) * longest > _TOKENS):
                yield range(start, index)
                start, longest = index, len(dialogue)
        if self.dialogues:
            yield range(start, len(self.dialogues))


def _text(dialogue: Dialogue, target: TargetMatrices) -> _Ids:
    """int64[n + 1]: the dialogue's tokens, and the one that the target predicts after the last."""
    last = target.best(torch.from_numpy(dialogue.states[-1:].astype(np.float32))).cpu().numpy()
    return np.append(dialogue.tokens.astype(np.int64), last)


def _answers(dialogue: Dialogue) -> list[tuple[int, int]]:
    """(first, end) of the dialogue's answers."""
    own = dialogue.authors == AUTHORS.index("answer")
    edges = np.flatnonzero(np.diff(own.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _greedy(dialogue: Dialogue, text: _Ids, target: TargetMatrices) -> Iterator[tuple[int, int]]:
    """(first, end) of the dialogue's greedy answers."""
    for first, end in _answers(dialogue):
        states = torch.from_numpy(dialogue.states[first - 1 : end - 1].astype(np.float32))
        written = text[first:end]
        known = np.isin(written, target.vocabulary)  # other tokens cannot be the best of the head's vocabulary
        if known.sum() >= _SHORTEST and (target.best(states).cpu().numpy() == written)[known].mean() >= _GREEDY:
            yield first, end


def _rounds(guesses: _Ids, text: _Ids, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Of each round of decoding text[first:end]: (tokens accepted, tokens that could be)."""
    last = first - 1  # the last committed token
    while last + 1 < end:
        most = min(guesses.shape[1], end - 1 - last)
        right = 0
        while right < most and guesses[last, right] == text[last + 1 + right]:
            right += 1
        yield right, most
        last += right + 1
