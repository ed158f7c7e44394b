"""Which files of a folder are read, and the pieces that they are cut into."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.errors import TrainError
from speculatoviz.models.runtimes.toy import ALPHABET, ToyTokenizer
from speculatoviz.train.texts import MOST_BYTES, SHORTEST, Piece, Span, Texts, find, pieces
from support.letters import letters, write_letters


def names(texts: Texts) -> set[str]:
    return {file.path.name for file in texts.files}


def test_files_of_text_and_code_are_found_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("a.md", "deep/b.PY", "deep/er/c.rs", ".hidden.md", ".git/d.txt", "e.png", "f"):
        (folder / name).write_text(f"text of {name}")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "g.txt").write_text("elsewhere")
    (folder / "link.txt").symlink_to(tmp_path / "outside" / "g.txt")
    (folder / "linked").symlink_to(tmp_path / "outside")

    found = find([folder])
    assert names(found) == {"a.md", "b.PY", "c.rs"}
    assert {file.folder for file in found.files} == {"docs"}
    assert found.left_out == 0


def test_what_is_no_text_is_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    (tmp_path / "nul.c").write_bytes(b"a\0b")
    (tmp_path / "empty.py").write_text(" \n")
    (tmp_path / "large.txt").write_text("a" * (MOST_BYTES + 1))
    (tmp_path / "largest.txt").write_text("a" * MOST_BYTES)
    found = find([tmp_path])
    assert names(found) == {"largest.txt"}
    assert found.left_out == 4


def test_a_content_is_found_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_letters(tmp_path / name, 3, 50)
    write_letters(tmp_path / "two", 5, 50)
    assert len(find([tmp_path / "one", tmp_path / "two", tmp_path]).files) == 5


def test_the_order_depends_on_contents_alone(tmp_path: Path) -> None:
    for seed in range(20):
        for folder, name in (("a", f"{seed:02}"), ("b", f"{99 - seed}")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.txt").write_text(letters(seed, 30))
    first, second = ([file.digest for file in find([tmp_path / name]).files] for name in "ab")
    assert first == second
    assert [f.path.name for f in find([tmp_path / "a"]).files] != sorted(p.name for p in (tmp_path / "a").iterdir())


@pytest.mark.parametrize("name", ["missing", "file.txt", "empty"])
def test_a_folder_without_text_is_refused_in_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainError, match=name) as refusal:
        find([tmp_path / name])
    assert "--text" in refusal.value.hint


class Beginning(ToyTokenizer):
    """Expects two ids before a text."""

    def __init__(self) -> None:
        super().__init__(list(ALPHABET))
        self.beginning = (7, 7)


def cut(tokenizer: ToyTokenizer, texts: Texts, read: dict[str, list[Span]] | None = None) -> list[Piece]:
    return list(pieces(tokenizer, texts, read or {}, 60))


def test_pieces_are_the_whole_text_each_after_the_beginning(tmp_path: Path) -> None:
    write_letters(tmp_path, 6, 150)
    texts, tokenizer = find([tmp_path]), Beginning()
    found = cut(tokenizer, texts)
    assert max(len(piece.ids) for piece in found) == 60
    for file in texts.files:
        own = [piece for piece in found if piece.file == file]
        assert all(tuple(piece.ids[:2]) == tokenizer.beginning for piece in own)
        joined = [token for piece in own for token in piece.ids[2:]]
        assert joined == tokenizer.encode(file.path.read_text(), special=False)
        assert [piece.span for piece in own] == [Span(0, 58, 150), Span(58, 116, 150), Span(116, 150, 150)]


def test_short_ends_and_texts_that_the_tokenizer_refuses_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text(letters(0, SHORTEST - 1))
    (tmp_path / "refused.txt").write_text("NO CAPITALS" * 9)
    (tmp_path / "end.txt").write_text(letters(1, 60 + SHORTEST - 1))
    (span,) = (piece.span for piece in cut(ToyTokenizer(list(ALPHABET)), find([tmp_path])))
    assert span == Span(0, 60, 60 + SHORTEST - 1)


def test_what_was_read_is_not_cut_again(tmp_path: Path) -> None:
    write_letters(tmp_path, 3, 150)
    texts, tokenizer = find([tmp_path]), ToyTokenizer(list(ALPHABET))
    whole = cut(tokenizer, texts)
    read: dict[str, list[Span]] = {}
    for piece in (whole[0], whole[2], whole[4]):  # with a shard that was removed between
        read.setdefault(piece.file.digest, []).append(piece.span)
    assert cut(tokenizer, texts, read) == [whole[place] for place in (1, 3, *range(5, len(whole)))]


def test_a_file_that_changed_since_is_passed_over(tmp_path: Path) -> None:
    write_letters(tmp_path, 2, 50)
    texts = find([tmp_path])
    (tmp_path / "000.txt").write_text(letters(9, 50))
    assert [piece.file.path.name for piece in cut(ToyTokenizer(list(ALPHABET)), texts)] == ["001.txt"]
