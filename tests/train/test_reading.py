"""The target reads texts: what is stored, where a reading continues, and that texts stay apart from dialogues."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.errors import TrainError
from speculatoviz.models.runtimes.toy import ALPHABET
from speculatoviz.train.reading import TextShards, read_texts
from speculatoviz.train.store import AUTHORS, Corpus, CorpusOrigin, Counts
from speculatoviz.train.texts import Texts, find, pieces
from support.letters import letters, write_letters
from support.stated_toy import StatedToy, TemplatedTokenizer
from support.tiny_heads import HIDDEN, state

MOST = 60


class Beginning(TemplatedTokenizer):
    """Expects an id before a text."""

    def __init__(self) -> None:
        super().__init__(list(ALPHABET))
        self.beginning = (7,)


def corpus(folder: Path, model: StatedToy) -> Corpus:
    return Corpus(folder, CorpusOrigin("toy", model.tokenizer.fingerprint, HIDDEN))


def read(model: StatedToy, into: Corpus, texts: Texts, tokens: int = 10**6, **options: object) -> None:
    left = pieces(model.tokenizer, texts, TextShards(into).spans(texts.digests), MOST)
    how: dict[str, object] = {"at_once": 3, "pass_tokens": 45, "shard_tokens": 100}
    read_texts(model, into, left, tokens, **(how | options))  # type: ignore[arg-type]


def stored(into: Corpus, texts: Texts) -> Counter[tuple[int, ...]]:
    return Counter(tuple(own.tokens.tolist()) for own in TextShards(into).dialogues(texts.digests))


def cut(model: StatedToy, texts: Texts) -> Counter[tuple[int, ...]]:
    return Counter(tuple(piece.ids) for piece in pieces(model.tokenizer, texts, {}, MOST))


def test_states_are_those_of_the_target_after_every_token(tmp_path: Path) -> None:
    model = StatedToy()
    model.tokenizer = Beginning()
    write_letters(tmp_path / "texts", 5, 100)
    into, texts = corpus(tmp_path / "data", model), find([tmp_path / "texts"])
    read(model, into, texts)

    assert stored(into, texts) == cut(model, texts)
    for own in TextShards(into).dialogues(texts.digests):
        tokens = own.tokens.tolist()
        states = np.array([state(tokens[: end + 1]) for end in range(len(tokens))])
        np.testing.assert_array_equal(own.states, states.astype(np.float16))
        assert [AUTHORS[author] for author in own.authors] == ["template"] + ["text"] * (len(own) - 1)
    assert {len(counts) for counts in model.passes} <= {1, 2, 3}
    assert max(map(sum, model.passes)) == 45


def test_as_many_as_are_wanted_are_read(tmp_path: Path) -> None:
    model = StatedToy()
    write_letters(tmp_path / "texts", 9, 100)
    into, texts = corpus(tmp_path / "data", model), find([tmp_path / "texts"])
    read(model, into, texts, 250)
    held = sum(span.tokens for spans in TextShards(into).spans(texts.digests).values() for span in spans)
    assert 250 <= held < 250 + 3 * MOST


def test_an_interrupted_reading_continues_after_the_last_whole_shard(tmp_path: Path) -> None:
    model = StatedToy()
    write_letters(tmp_path / "texts", 9, 100)
    into, texts = corpus(tmp_path / "data", model), find([tmp_path / "texts"])

    def stop(tokens: int) -> None:
        if tokens > 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(model, into, texts, report=stop)
    kept, passes = stored(into, texts), len(model.passes)
    assert 0 < len(kept) < len(cut(model, texts))
    read(model, into, texts)
    assert stored(into, texts) == cut(model, texts), "nothing twice, nothing left out"
    again = len(model.passes) - passes
    read(model, into, texts)
    assert len(model.passes) == passes + again, "what is there is not read again"


def test_a_folder_that_changed_repeats_and_mixes_nothing(tmp_path: Path) -> None:
    model, folder = StatedToy(), tmp_path / "texts"
    write_letters(folder, 6, 100)
    into, before = corpus(tmp_path / "data", model), find([folder])
    read(model, into, before, 300)

    (folder / "000.txt").rename(folder / "new-name.txt")
    (folder / "001.txt").write_text(letters(77, 100))
    (folder / "002.txt").unlink()
    (folder / "added.md").write_text(letters(78, 100))
    after = find([folder])
    read(model, into, after)
    assert stored(into, after) == cut(model, after)


def test_a_removed_shard_is_read_again_and_no_other_is_overwritten(tmp_path: Path) -> None:
    model = StatedToy()
    write_letters(tmp_path / "texts", 9, 100)
    into, texts = corpus(tmp_path / "data", model), find([tmp_path / "texts"])
    read(model, into, texts)
    shards = sorted(into.folder.glob("text-*.safetensors"))
    assert len(shards) > 2
    shards[1].unlink()
    read(model, into, texts)
    assert stored(into, texts) == cut(model, texts)


def test_texts_are_no_dialogues(tmp_path: Path) -> None:
    model = StatedToy()
    write_letters(tmp_path / "texts", 3, 100)
    into, texts = corpus(tmp_path / "data", model), find([tmp_path / "texts"])
    read(model, into, texts)
    assert into.counts() == Counts()
    assert list(into.dialogues()) == []
    assert into.writer().next_dialogue == 0


@pytest.mark.parametrize("content", [None, "[]", '[["a", 1]]', "["])
def test_a_shard_that_does_not_state_its_pieces_is_named(tmp_path: Path, content: str | None) -> None:
    model = StatedToy()
    write_letters(tmp_path / "texts", 1, 100)
    into, texts = corpus(tmp_path / "data", model), find([tmp_path / "texts"])
    read(model, into, texts)
    own = list(TextShards(into).dialogues(texts.digests))
    into.save(into.folder / "text-00000.safetensors", own, {} if content is None else {"pieces": content})
    with pytest.raises(TrainError, match=r"text-00000\.safetensors is not a shard of texts"):
        list(TextShards(into).dialogues(texts.digests))
