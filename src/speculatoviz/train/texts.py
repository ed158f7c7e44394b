"""Texts that the user names: which files of a folder are read, and the pieces that one pass of the target takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from speculatoviz.errors import BadRequestError, TrainError
from speculatoviz.models.base import Tokenizer

_PROSE = ".md .markdown .mdx .rst .txt .text .adoc .org .tex"
_CODE = (
    ".bash .c .cc .clj .cmake .cpp .cs .css .cu .cuh .cxx .dart .el .erl .ex .exs .f90 .fs .go .gradle .groovy .h .hh "
    ".hpp .hs .html .hxx .java .jl .js .jsx .kt .kts .lisp .lua .m .mjs .ml .mli .mm .nix .pas .php .pl .pm .proto "
    ".ps1 .py .pyi .pyx .r .rb .rs .scala .scm .scss .sh .sql .svelte .swift .tcl .tf .toml .ts .tsx .v .vhdl "
    ".vim .vue .yaml .yml .zig .zsh"
)
SUFFIXES = frozenset((_PROSE + " " + _CODE).split())
MOST_BYTES = 1 << 20  # of a file
SHORTEST = 16  # tokens of a piece: a head learns little from a shorter one


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that can be read. folder: the name of the folder it was found in. digest: of its content."""

    path: Path
    folder: str
    digest: str


@dataclass(frozen=True, slots=True)
class Texts:
    """The files of folders, in the order of their digests. left_out: how many others look like text and are not read.

    That order depends on nothing but their content, so the first files are a sample of all, wherever the folders are,
    and a file that is there twice is read once.
    """

    files: tuple[TextFile, ...] = ()
    left_out: int = 0

    @property
    def digests(self) -> frozenset[str]:
        """Of all files."""
        return frozenset(file.digest for file in self.files)


class Span(NamedTuple):
    """Tokens start to end - 1 of a file that has `total` tokens."""

    start: int
    end: int
    total: int

    @property
    def tokens(self) -> int:
        """How many it has."""
        return self.end - self.start


class Piece(NamedTuple):
    """A span of a file. ids: the beginning of a text, then its tokens."""

    file: TextFile
    span: Span
    ids: list[int]


def find(folders: Sequence[Path]) -> Texts:
    """Every regular file with a suffix of text or code, UTF-8, of at most 1 MiB; no links, nothing hidden.

    Raises TrainError for a folder that is not there, or has no such file.
    """
    found, left_out = dict[str, TextFile](), 0
    for folder in folders:
        if not folder.is_dir():
            raise TrainError(f"There is no folder {folder}.", "Name a folder of texts with --text.")
        name, usable = folder.resolve().name or "/", 0
        for path in _walk(folder):
            digest = _digest(path)
            if digest is None:
                left_out += 1
                continue
            usable += 1
            found.setdefault(digest, TextFile(path, name, digest))
        if not usable:
            raise TrainError(
                f"{folder} holds no text: no file of text or code in UTF-8 of at most 1 MiB.",
                "Name a folder of such files with --text; hidden ones and links are not read.",
            )
    return Texts(tuple(found[digest] for digest in sorted(found)), left_out)


def pieces(tokenizer: Tokenizer, texts: Texts, read: Mapping[str, Sequence[Span]], most: int) -> Iterator[Piece]:
    """What is left to read, in pieces of at most `most` ids. read: by digest, the spans that were read already.

    A file that the tokenizer refuses, or that changed since it was found, is passed over; so is an end of a file with
    fewer than SHORTEST tokens.
    """
    beginning = list(tokenizer.beginning)
    step = max(SHORTEST, most - len(beginning))
    for file in texts.files:
        known = read.get(file.digest, ())
        if known and sum(span.tokens for span in known) > known[0].total - SHORTEST:
            continue
        tokens = _tokens(tokenizer, file)
        for start in range(0, len(tokens) - SHORTEST + 1, step):
            if not any(span.start <= start < span.end for span in known):
                span = Span(start, min(start + step, len(tokens)), len(tokens))
                yield Piece(file, span, [*beginning, *tokens[start : span.end]])


def _tokens(tokenizer: Tokenizer, file: TextFile) -> list[int]:
    try:
        content = file.path.read_bytes()
        return tokenizer.encode(content.decode(), special=False) if _hash(content) == file.digest else []
    except (OSError, BadRequestError):
        return []


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and not path.is_symlink():
                yield path


def _digest(path: Path) -> str | None:
    """Of the content of a file; None if it is not read."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        content = path.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return _hash(content) if text.strip() and "\0" not in text else None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
