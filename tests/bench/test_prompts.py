"""The comparison of times to the first token: what it computes with the prompt cache, and that it does without."""

from __future__ import annotations

from typing import Any

import pytest

from speculatoviz.bench.prompts import Pair, measure, summary
from support import toy_session

DOCUMENTS = ("the miller had two cats and a mill by the river " * 4, "the quick brown fox jumps over the dog " * 4)
QUESTIONS = ["who is in it", "what is it about", "is it true", "where is it"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    session = toy_session.load(tmp_path_factory.mktemp("prompts"))
    try:
        return measure(session, DOCUMENTS, QUESTIONS, 8)
    finally:
        session.close()


def pairs(measured: dict[str, Any], case: str) -> list[Pair]:
    return [Pair(**pair) for pair in measured[case]["pairs"]]


@pytest.mark.parametrize("case", ["chat", "one_document", "two_documents"])
def test_without_the_cache_everything_is_computed(measured: dict[str, Any], case: str) -> None:
    for pair in pairs(measured, case):
        assert pair.computed_without == pair.prompt_tokens
        assert pair.ttft_ms > 0
        assert pair.ttft_without_ms > 0


def test_a_turn_of_a_chat_computes_what_is_new(measured: dict[str, Any]) -> None:
    turns = pairs(measured, "chat")
    assert turns[0].computed_tokens == turns[0].prompt_tokens
    for before, turn, question in zip(turns, turns[1:], QUESTIONS[1:], strict=False):
        assert turn.prompt_tokens > before.prompt_tokens
        assert turn.computed_tokens <= len(question) + 1


def test_a_document_is_computed_once(measured: dict[str, Any]) -> None:
    first, *others = pairs(measured, "one_document")
    assert first.computed_tokens == first.prompt_tokens
    assert all(pair.computed_tokens <= max(map(len, QUESTIONS)) for pair in others)
    one, two, *others = pairs(measured, "two_documents")
    for pair in (one, two):
        assert pair.computed_tokens > len(DOCUMENTS[1]) - len("the "), "only how it begins is shared"
    assert all(pair.computed_tokens <= max(map(len, QUESTIONS)) for pair in others)


def test_the_ratio_leaves_out_prompts_of_which_nothing_was_held() -> None:
    cold, warm = Pair(100, 100, 100, 50.0, 50.0), [Pair(100, 10, 100, 10.0, ms) for ms in (40.0, 50.0, 90.0)]
    assert summary([cold, *warm])["ratio"] == {"median": 5.0, "least": 4.0, "most": 9.0}
    assert summary([cold])["ratio"] is None
