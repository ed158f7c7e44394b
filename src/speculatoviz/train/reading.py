"""The target reads texts that the user names, for its heads to learn from: several in one pass.

Shards of texts lie in the folder of a corpus, beside those of dialogues. Each states the files of its pieces by digests
of their content: a reading continues after the last whole shard, a file that was moved is not read again, and a file
that was changed counts as another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from speculatoviz.models.base import Context, Feed, LanguageModel
from speculatoviz.train.store import AUTHORS, Corpus, Dialogue, Halves, broken, half, metadata, next_shard
from speculatoviz.train.texts import Piece, Span

_SHARDS = "text-[0-9]*.safetensors"
_PIECES = "pieces"  # the key of a shard's metadata


class TextShards:
    """The texts that were read into a corpus. Raises TrainError for a damaged shard."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def spans(self, digests: Collection[str]) -> dict[str, list[Span]]:
        """By digest, what was read of these files; files of which nothing was read are left out."""
        found = dict[str, list[Span]]()
        for path in self._paths():
            for digest, span in _pieces(path):
                if digest in digests:
                    found.setdefault(digest, []).append(span)
        return found

    def dialogues(self, digests: Collection[str]) -> Iterator[Dialogue]:
        """The pieces of these files, as dialogues whose author is "text"."""
        for path in self._paths():
            pieces, stored = _pieces(path), list(self._corpus.read(path))
            if len(pieces) != len(stored):
                raise broken(path, "a shard of texts", ValueError(f"{len(pieces)} pieces of {len(stored)} are stated"))
            yield from (dialogue for (digest, _), dialogue in zip(pieces, stored, strict=True) if digest in digests)

    def write(self, pieces: Sequence[Piece], dialogues: Sequence[Dialogue]) -> None:
        """Write one shard. Raises TrainError if it cannot be written."""
        path = next_shard(self._corpus.folder, "text", self._paths())
        stored = [(piece.file.digest, *piece.span) for piece in pieces]
        self._corpus.save(path, dialogues, {_PIECES: json.dumps(stored)})

    def _paths(self) -> list[Path]:
        return sorted(self._corpus.folder.glob(_SHARDS))


def read_texts(
    model: LanguageModel,
    corpus: Corpus,
    pieces: Iterator[Piece],
    tokens: int,
    *,
    at_once: int,
    pass_tokens: int,
    shard_tokens: int,
    report: Callable[[int], None] = lambda _tokens: None,
) -> None:
    """Feed pieces to the target until they have `tokens` tokens, or all are read, and store what the passes give.

    at_once: pieces that are fed side by side. pass_tokens: the most tokens of a pass. shard_tokens: the least of a
    shard, the last one apart. report: called after every batch with the tokens that were read. Raises TrainError if a
    shard cannot be written, ContextFullError if the contexts do not fit.
    """
    shards, read, done = TextShards(corpus), 0, list[tuple[Piece, Dialogue]]()
    while read < tokens and (batch := list(islice(pieces, at_once))):
        done += zip(batch, _passes(model, batch, max(1, pass_tokens // len(batch)), corpus.layers), strict=True)
        read += sum(piece.span.tokens for piece in batch)
        if sum(len(piece.ids) for piece, _ in done) >= shard_tokens:
            shards.write(*_columns(done))
            done = []
        report(read)
    if done:
        shards.write(*_columns(done))


def _columns(done: Sequence[tuple[Piece, Dialogue]]) -> tuple[list[Piece], list[Dialogue]]:
    return [piece for piece, _ in done], [dialogue for _, dialogue in done]


def _passes(model: LanguageModel, batch: Sequence[Piece], most: int, layers: tuple[int, ...]) -> list[Dialogue]:
    """What the target computes for pieces, each in a context of its own. most: tokens of each in a pass."""
    contexts = [model.open(len(piece.ids)) for piece in batch]
    try:
        results: list[list[tuple[Halves, Halves | None]]] = [[] for _ in batch]
        for start in range(0, max(len(piece.ids) for piece in batch), most):
            fed = [(place, piece.ids[start : start + most]) for place, piece in enumerate(batch)]
            fed = [(place, ids) for place, ids in fed if ids]
            rows = model.forward([_feed(contexts[place], ids, layers) for place, ids in fed])
            for (place, _), row in zip(fed, rows, strict=True):
                assert row.hidden is not None
                results[place].append((half(row.hidden), None if row.layers is None else half(row.layers)))
    finally:
        for context in contexts:
            context.close()
    return [_dialogue(piece, found) for piece, found in zip(batch, results, strict=True)]


def _feed(context: Context, ids: Sequence[int], layers: tuple[int, ...]) -> Feed:
    return Feed(context, ids, hidden=True, layers=layers)


def _dialogue(piece: Piece, found: Sequence[tuple[Halves, Halves | None]]) -> Dialogue:
    authors = np.full(len(piece.ids), AUTHORS.index("text"), np.uint8)
    authors[: len(piece.ids) - piece.span.tokens] = AUTHORS.index("template")
    inner = [layers for _, layers in found if layers is not None]
    return Dialogue(
        np.array(piece.ids, np.int32),
        authors,
        np.concatenate([states for states, _ in found]),
        np.concatenate(inner) if inner else None,
    )


def _pieces(path: Path) -> list[tuple[str, Span]]:
    """Of each piece of a shard: the digest of its file, and its span."""
    try:
        stored = json.loads(metadata(path)[_PIECES])
        return [(str(digest), Span(int(start), int(end), int(total))) for digest, start, end, total in stored]
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise broken(path, "a shard of texts", error) from error
