"""Two vocabularies side by side: which ids of a draft model say the same bytes as an id of its target."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from speculatoviz.core.types import Floats, Ints, Support
from speculatoviz.errors import BadRequestError, VocabularyMismatchError
from speculatoviz.models.base import Tokenizer

_NONE = -1
_CUT = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])")  # between two words, which tokenizers do not join
_BEFORE = ("", "\n", "0")  # texts behind which a tokenizer is asked how it writes a piece
_MOST_PARTS = 1 << 14


class Translation(NamedTuple):
    """q over the target's ids, and the share of the draft's own q that went into it."""

    q: Support
    kept: float


class Intersection:
    """Maps a draft model's ids to its target's by equal bytes.

    Several draft ids may say the bytes of one target id. Of several target ids with equal bytes the one that the
    target's tokenizer would write is used, the lowest where that is none of them: any q over the target's ids is
    exact as long as tokens are drawn from it, so the choice costs only acceptance. Control tokens and empty ones have
    no bytes. An end token goes to the target's of the same name, or else to one that has a name in common (the
    lowest; any end where there is none). draft_ids int32[M]: the draft's ids that have a counterpart, ascending.
    Raises VocabularyMismatchError where the two share no bytes at all.
    """

    def __init__(self, draft: Tokenizer, target: Tokenizer) -> None:
        written = _by_bytes(target)
        same = {
            token: _usual(target, piece, written[piece])
            for piece, tokens in _by_bytes(draft).items()
            if piece in written
            for token in tokens
        }
        if not same:
            raise VocabularyMismatchError(
                "Draft and target have no token in common.", "Choose another draft model, or the ngram drafter."
            )
        same |= _ends(draft, target)
        self._target_of = np.full(draft.n_vocab, _NONE, np.int32)
        self._target_of[list(same)] = list(same.values())
        self.draft_ids: Ints = np.flatnonzero(self._target_of != _NONE).astype(np.int32)
        self._targets = self._target_of[self.draft_ids]

    def target_of(self, draft_id: int) -> int | None:
        """The target's id for a draft id, None where it has none."""
        found = int(self._target_of[draft_id])
        return None if found == _NONE else found

    def sources(self, targets: Ints) -> Ints:
        """Draft ids, ascending, that say what one of the target's ids says."""
        return self.draft_ids[np.isin(self._targets, targets)]

    def best(self, logits: Floats) -> int:
        """The draft id with the highest logit among those that have a counterpart, the lowest on ties."""
        return int(self.draft_ids[logits[self.draft_ids].argmax()])

    def source(self, target: int, logits: Floats) -> int:
        """The draft id with the highest logit among those that say what `target` says, the lowest on ties."""
        ids = self.sources(np.array([target], np.int32))
        return int(ids[logits[ids].argmax()])

    def translate(self, q: Support) -> Translation | None:
        """q over the draft's ids as one over the target's: restricted, summed by target id, renormalised.

        None where no id that q gives any probability has a counterpart.
        """
        targets = self._target_of[q.ids]
        known = targets != _NONE
        ids, places = np.unique(targets[known], return_inverse=True)
        sums = np.bincount(places, weights=q.probs[known], minlength=len(ids))
        kept = float(sums.sum())
        if kept <= 0.0:
            return None
        return Translation(Support(ids.astype(np.int32), (sums / kept).astype(q.probs.dtype)), min(1.0, kept))

    def translate_top(self, top: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        """(draft id, log-probability) as (target id, log-probability), most probable first, without those it lacks."""
        merged: dict[int, float] = {}
        for token, logprob in top:
            if (target := self.target_of(token)) is not None:
                merged[target] = float(np.logaddexp(merged.get(target, -np.inf), logprob))
        return tuple(sorted(merged.items(), key=lambda item: -item[1]))


class Reencoder:
    """Reads a target's committed ids into a draft model's: the same text, as the draft's tokenizer writes it.

    A control token becomes the draft's of the same name and is left out where there is none; the bytes between two of
    them are encoded by themselves, behind the draft's own beginning of a text.
    """

    def __init__(self, draft: Tokenizer, target: Tokenizer) -> None:
        self._draft, self._target = draft, target
        self._marks = {entry.id for entry in draft.entries() if entry.control}
        self._named = {draft.token_name(token): token for token in sorted(self._marks, reverse=True)}
        self._beginning = draft.encode("", special=False)[:1]
        self._in_parts = self._writes_as_is("a")
        self._encode = lru_cache(maxsize=_MOST_PARTS)(self._encoded)

    def ids(self, prefix: Sequence[int]) -> list[int] | None:
        """The draft's ids for the target's; None where they end inside a character or the draft cannot read them."""
        result, raw = list[int](), bytearray()
        try:
            for token in prefix:
                piece = self._target.token_bytes(token)
                raw += piece
                if not piece:
                    result += self._read(raw.decode(errors="replace"))
                    result += self._same(token)
                    raw.clear()
            if _ends_inside_a_character(raw):
                return None
            result += self._read(raw.decode(errors="replace"))
        except BadRequestError:  # letters that the draft has no token for
            return None
        return result if result[:1] == self._beginning else [*self._beginning, *result]

    def _same(self, control: int) -> list[int]:
        """The draft's control token for the target's, if there is one."""
        name = self._target.token_name(control)
        return [self._named[name]] if name in self._named else []

    def _read(self, text: str) -> list[int]:
        """What was read before is remembered by parts: a text that grows is encoded anew from its last words only."""
        parts = _CUT.split(text) if self._in_parts else [text]
        return [token for part in parts for token in self._encode(part)]

    def _encoded(self, text: str) -> tuple[int, ...]:
        """Without what a tokenizer puts around a text of its own accord."""
        ids = self._draft.encode(text, special=False) if text else []
        return tuple(token for token in ids if token not in self._marks)

    def _writes_as_is(self, text: str) -> bool:
        """Whether a text is encoded as it stands: SentencePiece begins each with a space, and is given it whole."""
        try:
            return b"".join(map(self._draft.token_bytes, self._encoded(text))) == text.encode()
        except BadRequestError:
            return False


def _ends_inside_a_character(raw: bytes | bytearray) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder.decode(raw)
    return bool(decoder.getstate()[0])


def _by_bytes(tokenizer: Tokenizer) -> dict[bytes, list[int]]:
    """The ids, ascending, that add the same bytes to a text."""
    result: dict[bytes, list[int]] = {}
    for token, piece, control in tokenizer.entries():
        if piece and not control and token not in tokenizer.eos_ids:
            result.setdefault(piece, []).append(token)
    return result


def _usual(tokenizer: Tokenizer, piece: bytes, tokens: list[int]) -> int:
    """Of ids with equal bytes the one the tokenizer writes: "A", and not the byte 0x41 that SentencePiece also has."""
    if len(tokens) > 1:
        for before in _BEFORE:
            try:
                last = tokenizer.encode(before + piece.decode(), special=False)[-1:]
            except (BadRequestError, UnicodeDecodeError):
                continue
            if last and last[0] in tokens:
                return last[0]
    return tokens[0]


def _ends(draft: Tokenizer, target: Tokenizer) -> dict[int, int]:
    if not target.eos_ids:
        return {}
    named = {target.token_name(token): token for token in sorted(target.eos_ids, reverse=True)}
    names = {token: draft.token_name(token) for token in draft.eos_ids}
    common = [named[name] for name in names.values() if name in named]
    other = min(common or target.eos_ids)
    return {token: named.get(name, other) for token, name in names.items()}
