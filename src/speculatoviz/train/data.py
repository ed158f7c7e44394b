"""Dialogues as a head is trained on them: split, shuffled, padded.

B is the number of dialogues of a batch, T the tokens of its longest, D the length of hidden states.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from speculatoviz.core.types import Floats, Ints
from speculatoviz.errors import TrainError
from speculatoviz.train.reading import TextShards
from speculatoviz.train.store import AUTHORS, Author, Corpus, Dialogue
from speculatoviz.train.target import TargetMatrices

HELD_OUT_SHARE = 0.03
_BUCKET = 64  # batches among which dialogues are sorted by length
# Of the loss. Heads draft answers; questions and texts show the target's distributions in other contexts.
_WEIGHTS: Mapping[Author, float] = {"template": 0.0, "question": 0.5, "answer": 1.0, "text": 0.5}


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B dialogues padded to T tokens.

    tokens long[B, T]. states float[B, T, D]: the target's, after each token. weight float[B, T]: of the prediction
    after each token in the loss; 0 for padding and inside the template. layers float[B, T, L * D]: the inputs of the
    target's inner layers at each token, if they are recorded.
    """

    tokens: torch.Tensor
    states: torch.Tensor
    weight: torch.Tensor
    layers: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch in the memory of a device."""
        layers = None if self.layers is None else self.layers.to(device)
        return Batch(self.tokens.to(device), self.states.to(device), self.weight.to(device), layers)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The dialogues of a corpus: their tokens in memory, their states where the corpus has them."""

    train: Sequence[Dialogue]
    held_out: Sequence[Dialogue]

    @classmethod
    def of(cls, corpus: Corpus, texts: Collection[str] = (), *, held_out_share: float = HELD_OUT_SHARE) -> TrainingData:
        """Read a corpus. A hash of its tokens decides whether a dialogue is held out: a growing corpus keeps its split.

        texts: digests of the files whose texts are trained on, after the dialogues. None of them is held out: the score
        is of what the target writes. Raises TrainError if there are too few dialogues.
        """
        train: list[Dialogue] = []
        held_out: list[Dialogue] = []
        for dialogue in corpus.dialogues():
            chosen = zlib.crc32(dialogue.tokens.tobytes()) / 2**32 < held_out_share
            (held_out if chosen else train).append(dialogue)
        if not train or not held_out:
            raise TrainError(
                f"There are too few dialogues: {len(train)} to train on and {len(held_out)} held out.",
                "Have more tokens written with --tokens.",
            )
        if texts:
            train += TextShards(corpus).dialogues(texts)
        return cls(train, held_out)

    @property
    def tokens(self) -> int:
        """Of the dialogues to train on."""
        return sum(map(len, self.train))

    @property
    def digest(self) -> str:
        """Of the tokens of all dialogues, in their order."""
        found = hashlib.sha256()
        for dialogue in (*self.train, *self.held_out):
            found.update(hashlib.sha256(dialogue.tokens.tobytes()).digest())
        return found.hexdigest()

    def vocabulary(self, size: int, always: Iterator[int] | Sequence[int] = ()) -> Ints:
        """int32[K], ascending, K at most `size`: the ids in `always`, then those that the target wrote most."""
        written = np.concatenate([d.tokens[d.authors != AUTHORS.index("template")] for d in self.train])
        ids, counts = np.unique(written, return_counts=True)
        chosen = dict.fromkeys([*always, *ids[np.argsort(-counts, kind="stable")].tolist()])
        return np.array(sorted(list(chosen)[:size]), np.int32)

    def batches(self, seed: int, tokens: int) -> Iterator[Batch]:
        """Endless batches of at most `tokens` tokens, padding included; every dialogue comes once per epoch."""
        epoch = 0
        while True:
            for places in _arranged([len(d) for d in self.train], np.random.default_rng((seed, epoch)), tokens):
                yield collate([self.train[place] for place in places])
            epoch += 1


def collate(dialogues: Sequence[Dialogue]) -> Batch:
    """A batch of these dialogues."""
    longest, hidden = max(map(len, dialogues)), dialogues[0].states.shape[1]
    inner = dialogues[0].layers
    tokens = np.zeros((len(dialogues), longest), np.int64)
    states = np.zeros((len(dialogues), longest, hidden), np.float32)
    weight = np.zeros((len(dialogues), longest), np.float32)
    layers = None if inner is None else np.zeros((len(dialogues), longest, inner.shape[1]), np.float32)
    for row, dialogue in enumerate(dialogues):
        tokens[row, : len(dialogue)] = dialogue.tokens
        states[row, : len(dialogue)] = dialogue.states
        weight[row, : len(dialogue)] = _weights(dialogue)
        if layers is not None:
            layers[row, : len(dialogue)] = dialogue.layers
    inputs = None if layers is None else torch.from_numpy(layers)
    return Batch(torch.from_numpy(tokens), torch.from_numpy(states), torch.from_numpy(weight), inputs)


def sampled_places(weight: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """bool[B, T]: each place of positive weight float[B, T] with probability `share`; all of them if that is none."""
    counted = weight > 0
    some = counted & (torch.rand(weight.shape, generator=generator, device=weight.device) < share)
    return some if bool(some.any()) else counted


def with_noise(batch: Batch, target: TargetMatrices, share: float, generator: torch.Generator) -> torch.Tensor:
    """float[B, T, D]: states plus uniform noise whose root mean square is `share` of theirs (Li et al. 2024, 4.1)."""
    noise = torch.empty_like(batch.states).uniform_(-1, 1, generator=generator) * 3**0.5
    return batch.states + noise * target.state_scale * share


def _weights(dialogue: Dialogue) -> Floats:
    """float[n]: the weight of the prediction after each token, by the author of the next one."""
    of_author = np.array([_WEIGHTS[author] for author in AUTHORS])
    own = of_author[dialogue.authors]
    # The token after a part is of the template, but the target decided that the part ends there.
    weights: Floats = np.maximum(own, np.append(own[1:], 0.0))
    return weights


def _arranged(lengths: Sequence[int], rng: np.random.Generator, tokens: int) -> Iterator[list[int]]:
    """Indices of dialogues in batches of similar lengths, in random order."""
    order = rng.permutation(len(lengths)).tolist()
    per_bucket = max(1, _BUCKET * tokens // max(1, sum(lengths) // len(lengths)))
    batches: list[list[int]] = []
    for start in range(0, len(order), per_bucket):
        batch: list[int] = []
        for place in sorted(order[start : start + per_bucket], key=lambda place: lengths[place]):
            if batch and (len(batch) + 1) * lengths[place] > tokens:
                batches.append(batch)
                batch = []
            batch.append(place)
        batches.append(batch)
    yield from (batches[place] for place in rng.permutation(len(batches)).tolist())
