"""Masks of grammars are those of the language, token by token, in whatever order they are asked for."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from speculatoviz.core.constraint import GrammarKind, GrammarSource
from speculatoviz.errors import BadRequestError, SpeculatoVizError
from speculatoviz.models.grammar import MOST_CHARACTERS, Grammar, GrammarCompiler
from speculatoviz.models.runtimes.toy import ToyTokenizer

PIECES = [b"a", b"b", b"ab", b"ba", b"c"]
CHARACTERS = [bytes([code]) for code in range(32, 127)]
WORDS = [*CHARACTERS, b'{"', b'":', b": ", b", ", b"name", b"true", b"}\n", "ü".encode()[:1], "ü".encode()[1:]]


class TwoEnds(ToyTokenizer):
    """Has a second end token."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__([*pieces, b""])
        self.eos_ids = frozenset({self.n_vocab - 2, self.n_vocab - 1})


def compiled(kind: GrammarKind, text: str, pieces: Sequence[bytes] = PIECES, ends: int = 1) -> Grammar:
    tokenizer = ToyTokenizer(pieces) if ends == 1 else TwoEnds(pieces)
    return GrammarCompiler(tokenizer).compile(GrammarSource(kind, text))


def schema(of: object) -> Grammar:
    return compiled("json_schema", json.dumps(of), WORDS)


def outputs(longest: int) -> Iterator[tuple[int, ...]]:
    for length in range(longest + 1):
        yield from itertools.product(range(len(PIECES)), repeat=length)


def text_of(output: Sequence[int], pieces: Sequence[bytes] = PIECES) -> str:
    return b"".join(pieces[token] for token in output).decode()


# The beginnings of (ab|ba){0,2}c?, and its words.
WORDS_OF = re.compile(r"(ab|ba){0,2}c?")
BEGINNINGS = {
    word[:end]
    for count in range(3)
    for parts in itertools.product(("ab", "ba"), repeat=count)
    for word in ("".join(parts) + "c",)
    for end in range(len(word) + 1)
}


@pytest.mark.parametrize("ends", [1, 2])
def test_every_mask_is_that_of_the_language(ends: int) -> None:
    grammar = compiled("regex", WORDS_OF.pattern, ends=ends)
    shuffled = np.random.default_rng(0).permutation(np.array(list(outputs(3)), dtype=object))
    for output in map(tuple, shuffled):
        mask, text = grammar.allowed(output), text_of(output)
        if text not in BEGINNINGS:
            assert mask is None
            continue
        assert mask is not None
        expected = [text + text_of([token]) in BEGINNINGS for token in range(len(PIECES))]
        assert mask.tolist() == [*expected, *([WORDS_OF.fullmatch(text) is not None] * ends)]


def test_after_the_end_nothing_is_allowed() -> None:
    grammar = compiled("regex", "ab")
    end = len(PIECES)
    assert grammar.allowed([2, end]) is None
    mask = grammar.allowed([2])
    assert mask is not None
    assert np.flatnonzero(mask).tolist() == [end]


DOCUMENTS = [
    ({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}, '{"name": "ab"}'),
    ({"type": "object"}, '{"a": [1, true], "b": {}}'),
    ({"type": "array", "items": {"enum": ["x", 2]}, "minItems": 2, "maxItems": 2}, '["x", 2]'),
    ({"const": {"name": True}}, '{"name": true}'),
    ({"type": "string", "maxLength": 3}, '"ü"'),
]


@pytest.mark.parametrize(("of", "document"), DOCUMENTS, ids=lambda value: str(value)[:30])
def test_a_document_of_a_schema_is_allowed_piece_by_piece_and_may_end_where_it_is_whole(
    of: object, document: str
) -> None:
    grammar, tokenizer = schema(of), ToyTokenizer(WORDS)
    end, output = tokenizer.n_vocab - 1, list[int]()
    for token in (WORDS.index(bytes([byte])) for byte in document.encode()):
        mask = grammar.allowed(output)
        assert mask is not None
        assert mask[token]
        assert not mask[end]
        output.append(token)
    mask = grammar.allowed(output)
    assert mask is not None
    assert mask[end]


@pytest.mark.parametrize("text", ['{"name":1}', '{ "name": "a"}', '{"nam": "a"}', "[]", '{"name": "a"} '])
def test_what_is_no_document_of_a_schema_is_not_allowed(text: str) -> None:
    grammar = schema(DOCUMENTS[0][0])
    assert grammar.allowed([WORDS.index(character.encode()) for character in text]) is None


def test_masks_do_not_depend_on_what_was_asked_before() -> None:
    """Where forced text has several spellings, and after outputs that were taken back."""
    of = {"type": "object", "properties": {"name": {"enum": [True, "name"]}}, "required": ["name"]}
    spelled = ToyTokenizer(CHARACTERS).encode('{"name": true}', special=False)
    places = [spelled[:end] for end in range(len(spelled) + 1)]
    places += [[WORDS.index(b'{"')], [WORDS.index(b'{"'), WORDS.index(b"name")], [*spelled[:2], WORDS.index(b"name")]]
    asked = schema(of)
    for place in np.random.default_rng(1).permutation(np.array([*places, *places], dtype=object)):
        fresh = schema(of).allowed(place)
        asked._masks.clear()
        mask = asked.allowed(place)
        assert (mask is None) == (fresh is None)
        assert mask is None or fresh is None or mask.tolist() == fresh.tolist()


def test_forced_text_is_drafted_as_the_tokenizer_would_write_it() -> None:
    grammar, end = schema({"const": {"name": True}}), len(WORDS)
    spelled = tuple(WORDS.index(character.encode()) for character in '{"name": true}')
    assert grammar.forced((), 99) == spelled
    assert grammar.forced((), 4) == spelled[:4]
    assert grammar.forced(spelled[:5], 99) == spelled[5:]
    assert grammar.forced(spelled, 99) == (end,)
    assert grammar.forced((WORDS.index(b"a"),), 99) == ()
    assert schema({"type": "string"}).forced((WORDS.index(b'"'),), 99) == ()
    assert compiled("regex", "ab", ends=2).forced((2,), 99) == ()  # one of two ends


def test_gbnf_and_lark_and_choices() -> None:
    for kind, text in (("gbnf", 'root ::= "ab" | "ba"'), ("lark", 'start: "ab" | "ba"')):
        grammar = compiled(kind, text)  # type: ignore[arg-type]
        mask = grammar.allowed(())
        assert mask is not None
        assert mask.tolist() == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json_schema", "{"),
        ("json_schema", '{"type": "nothing"}'),
        ("json_schema", '{"type": "object", "unevaluatedItems": 3, "if": {}, "not": {"type": "string"}}'),
        ("json_schema", "[" * 100_000),
        ("regex", "(a"),
        ("lark", "start: nothing"),
        ("lark", ""),
        ("gbnf", "root ::= nothing"),
        ("gbnf", "no grammar"),
        ("lark", "#" * (MOST_CHARACTERS + 1)),
    ],
    ids=lambda value: value[:24],
)
def test_what_cannot_be_compiled_is_refused_in_words(kind: GrammarKind, text: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        compiled(kind, text)
    assert refused.value.message.endswith(".")
    assert len(refused.value.message) < 400
    assert "\n" not in refused.value.message


def test_a_vocabulary_that_cannot_write_the_text_is_reported() -> None:
    grammar = compiled("regex", "[0-9]+")
    with pytest.raises(SpeculatoVizError, match="No token of the model continues"):
        grammar.allowed(())
