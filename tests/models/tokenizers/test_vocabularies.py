"""Ids matched by their bytes, distributions carried over, and text read into another vocabulary."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.types import Support
from speculatoviz.errors import VocabularyMismatchError
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.tokenizers.llamacpp import VocabularyFile
from speculatoviz.models.tokenizers.vocabularies import Intersection, Reencoder
from support.two_vocabularies import ACCENTS, LETTERS, LongestMatch, Pieces


def both(pieces: Pieces) -> tuple[LongestMatch, LongestMatch]:
    """Draft and target, in the order in which everything here takes them."""
    return LongestMatch(pieces[1]), LongestMatch(pieces[0])


def mapped(draft: LongestMatch, target: LongestMatch) -> list[int | None]:
    intersection = Intersection(draft, target)
    return [intersection.target_id(token) for token in range(draft.n_vocab)]


def over(probs: dict[int, float]) -> Support:
    return Support(np.array(sorted(probs), np.int32), np.array([probs[token] for token in sorted(probs)]))


def test_ids_are_matched_by_equal_bytes() -> None:
    assert mapped(*both(LETTERS)) == [None, 1, 0, 0, 3]
    assert mapped(*both(ACCENTS)) == [1, None, 0, 2, 3]


def test_the_draft_ids_are_those_with_a_counterpart() -> None:
    intersection = Intersection(*both(LETTERS))
    assert intersection.draft_ids.tolist() == [1, 2, 3, 4]
    assert intersection.draft_ids_of(np.array([0, 2], np.int32)).tolist() == [2, 3]


def test_control_tokens_never_match_by_their_name_nor_by_bytes() -> None:
    draft = LongestMatch([b"a", b"<x>"], ["<end>", "<y>"])
    target = LongestMatch([b"a", b"<y>"], ["<end>", "<x>", "<y>"])
    assert mapped(draft, target) == [0, None, 2, None]


def test_tokens_without_bytes_never_match() -> None:
    assert mapped(LongestMatch([b"a", b""]), LongestMatch([b"", b"a"])) == [1, None, 2]


def test_of_equal_ids_of_the_target_the_one_it_writes_is_used() -> None:
    class Second(LongestMatch):
        def encode(self, text: str, *, special: bool) -> list[int]:
            return [{0: 2}.get(token, token) for token in super().encode(text, special=special)]

    pieces = [b"a", b"b", b"a", b"b", b"\xc3", b"\xc3"]
    assert mapped(LongestMatch([b"b", b"a", b"\xc3"]), Second(pieces))[:3] == [1, 2, 4]


def test_an_end_goes_to_the_end_of_its_name() -> None:
    draft = LongestMatch([b"a"], ["<turn>", "<text>"], ["<turn>", "<text>"])
    target = LongestMatch([b"a"], ["<text>", "<pad>", "<turn>"], ["<text>", "<pad>", "<turn>"])
    assert mapped(draft, target) == [0, 3, 1]


@pytest.mark.parametrize(
    ("names", "ends", "expected"),
    [
        (["<low>", "<turn>"], ["<low>", "<turn>"], 2),  # the lowest that has a name in common
        (["<x>", "<low>", "<high>"], ["<low>", "<high>"], 2),  # none has: the lowest of all
        (["<turn>"], [], None),
    ],
)
def test_an_end_of_another_name_goes_to_one_end(names: list[str], ends: list[str], expected: int | None) -> None:
    draft = LongestMatch([b"a"], ["</s>", "<turn>"], ["</s>", "<turn>"])
    assert mapped(draft, LongestMatch([b"a"], names, ends))[1] == expected


def test_an_end_that_is_no_control_token_is_not_matched_by_its_bytes() -> None:
    draft, target = LongestMatch([b"a", b"</s>"]), LongestMatch([b"</s>", b"a"])
    draft.eos_ids = frozenset({1})
    assert mapped(draft, target) == [1, 2, None]


def test_vocabularies_without_a_common_token_are_refused() -> None:
    with pytest.raises(VocabularyMismatchError, match="no token in common"):
        Intersection(LongestMatch([b"a"]), LongestMatch([b"b"]))


def test_q_is_restricted_summed_and_renormalised() -> None:
    found = Intersection(*both(LETTERS)).translate(over({0: 0.5, 1: 0.125, 2: 0.25, 3: 0.0625, 4: 0.0625}))
    assert found is not None
    assert found.kept == 0.5
    assert found.q.ids.tolist() == [0, 1, 3]
    assert found.q.probs.tolist() == [0.625, 0.25, 0.125]


def test_q_without_a_counterpart_is_none() -> None:
    intersection = Intersection(*both(LETTERS))
    assert intersection.translate(over({0: 1.0})) is None
    assert intersection.translate(over({0: 1.0, 1: 0.0})) is None


@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5), st.sampled_from([np.float64, np.float32]))
def test_translation_keeps_ratios_and_dtype(weights: list[float], dtype: type[np.floating]) -> None:
    total = sum(weights)
    if total < 0.01:
        return
    draft, target = both(LETTERS)
    q = Support(np.arange(5, dtype=np.int32), (np.array(weights) / total).astype(dtype))
    by_hand = {0: weights[2] + weights[3], 1: weights[1], 3: weights[4]}
    found = Intersection(draft, target).translate(q)
    if found is None:
        assert sum(by_hand.values()) == pytest.approx(0.0, abs=1e-30)
        return
    assert found.q.probs.dtype == dtype
    assert np.all(np.diff(found.q.ids) > 0)
    assert float(found.q.probs.sum()) == pytest.approx(1.0, abs=1e-6)
    assert found.kept == pytest.approx(sum(by_hand.values()) / total, abs=1e-6)
    for token, weight in by_hand.items():
        assert found.q.prob(token) * found.kept * total == pytest.approx(weight, abs=1e-5)


def test_the_choice_without_chance_is_the_best_that_has_a_counterpart() -> None:
    intersection = Intersection(*both(LETTERS))
    assert intersection.best_draft_id(np.array([9.0, 1.0, 2.0, 2.0, 0.0])) == 2
    assert intersection.best_draft_id_of(0, np.array([9.0, 5.0, 1.0, 2.0, 0.0])) == 3


def test_alternatives_are_merged_by_bytes() -> None:
    intersection = Intersection(*both(LETTERS))
    top = ((0, math.log(0.4)), (1, math.log(0.3)), (2, math.log(0.2)), (3, math.log(0.15)))
    found = intersection.translate_top(top)
    assert [token for token, _ in found] == [0, 1]
    assert [math.exp(logprob) for _, logprob in found] == pytest.approx([0.35, 0.3])


def test_text_is_read_into_the_drafts_ids() -> None:
    reencoder = Reencoder(*both(LETTERS))
    assert reencoder.ids([2, 1, 0]) == [2, 0, 2]  # "abba", as the draft writes it
    assert reencoder.ids([]) == []


def test_a_prefix_that_ends_inside_a_character_is_not_read() -> None:
    reencoder = Reencoder(*both(ACCENTS))
    assert reencoder.ids([2, 0]) is None
    assert reencoder.ids([2, 0, 1]) == [3, 1]


def test_letters_that_the_draft_lacks_are_not_read() -> None:
    assert Reencoder(LongestMatch([b"a"]), LongestMatch([b"a", b"b"])).ids([0, 1]) is None


def test_bytes_that_are_no_text_are_read_as_such() -> None:
    draft, target = LongestMatch([b"a", "\N{REPLACEMENT CHARACTER}".encode()]), LongestMatch([b"a", b"\xff", b"\xc3"])
    assert Reencoder(draft, target).ids([0, 1, 0]) == [0, 1, 0]
    assert Reencoder(draft, target).ids([2, 3, 0]) == [1, 2, 0]


def test_a_control_token_becomes_the_one_of_its_name_or_is_left_out() -> None:
    target = LongestMatch([b"a", b"b"], ["<user>", "<end>", "<image>"])
    draft = LongestMatch([b"b", b"ab", b"a"], ["<end>", "<user>"])
    assert Reencoder(draft, target).ids([2, 0, 1, 3, 0, 4, 1]) == [4, 1, 3, 2, 0]


def test_a_text_has_one_beginning() -> None:
    target = LongestMatch([b"a"], ["<s>", "<end>", "<bos>"], ["<end>"])
    draft = LongestMatch([b"a"], ["<bos>", "<end>"], ["<end>"], beginning=[1])
    reencoder = Reencoder(draft, target)
    assert reencoder.ids([0, 2, 0]) == [1, 0, 2, 0]
    assert reencoder.ids([3, 0]) == [1, 0]
    assert reencoder.ids([1]) == [1]


def test_a_tokenizer_that_begins_with_a_space_reads_a_text_whole() -> None:
    letters = [b"a", b"b", b" a", b" b", b" "]
    target, plain = LongestMatch(letters), LongestMatch(letters[::-1])
    spaced = LongestMatch(letters[::-1], space=True)
    assert Reencoder(plain, target).ids([0, 3, 2]) == [4, 1, 2]
    assert Reencoder(spaced, target).ids([0, 3, 2]) == [2, 1, 2]


TEXT = """def mean(values: list[float]) -> float:
    # the naïve mean,  of 12 values\t– 東京 is no number


    return sum(values) / len(values)

Two words, three  words; it's 3.14 or so. ÄÖÜ äöü don't\r\n\r\nmatter  """


@pytest.fixture(scope="module")
def published(smol_path: Path, qwen_paths: tuple[Path, Path]) -> tuple[Tokenizer, Tokenizer]:
    return VocabularyFile(smol_path), VocabularyFile(qwen_paths[0])


@pytest.mark.smol
@pytest.mark.qwen
def test_published_tokenizers_read_in_parts_what_they_read_whole(published: tuple[Tokenizer, Tokenizer]) -> None:
    smol, qwen = published
    for draft, target in ((smol, qwen), (qwen, smol)):
        reencoder = Reencoder(draft, target)
        ids = target.encode(TEXT, special=False)
        for end in range(1, len(ids) + 1):
            raw = b"".join(map(target.token_bytes, ids[:end]))
            try:
                expected = draft.encode(raw.decode(), special=False)
            except UnicodeDecodeError:
                assert reencoder.ids(ids[:end]) is None
            else:
                assert reencoder.ids(ids[:end]) == expected


@pytest.mark.smol
@pytest.mark.qwen
def test_a_chat_is_read_with_its_marks(published: tuple[Tokenizer, Tokenizer]) -> None:
    smol, qwen = published
    chat = smol.encode(smol.render_chat([{"role": "user", "content": "Hi"}]), special=True)
    read = [qwen.token_name(token) for token in Reencoder(qwen, smol).ids(chat) or []]
    assert "".join(read) == "".join(smol.token_name(token) for token in chat)
    assert set(read) > {"<|im_start|>", "<|im_end|>"}


@pytest.mark.smol
@pytest.mark.qwen
def test_published_ends_find_each_other(published: tuple[Tokenizer, Tokenizer]) -> None:
    smol, qwen = published
    intersection = Intersection(qwen, smol)
    for token in qwen.eos_ids:
        other = {"<|im_end|>": "<|im_end|>"}.get(qwen.token_name(token), "<|endoftext|>")
        assert smol.token_name(intersection.target_id(token) or 0) == other
