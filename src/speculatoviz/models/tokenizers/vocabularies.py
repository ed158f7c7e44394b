"""Maps the vocabulary of a draft model to its target's: ids by equal bytes, distributions over ids, and texts.

V_d, V_t: rows of the output of draft and target. M: draft ids that have a target id.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Floats, Ints, Support
from speculatoviz.errors import BadRequestError, VocabularyMismatchError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.tokenizers.control import after_beginning

_NO_ID = -1
_WORD_BOUNDARY = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])")  # no token contains the end of one word and the next
_CONTEXTS = ("", "\n", "0")  # texts after which a piece is encoded to find the id that the tokenizer uses for it
_CACHED_PARTS = 1 << 14


class Translation(NamedTuple):
    """A draft distribution in the target's vocabulary.

    q: over target ids, sum 1. kept: the probability of the draft ids that have a target id, under the draft's own q,
    in (0, 1].
    """

    q: Support
    kept: float


class Intersection:
    """Maps draft ids to target ids with equal bytes (Timor et al. 2025, "token-level intersection").

    - Several draft ids can map to one target id.
    - If several target ids have the same bytes, the one that the target's tokenizer produces is used, or the lowest if
      it produces none of them. The choice changes acceptance, not exactness: a draft is exact for any q over target
      ids from which its tokens are drawn.
    - Control tokens and tokens without bytes map to nothing, except end tokens. An end token maps to the target's end
      token of the same name. Without one, it maps to the lowest target end token whose name the draft's ends contain,
      or else to the lowest target end token.

    draft_ids int32[M]: the draft ids that have a target id, ascending. Raises VocabularyMismatchError if no token has
    the same bytes in both vocabularies.
    """

    def __init__(self, draft: Tokenizer, target: Tokenizer) -> None:
        target_ids = _ids_by_bytes(target)
        mapping = {
            draft_id: _preferred_id(target, piece, target_ids[piece])
            for piece, draft_ids in _ids_by_bytes(draft).items()
            if piece in target_ids
            for draft_id in draft_ids
        }
        if not mapping:
            raise VocabularyMismatchError(
                "Draft and target have no token in common.", "Choose another draft model, or the ngram drafter."
            )
        mapping |= _map_ends(draft, target)
        self._target_ids = np.full(draft.n_vocab, _NO_ID, np.int32)  # by draft id
        self._target_ids[list(mapping)] = list(mapping.values())
        self.draft_ids: Ints = np.flatnonzero(self._target_ids != _NO_ID).astype(np.int32)

    @property
    def proposable(self) -> Ints:
        """The target ids int32 that a draft id maps to, ascending and unique."""
        return np.unique(self._target_ids[self.draft_ids])

    def target_id(self, draft_id: int) -> int | None:
        """The target id of a draft id; None if it has none."""
        found = int(self._target_ids[draft_id])
        return None if found == _NO_ID else found

    def draft_ids_of(self, target_ids: Ints) -> Ints:
        """The draft ids, ascending, that map to one of these target ids."""
        return self.draft_ids[np.isin(self._target_ids[self.draft_ids], target_ids)]

    def best_draft_id(self, logits: Floats) -> int:
        """The draft id with the highest logit among those that have a target id; the lowest on ties.

        logits float[V_d].
        """
        return int(self.draft_ids[logits[self.draft_ids].argmax()])

    def best_draft_id_of(self, target_id: int, logits: Floats) -> int:
        """The draft id with the highest logit among those that map to `target_id`; the lowest on ties.

        logits float[V_d].
        """
        ids = self.draft_ids_of(np.array([target_id], np.int32))
        return int(ids[logits[ids].argmax()])

    def restricted(self, logits: Floats, allowed: npt.NDArray[np.bool_]) -> Floats:
        """logits float[V_d] with minus infinity for draft ids without an allowed target id. allowed: bool[V]."""
        kept = np.zeros(len(logits), np.bool_)
        kept[self.draft_ids] = allowed[self._target_ids[self.draft_ids]]
        return np.where(kept, logits, logits.dtype.type(-np.inf))

    def translate(self, q: Support) -> Translation | None:
        """Convert q over draft ids to target ids: restrict it to `draft_ids`, sum by target id, divide by the sum.

        q'(t) = sum of q(d) over the draft ids d of t, divided by `kept`. None if `kept` is 0.
        """
        targets = self._target_ids[q.ids]
        mapped = targets != _NO_ID
        ids, places = np.unique(targets[mapped], return_inverse=True)
        sums = np.bincount(places, weights=q.probs[mapped], minlength=len(ids))
        kept = float(sums.sum())
        if kept <= 0.0:
            return None
        return Translation(Support(ids.astype(np.int32), (sums / kept).astype(q.probs.dtype)), min(1.0, kept))

    def translate_top(self, top: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
        """Convert pairs (draft id, log-probability) to (target id, log-probability), most probable first.

        Probabilities of one target id are added. Draft ids without a target id are left out.
        """
        merged: dict[int, float] = {}
        for token, logprob in top:
            if (target := self.target_id(token)) is not None:
                merged[target] = float(np.logaddexp(merged.get(target, -np.inf), logprob))
        return tuple(sorted(merged.items(), key=lambda item: -item[1]))


class Reencoder:
    """Converts a prefix of target ids to draft ids: the same text, encoded by the draft's tokenizer.

    A control token becomes the draft's control token of the same name, or is left out if there is none. The text
    between two control tokens is encoded on its own. The result begins with the token that the draft's tokenizer puts
    before every text, if it does.
    """

    def __init__(self, draft: Tokenizer, target: Tokenizer) -> None:
        self._draft, self._target = draft, target
        controls = sorted((entry.id for entry in draft.entries() if entry.control), reverse=True)
        self._control_ids = {draft.token_name(token): token for token in controls}
        self._in_parts = self._preserves("a")
        self._encode_part = lru_cache(maxsize=_CACHED_PARTS)(self._encode)

    def ids(self, prefix: Sequence[int]) -> list[int] | None:
        """The draft ids of a prefix of target ids.

        None if the prefix ends inside a character, or has a character that the draft's tokenizer cannot encode.
        """
        result, raw = list[int](), bytearray()
        try:
            for token in prefix:
                piece = self._target.token_bytes(token)
                raw += piece
                if not piece:
                    result += self._encode_text(raw.decode(errors="replace"))
                    result += self._control_id(token)
                    raw.clear()
            if _ends_inside_character(raw):
                return None
            result += self._encode_text(raw.decode(errors="replace"))
        except BadRequestError:  # a character that the draft's tokenizer cannot encode
            return None
        return after_beginning(self._draft.beginning, result)

    def _control_id(self, token: int) -> list[int]:
        """The draft's control token with the name of the target's, in a list; an empty list if there is none."""
        name = self._target.token_name(token)
        return [self._control_ids[name]] if name in self._control_ids else []

    def _encode_text(self, text: str) -> list[int]:
        """Encode a text in parts of a few words, which are cached: of a text that has grown, only the end is encoded.

        A tokenizer that puts a space before every text would put one before every part: it encodes the whole text.
        """
        parts = _WORD_BOUNDARY.split(text) if self._in_parts else [text]
        return [token for part in parts for token in self._encode_part(part)]

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._draft.encode(text, special=False)) if text else ()

    def _preserves(self, text: str) -> bool:
        """Whether the ids of a text have its bytes. SentencePiece adds a space before it."""
        try:
            return b"".join(map(self._draft.token_bytes, self._encode(text))) == text.encode()
        except BadRequestError:
            return False


def _ends_inside_character(raw: bytes | bytearray) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder.decode(raw)
    return bool(decoder.getstate()[0])


def _ids_by_bytes(tokenizer: Tokenizer) -> dict[bytes, list[int]]:
    """The ids of each sequence of bytes, ascending; without control tokens, end tokens and empty tokens."""
    result: dict[bytes, list[int]] = {}
    for token, piece, control in tokenizer.entries():
        if piece and not control and token not in tokenizer.eos_ids:
            result.setdefault(piece, []).append(token)
    return result


def _preferred_id(tokenizer: Tokenizer, piece: bytes, tokens: list[int]) -> int:
    """Of ids with equal bytes, the one that encoding these bytes produces; the lowest if it produces none of them.

    SentencePiece has two ids for "A", for example: the letter and the byte 0x41.
    """
    if len(tokens) > 1:
        for context in _CONTEXTS:
            try:
                last = tokenizer.encode(context + piece.decode(), special=False)[-1:]
            except (BadRequestError, UnicodeDecodeError):
                continue
            if last and last[0] in tokens:
                return last[0]
    return tokens[0]


def _map_ends(draft: Tokenizer, target: Tokenizer) -> dict[int, int]:
    """The target's end token of each end token of the draft, as `Intersection` describes it."""
    if not target.eos_ids:
        return {}
    target_ids = {target.token_name(token): token for token in sorted(target.eos_ids, reverse=True)}
    draft_names = {token: draft.token_name(token) for token in draft.eos_ids}
    common = [target_ids[name] for name in draft_names.values() if name in target_ids]
    other = min(common or target.eos_ids)
    return {token: target_ids.get(name, other) for token, name in draft_names.items()}
