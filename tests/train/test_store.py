"""Dialogues on disk: whole or not there, resumed, and of one model."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from speculatoviz.errors import TrainError
from speculatoviz.train.store import Corpus, CorpusOrigin, Counts, Dialogue, StoredRows, alone, half

ORIGIN = CorpusOrigin("toy", "f" * 16, 3)


def dialogue(seed: int, length: int = 5) -> Dialogue:
    rng = np.random.default_rng(seed)
    return Dialogue(
        rng.integers(0, 9, length).astype(np.int32),
        np.array([0, 1, *[2] * (length - 2)], np.uint8),
        rng.standard_normal((length, 3)).astype(np.float16),
    )


def layered(seed: int, length: int = 5) -> Dialogue:
    rows = np.random.default_rng(seed).standard_normal((length, 9)).astype(np.float16)
    return replace(dialogue(seed, length), layers=rows)


def same(a: Dialogue, b: Dialogue) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("tokens", "authors", "states"))


def test_what_was_written_is_read_again_in_order(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    writer = corpus.writer()
    writer.write([dialogue(0), dialogue(1, 7)], 2)
    writer.write([dialogue(2)], 5)

    assert corpus.counts() == Counts(tokens=17, answer_tokens=11, dialogues=3)
    for found, seed, length in zip(corpus.dialogues(), (0, 1, 2), (5, 7, 5), strict=True):
        assert same(found, dialogue(seed, length))


def test_many_may_open_a_new_folder_at_once(tmp_path: Path) -> None:
    """Each finds it described, whoever comes first."""
    with ThreadPoolExecutor(16) as pool:
        for number in range(20):
            together = Barrier(16)

            def opened(folder: Path = tmp_path / str(number), together: Barrier = together) -> Corpus:
                together.wait()
                return Corpus(folder, ORIGIN)

            for corpus in [pool.submit(opened) for _ in range(16)]:
                assert corpus.result().counts().dialogues == 0


def test_a_writer_goes_on_behind_its_last_shard(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    first = corpus.writer()
    assert first.next_dialogue == 0
    first.write([dialogue(0)], 7)
    first.close()
    again = corpus.writer()
    assert (again.number, again.next_dialogue) == (first.number, 7)
    again.write([dialogue(1)], 9)
    assert corpus.counts().dialogues == 2, "the first shard is still there"


def test_a_writer_overwrites_nothing_where_a_shard_was_removed(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    writer = corpus.writer()
    for seed in range(3):
        writer.write([dialogue(seed)], seed + 1)
    writer.close()
    corpus.shards()[1].unlink()
    corpus.writer().write([dialogue(3)], 4)
    assert [int(found.tokens.sum()) for found in corpus.dialogues()] == [
        int(dialogue(seed).tokens.sum()) for seed in (0, 2, 3)
    ]


def test_writers_at_once_have_shards_of_their_own(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    writers = [corpus.writer() for _ in range(3)]
    for seed, writer in enumerate(writers):
        writer.write([dialogue(seed)], 1)

    assert len({writer.number for writer in writers}) == 3
    assert corpus.counts().dialogues == 3


def test_half_a_shard_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    writer = corpus.writer()
    writer.write([dialogue(0)], 1)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        writer.write([dialogue(1)], 2)
    monkeypatch.undo()
    writer.close()

    assert corpus.counts().dialogues == 1
    assert corpus.writer().next_dialogue == 1


def test_a_folder_is_of_one_model(tmp_path: Path) -> None:
    Corpus(tmp_path, ORIGIN)
    Corpus(tmp_path, ORIGIN)
    with pytest.raises(TrainError, match="dialogues of toy, not of other"):
        Corpus(tmp_path, CorpusOrigin("other", "f" * 16, 3))


def test_how_shards_were_written_is_recorded(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    assert corpus.recipes() == []
    writer = corpus.writer()
    for recipe in ({"greedy_share": 0.5}, {"greedy_share": 0.5}, None, {"greedy_share": 1.0}):
        writer.write([dialogue(0)], 1, recipe)
    assert corpus.recipes() == [{"greedy_share": 0.5}, None, {"greedy_share": 1.0}]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrainError, match="file") as refusal:
        Corpus(tmp_path / "file" / "corpus", ORIGIN)
    assert "--data" in refusal.value.hint


@pytest.mark.parametrize("content", ["{", "[]", '{"layers": 5}', "\xff"])
def test_a_description_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "corpus.json").write_text(content, encoding="latin-1")
    with pytest.raises(TrainError, match=r"corpus\.json"):
        Corpus(tmp_path, ORIGIN)


def test_a_shard_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    writer = Corpus(tmp_path, ORIGIN).writer()
    (tmp_path / "00-00000.partial").mkdir()
    with pytest.raises(TrainError, match=r"00-00000\.safetensors"):
        writer.write([dialogue(0)], 1)


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    (tmp_path / "00-00000.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainError, match=r"00-00000\.safetensors"):
        corpus.counts()
    with pytest.raises(TrainError, match=r"00-00000\.safetensors"):
        list(corpus.dialogues())


LAYERED = replace(ORIGIN, layers=(2, 4, 5))


def test_inputs_of_layers_are_kept_and_read_where_they_are_used(tmp_path: Path) -> None:
    writer = Corpus(tmp_path, LAYERED).writer()
    writer.write([layered(0), layered(1, 7)], 2)
    for found, seed, length in zip(Corpus(tmp_path, LAYERED).dialogues(), (0, 1), (5, 7), strict=True):
        assert isinstance(found.layers, StoredRows)
        assert found.layers.shape == (length, 9)
        assert same(found, layered(seed, length))
        assert np.array_equal(found.layers, layered(seed, length).layers)
        assert np.array_equal(found.layers[1:3], layered(seed, length).layers[1:3])


def test_a_folder_with_layers_serves_heads_that_read_none(tmp_path: Path) -> None:
    Corpus(tmp_path, LAYERED)
    assert Corpus(tmp_path, ORIGIN).layers == (2, 4, 5), "and what is added to it records them"


@pytest.mark.parametrize(("held", "words"), [((), "no inner layers"), ((1, 2, 3), "the layers 1, 2, 3")])
def test_a_folder_without_the_layers_of_a_head_is_refused(tmp_path: Path, held: tuple[int, ...], words: str) -> None:
    Corpus(tmp_path, replace(ORIGIN, layers=held))
    with pytest.raises(TrainError, match=f"inputs of {words}, and this head reads the layers 2, 4, 5") as refusal:
        Corpus(tmp_path, LAYERED)
    assert "--data" in refusal.value.hint


def test_a_folder_of_before_records_no_layers(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text('{"target": "toy", "fingerprint": "ffffffffffffffff", "hidden_size": 3}')
    assert Corpus(tmp_path, ORIGIN).layers == ()


def test_a_shard_that_became_shorter_is_named(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, ORIGIN)
    corpus.writer().write([dialogue(0, 400)], 1)
    found = next(iter(corpus.dialogues()))
    shard = corpus.shards()[0]
    shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(TrainError, match=r"00-00000\.safetensors is not a shard"):
        np.asarray(found.states)


def test_numbers_beyond_half_precision_become_its_largest() -> None:
    assert half(np.array([1e6, -1e6, 1.5])).tolist() == [65504.0, -65504.0, 1.5]


def test_a_shard_without_the_layers_of_its_folder_is_named(tmp_path: Path) -> None:
    Corpus(tmp_path, ORIGIN).writer().write([dialogue(0)], 1)
    (tmp_path / "corpus.json").write_text(json.dumps({**asdict(ORIGIN), "layers": [2, 4, 5]}))
    with pytest.raises(TrainError, match=r"00-00000\.safetensors is not a shard"):
        list(Corpus(tmp_path, LAYERED).dialogues())


def test_a_process_waits_for_another_one(tmp_path: Path) -> None:
    """Which is told once, and only if there is one."""
    told, inside = list[str](), Barrier(2)

    def second() -> None:
        with alone(tmp_path / "lock", lambda: (told.append("waits"), inside.wait())):  # type: ignore[func-returns-value]
            told.append("holds")

    with ThreadPoolExecutor(1) as pool:
        with alone(tmp_path / "lock", lambda: told.append("nobody else is there")):
            waiting = pool.submit(second)
            inside.wait()
            assert told == ["waits"]
        waiting.result()
    assert told == ["waits", "holds"]
