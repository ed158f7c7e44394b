"""How long the chains are that a head gets right, on dialogues it was not trained on.

The text is the target's own, so where it is greedy this is decoding at T=0, round by round, without the target: a
token is accepted where it is the text's, and behind an accepted token the head stands where the text does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from speculatoviz.train.data import Batch, collate
from speculatoviz.train.store import AUTHORS, Dialogue
from speculatoviz.train.target import TargetMatrices

_GREEDY = 0.9  # the share of an answer that has to be the target's most probable tokens
_SHORTEST = 8
_Places = npt.NDArray[np.int64]


class Guessing(Protocol):
    def guesses(self, batch: Batch, depth: int) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Score:
    """mean_acceptance_length: 1 + accepted / rounds, over greedy answers. conditional: of position k among those
    where all before it was accepted. answers: how many there were."""

    mean_acceptance_length: float
    conditional: tuple[float, ...]
    answers: int


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Greedy answers of held-out dialogues: each a dialogue, with the places from its first token to its end."""

    dialogues: Sequence[Dialogue]
    texts: Sequence[_Places]
    answers: Sequence[tuple[int, int, int]]  # dialogue, first, end

    @classmethod
    def of(cls, dialogues: Sequence[Dialogue], target: TargetMatrices) -> Exam:
        texts = [_text(dialogue, target) for dialogue in dialogues]
        answers = [
            (place, first, end)
            for place, (dialogue, text) in enumerate(zip(dialogues, texts, strict=True))
            for first, end in _greedy(dialogue, text, target)
        ]
        return cls(dialogues, texts, answers)

    def score(self, head: Guessing, depth: int, batch: int = 8) -> Score:
        """Decodes every answer with chains of `depth`."""
        reached, passed, rounds = np.zeros(depth, np.int64), np.zeros(depth, np.int64), 0
        for start in range(0, len(self.dialogues), batch):
            places = range(start, min(start + batch, len(self.dialogues)))
            guesses = head.guesses(collate([self.dialogues[place] for place in places]), depth).numpy()
            for place, first, end in self.answers:
                if place in places:
                    for right, most in _rounds(guesses[place - start], self.texts[place], first, end):
                        rounds += 1
                        passed[:right] += 1
                        reached[: min(right + 1, most)] += 1
        share = tuple((passed / np.maximum(reached, 1)).tolist())
        return Score(1 + int(passed.sum()) / max(1, rounds), share, len(self.answers))


def _text(dialogue: Dialogue, target: TargetMatrices) -> _Places:
    """int64[n + 1]: its tokens, and the one that the target says behind the last."""
    last = target.best(torch.from_numpy(dialogue.states[-1:].astype(np.float32))).numpy()
    return np.append(dialogue.tokens.astype(np.int64), last)


def _greedy(dialogue: Dialogue, text: _Places, target: TargetMatrices) -> Iterator[tuple[int, int]]:
    own = dialogue.authors == AUTHORS.index("answer")
    edges = np.flatnonzero(np.diff(own.astype(np.int8), prepend=0, append=0))
    for first, end in edges.reshape(-1, 2).tolist():
        states = torch.from_numpy(dialogue.states[first - 1 : end - 1].astype(np.float32))
        said = text[first:end]
        known = np.isin(said, target.vocabulary)  # the rest could not be the best of what the head can say
        if known.sum() >= _SHORTEST and (target.best(states).numpy() == said)[known].mean() >= _GREEDY:
            yield first, end


def _rounds(guesses: _Places, text: _Places, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Of each round of decoding text[first:end]: how many tokens were right, and how many could be."""
    last = first - 1  # the last committed token
    while last + 1 < end:
        most = min(guesses.shape[1], end - 1 - last)
        right = 0
        while right < most and guesses[last, right] == text[last + 1 + right]:
            right += 1
        yield right, most
        last += right + 1
