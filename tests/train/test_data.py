"""Dialogues as they are trained on."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speculatoviz.errors import TrainError  # noqa: E402
from speculatoviz.train.data import TrainingData, collate  # noqa: E402
from speculatoviz.train.reading import TextShards  # noqa: E402
from speculatoviz.train.store import Corpus, CorpusOrigin, Dialogue  # noqa: E402
from speculatoviz.train.texts import Piece, Span, TextFile  # noqa: E402
from support.tiny_heads import HIDDEN  # noqa: E402
from support.tiny_training import dialogue  # noqa: E402


def keys(dialogues: list[Dialogue]) -> set[bytes]:
    return {own.tokens.tobytes() for own in dialogues}


def corpus(folder: Path, count: int) -> Corpus:
    made = Corpus(folder, CorpusOrigin("toy", "f" * 16, HIDDEN))
    writer = made.writer()
    rng = np.random.default_rng(0)
    for shard in range(count):
        own = [dialogue(int(rng.integers(0, 999)), int(rng.integers(8, 40))) for _ in range(10)]
        writer.write(own, 10 * shard)
    writer.close()
    return made


def test_what_is_held_out_stays_held_out_as_the_corpus_grows(tmp_path: Path) -> None:
    few, many = (
        TrainingData.of(corpus(tmp_path / name, count), held_out_share=0.3) for name, count in (("a", 8), ("b", 16))
    )
    assert few.held_out
    assert keys(few.held_out) <= keys(many.held_out)
    assert keys(few.train) <= keys(many.train)
    assert not keys(many.held_out) & keys(many.train)


def test_too_few_dialogues_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="too few dialogues"):
        TrainingData.of(Corpus(tmp_path, CorpusOrigin("toy", "f" * 16, HIDDEN)))


def test_every_dialogue_comes_once_an_epoch_in_batches_that_fit() -> None:
    data = TrainingData([dialogue(seed, 8 + seed % 23) for seed in range(50)], [])
    seen: list[bytes] = []
    for batch in data.batches(1, 200):
        assert batch.tokens.numel() <= 200
        for tokens, weight in zip(batch.tokens, batch.weight, strict=True):
            seen.append(tokens.numpy().astype(np.int32)[: int(weight.nonzero()[-1]) + 1].tobytes())
        if len(seen) >= len(data.train):
            break
    assert sorted(seen) == sorted(own.tokens.tobytes() for own in data.train)


def test_the_same_seed_gives_the_same_batches() -> None:
    data = TrainingData([dialogue(seed, 8 + seed % 23) for seed in range(50)], [])
    runs = [[batch.tokens.tolist() for batch in islice(data.batches(seed, 200), 30)] for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert runs[0][:10] != runs[0][10:20], "a new epoch has a new order"


def test_padding_weighs_nothing() -> None:
    batch = collate([dialogue(0, 8), dialogue(1, 12)])
    assert batch.tokens.shape == (2, 12)
    assert batch.states.dtype == torch.float32
    assert batch.weight[0, 8:].sum() == 0


def test_the_vocabulary_is_what_the_target_says_most() -> None:
    data = TrainingData([dialogue(seed, 30) for seed in range(9)], [])
    written = np.concatenate([own.tokens[own.authors > 0] for own in data.train])
    often = np.argsort(-np.bincount(written, minlength=5))
    assert data.vocabulary(3).tolist() == sorted(often[:3].tolist())
    assert 99 in data.vocabulary(3, [99]), "what is always in is in"
    assert len(data.vocabulary(3, [99])) == 3
    assert data.vocabulary(100).tolist() == sorted(set(written.tolist()))


def test_a_text_counts_half_and_its_beginning_nothing() -> None:
    text = dialogue(0, 10)
    read = replace(text, authors=np.array([0] + [3] * 9, np.uint8))
    assert collate([read]).weight.tolist() == [[0.5] * 10], "the first token is predicted after the beginning"
    assert collate([replace(text, authors=np.array([0, 0] + [3] * 8, np.uint8))]).weight[0, 0] == 0


def test_texts_that_are_named_are_all_trained_on_and_no_others(tmp_path: Path) -> None:
    made = corpus(tmp_path, 8)
    files = [TextFile(tmp_path / name, "texts", name) for name in "ab"]
    pieces = [Piece(files[seed % 2], Span(0, 20, 20), []) for seed in range(60)]
    texts = [dialogue(seed, 20) for seed in range(60)]
    TextShards(made).write(pieces, texts)
    plain, named = TrainingData.of(made), TrainingData.of(made, {"a"})
    assert keys(named.held_out) == keys(plain.held_out)
    assert [own.tokens.tolist() for own in named.train[len(plain.train) :]] == [
        own.tokens.tolist() for own in texts[::2]
    ]
