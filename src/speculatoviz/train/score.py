"""The held-out score: how long the chains are that a head gets right on dialogues it was not trained on.

The text is the target's own. An answer that the target wrote greedily can be decoded round by round at T=0 without the
target: a drafted token is accepted if it is the text's next token.
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

_GREEDY = 0.9  # the least share of an answer's tokens that are the target's most probable ones
_SHORTEST = 8  # tokens of an answer
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

    def score(self, head: ChainPredictor, depth: int, batch: int = 8) -> Score:
        """Decode every answer with chains of `depth` tokens. batch: dialogues that are drafted for at once."""
        reached, passed, rounds = np.zeros(depth, np.int64), np.zeros(depth, np.int64), 0
        for start in range(0, len(self.dialogues), batch):
            indices = range(start, min(start + batch, len(self.dialogues)))
            guesses = head.guesses(collate([self.dialogues[index] for index in indices]), depth).numpy()
            for index, first, end in self.answers:
                if index in indices:
                    for right, most in _rounds(guesses[index - start], self.texts[index], first, end):
                        rounds += 1
                        passed[:right] += 1
                        reached[: min(right + 1, most)] += 1
        share = tuple((passed / np.maximum(reached, 1)).tolist())
        return Score(1 + int(passed.sum()) / max(1, rounds), share, len(self.answers))


def _text(dialogue: Dialogue, target: TargetMatrices) -> _Ids:
    """int64[n + 1]: the dialogue's tokens, and the one that the target predicts after the last."""
    last = target.best(torch.from_numpy(dialogue.states[-1:].astype(np.float32))).cpu().numpy()
    return np.append(dialogue.tokens.astype(np.int64), last)


def _greedy(dialogue: Dialogue, text: _Ids, target: TargetMatrices) -> Iterator[tuple[int, int]]:
    """(first, end) of the dialogue's greedy answers."""
    own = dialogue.authors == AUTHORS.index("answer")
    edges = np.flatnonzero(np.diff(own.astype(np.int8), prepend=0, append=0))
    for first, end in edges.reshape(-1, 2).tolist():
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
