"""Grammars (JSON schema, regular expression, Lark, GBNF) as masks over a tokenizer's ids, by llguidance.

The library is loaded with the first grammar.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from speculatoviz.core.constraint import GrammarSource
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.base import Tokenizer

if TYPE_CHECKING:
    import llguidance

# JSON on one line, with one space after commas and colons: what is not chosen is forced.
COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
MOST_CHARACTERS = 1 << 17  # of a grammar
_MOST_MASKS = 64  # that are kept: those of a round are asked for by draft and target
_EMPTY_MASK = "NoExtensionBias"  # what llguidance reports if its mask is empty
_SIMPLER = "Use a simpler schema or grammar."


class GrammarCompiler:
    """Compiles grammars for one tokenizer, whose ids are read at the first one. From any thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: llguidance.LLTokenizer | None = None
        self._reading = threading.Lock()

    def compile(self, source: GrammarSource) -> Grammar:
        """Raises BadRequestError for a grammar that cannot be read, that is not supported, or that is too large."""
        if len(source.text) > MOST_CHARACTERS:
            raise BadRequestError(
                f"The grammar has {len(source.text):,} characters, and allowed are {MOST_CHARACTERS:,}.", _SIMPLER
            )
        if not self._tokenizer.eos_ids:
            raise BadRequestError("This model has no end token, so a text could not end.", "Choose another model.")
        from llguidance import LLMatcher

        try:
            matcher = LLMatcher(self._read(), _in_lark(source), log_level=0)
        except Exception as error:  # the converter of GBNF raises Exception itself
            raise _unreadable(str(error)) from error
        if matcher.is_error():
            raise _unreadable(matcher.get_error())
        ends = self._tokenizer.eos_ids
        return Grammar(source, matcher, self._tokenizer.n_vocab, ends, self._encode)

    def _encode(self, text: str) -> list[int]:
        """The ids of a text; none if the vocabulary cannot write it as a whole."""
        try:
            return self._tokenizer.encode(text, special=False)
        except BadRequestError:
            return []

    def _read(self) -> llguidance.LLTokenizer:
        from llguidance import LLTokenizer

        with self._reading:
            if self._known is None:
                vocabulary = _Vocabulary(self._tokenizer, self._encode)
                self._known = LLTokenizer(cast("llguidance.TokenizerWrapper", vocabulary))
            return self._known


class Grammar:
    """A grammar over the ids of one tokenizer: a `core.constraint.Constraint`. One thread at a time.

    matcher: at the beginning of a text. ends: the tokens that may follow a complete text. encode: text to ids.
    """

    def __init__(
        self,
        source: GrammarSource,
        matcher: llguidance.LLMatcher,
        n_vocab: int,
        ends: frozenset[int],
        encode: Callable[[str], list[int]],
    ) -> None:
        self._source, self._matcher, self._n_vocab, self._encode = source, matcher, n_vocab, encode
        self._ends = np.array(sorted(ends), np.int64)
        self._at: list[int] = []  # the tokens that the matcher has read
        self._masks: OrderedDict[tuple[int, ...], npt.NDArray[np.bool_] | None] = OrderedDict()

    @property
    def source(self) -> GrammarSource:
        return self._source

    def allowed(self, output: Sequence[int]) -> npt.NDArray[np.bool_] | None:
        """See `Constraint.allowed`. Raises SpeculatoVizError where the grammar cannot be followed."""
        key = tuple(output)
        if key not in self._masks:
            self._masks[key] = self._mask() if self._move(key) else None
            if len(self._masks) > _MOST_MASKS:
                self._masks.popitem(last=False)
        return self._masks[key]

    def forced(self, output: Sequence[int], most: int) -> tuple[int, ...]:
        """See `Constraint.forced`. The text is certain; its tokens are those of the tokenizer for it."""
        if most < 1 or not self._move(tuple(output)):
            return ()
        if self._matcher.is_stopped():
            return (int(self._ends[0]),) if len(self._ends) == 1 else ()
        text = self._matcher.compute_ff_bytes().decode(errors="ignore")
        ids = self._encode(text)[:most] if text else []
        return tuple(ids[: self._matcher.validate_tokens(ids)]) if ids else ()

    def _move(self, output: tuple[int, ...]) -> bool:
        """Bring the matcher to the end of an output. False if the output breaks the grammar or has ended."""
        common, most = 0, min(len(self._at), len(output))
        while common < most and self._at[common] == output[common]:
            common += 1
        rest = list(output[common:])
        if any(token in self._ends for token in rest):
            return False
        if common < len(self._at):
            self._matcher.rollback(len(self._at) - common)
            del self._at[common:]
        taken = self._matcher.try_consume_tokens(rest) if rest else 0
        self._at += rest[:taken]
        self._check()
        return taken == len(rest)

    def _mask(self) -> npt.NDArray[np.bool_]:
        mask = np.zeros(self._n_vocab, np.bool_)
        if not self._matcher.is_stopped():
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            known = np.unpackbits(bits, bitorder="little")[: self._n_vocab]
            mask[: len(known)] = known
        mask[self._ends] = self._matcher.is_accepting()
        if not mask.any() and _first_line(self._matcher.get_error()) in {"", _EMPTY_MASK}:
            raise _no_token()
        self._check()
        return mask

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = _first_line(self._matcher.get_error())
            if reason == _EMPTY_MASK:  # met by whoever asks first, for the mask or for forced text
                raise _no_token()
            raise SpeculatoVizError(f"The grammar could not be followed further ({reason}).", _SIMPLER)


class _Vocabulary:
    """A tokenizer as llguidance reads it: the bytes of each id, which ids add no text, and the ids of a text.

    Ids without text get a name of their own, so that no text of a grammar becomes one of them.
    """

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, encode: Callable[[str], list[int]]) -> None:
        pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.n_vocab)]
        self.special_token_ids = [token for token, piece in enumerate(pieces) if not piece]
        self.tokens = [piece or f"<|{token}|>".encode() for token, piece in enumerate(pieces)]
        self.eos_token_id = min(tokenizer.eos_ids)
        self._encode = encode

    def __call__(self, text: str) -> list[int]:
        """The ids of a text; none if the vocabulary cannot write it."""
        return self._encode(text)


def _in_lark(source: GrammarSource) -> str:
    from llguidance import LLMatcher
    from llguidance.gbnf_to_lark import gbnf_to_lark

    match source.kind:
        case "json_schema":
            schema = json.loads(source.text)
            if not isinstance(schema, dict):
                raise ValueError("a schema is a JSON object")
            return LLMatcher.grammar_from_json_schema({**schema, "x-guidance": COMPACT})
        case "regex":
            return LLMatcher.grammar_from_regex(source.text)
        case "gbnf":
            return LLMatcher.grammar_from_lark(gbnf_to_lark(source.text))
    return LLMatcher.grammar_from_lark(source.text)


def _no_token() -> SpeculatoVizError:
    words = "No token of the model continues the text as the grammar requires."
    return SpeculatoVizError(words, "Use another schema or grammar.")


def _unreadable(error: str) -> BadRequestError:
    return BadRequestError(f"The grammar cannot be used ({_first_line(error)}).", "Correct the schema or grammar.")


def _first_line(error: str) -> str:
    line = error.strip().split("\n")[0].rstrip(".")
    return line[:200]
