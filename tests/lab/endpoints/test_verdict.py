"""The verdict about a departure, from its scores alone; and what the scores are read from."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.lab.endpoints.continuation import (
    Continuation,
    GeneratedToken,
    departure,
    lying,
    margin,
    paired,
    read_choice,
    runner_up,
    text_departure,
)
from speculatoviz.lab.endpoints.verdict import Kind, Scores, judge
from speculatoviz.targets.hosted.answers import Completion

nats = st.none() | st.floats(-20, 20)


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (Scores(None, None, None, "A"), "cannot tell"),
        (Scores(0.005, 0.004, None, None), "near tie"),
        (Scores(0.2, -0.1, 0.1, "A"), "near tie"),
        (Scores(0.2, 0.2, 0.2, "A", (0.01, 0.3)), "near tie"),
        (Scores(0.2, 0.2, 0.2, "A", (0.01,)), "cannot tell"),
        (Scores(3.0, 3.0, -3.0, "B"), "cannot tell"),
        (Scores(3.0, 3.0, None, "B"), "cannot tell"),
        (Scores(3.0, 3.0, 3.0, None), "cannot tell"),
        (Scores(3.0, 3.0, 3.0, "A"), "verifier wrong"),
        (Scores(3.0, None, None, "A"), "verifier wrong"),
        (Scores(3.0, 3.0, 3.0, "A", (0.9,)), "cannot tell"),
    ],
)
def test_the_scores_decide(scores: Scores, kind: Kind) -> None:
    assert judge(scores).kind == kind
    assert judge(scores).reason.endswith(".")


@settings(deadline=None, max_examples=40)
@given(st.builds(Scores, nats, nats, nats, st.sampled_from(["A", "B", None]), st.lists(st.floats(0, 5), max_size=4)))
def test_no_bug_is_found_where_the_noise_explains_it(scores: Scores) -> None:
    known = [value for value in (scores.one_row, scores.many_rows) if value is not None]
    if judge(scores).kind == "verifier wrong":
        assert min(known) > scores.noise
        assert scores.choice == "A"
        assert math.tanh(min(known) / 2) / 2 > math.tanh(scores.noise / 2) / 2


def text(*tokens: str, ended: bool = False, ids: tuple[int, ...] = ()) -> Continuation:
    found = tuple(GeneratedToken(token, -1.0, {token: -1.0}) for token in tokens)
    return Continuation("".join(tokens), found, ids, (), ended, None, None)


def test_the_first_departure_is_found() -> None:
    assert departure(text("a", "b"), text("a", "b")) is None
    assert departure(text("a", "b"), text("a", "c")) == 1
    assert departure(text("a", "b"), text("a", "b", "c")) is None  # cut by the limit
    assert departure(text("a", "b", ended=True), text("a", "b", "c")) == 2
    assert departure(text("a", "b", ids=(1, 2)), text("a", "b", ids=(1, 3))) == 1  # two tokens with one text
    assert departure(text("a", "b", ids=(1, 2)), text("a", "b")) is None
    assert paired(text("a"), text()) is None
    assert text_departure(text("ab"), text("ac")) == 1
    assert text_departure(text("ab"), text("abc")) is None
    assert text_departure(text("ab", ended=True), text("abc")) == 2


def test_a_margin_is_at_least_what_is_known() -> None:
    top = {"a": -0.1, "b": -2.0, "c": -3.0}
    assert margin(top, "a", "b") == pytest.approx(1.9)
    assert margin(top, "b", "a") == pytest.approx(-1.9)
    assert margin(top, "a", "z") == pytest.approx(2.9)  # z has at most the least of the known ones
    assert margin(top, "y", "z") is None
    assert margin(top, "a", "a") is None
    assert margin({}, "a", "b") is None
    assert margin({"a": -0.1, "b": -math.inf}, "a", "b") is None
    assert runner_up(GeneratedToken("a", -0.1, top)) == "b"
    assert runner_up(GeneratedToken("a", -0.1, {"a": -0.1})) is None


def test_runs_of_exact_zeros_are_no_scores() -> None:
    def tokens(*logprobs: float | None, top: bool = True) -> list[GeneratedToken]:
        return [GeneratedToken("a", logprob, {"a": logprob or 0.0} if top else {}) for logprob in logprobs]

    zeros, scores = tokens(-0.1, 0.0, 0.0, 0.0, -0.2, 0.0), tokens(*[-0.1] * 6)
    assert lying(zeros, scores) == 3  # the last one stands alone
    assert lying(zeros, zeros) == 0  # both engines are sure of these tokens
    assert lying(zeros, []) == 0
    assert lying([*tokens(-0.1), *tokens(0.0, 0.0, top=False)], []) == 2  # alternatives are missing
    assert lying(tokens(0.0, 0.0, top=False), []) == 0  # this engine reports none at all
    assert lying(tokens(None, None), scores) == 0


def test_both_forms_of_logprobs_are_read() -> None:
    lists = {"tokens": ["a", "b"], "token_logprobs": [-0.1, -0.2], "top_logprobs": [{"a": -0.1}, None]}
    entries = {
        "content": [
            {"id": 5, "token": "a", "logprob": -0.1, "top_logprobs": [{"id": 5, "token": "a", "logprob": -0.1}]},
            {"id": 6, "token": "b", "logprob": -0.2, "top_logprobs": []},
        ]
    }
    for logprobs in (lists, entries):
        found = read(logprobs)
        assert [token.text for token in found.tokens] == ["a", "b"]
        assert found.tokens[0].top == {"a": -0.1}
        assert (found.ids, found.prompt_ids, found.prompt_tokens, found.completion_tokens) == ((5, 6), (1, 2), 2, 2)


def read(logprobs: Any) -> Continuation:
    answer = Completion.model_validate(
        {
            "choices": [{"text": "ab", "logprobs": logprobs, "token_ids": [5, 6], "prompt_token_ids": [1, 2]}],
            "usage": {"prompt_tokens": 2, "completion_tokens": 2},
        }
    )
    return read_choice(answer.choices[0], answer)


KEYS = st.sampled_from(["content", "tokens", "token_logprobs", "top_logprobs", "token", "logprob"])
anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=40)
@given(anything)
def test_logprobs_of_any_shape_are_read(logprobs: Any) -> None:
    found = read(logprobs)
    assert paired(found, found) is not None  # the ids are there
    assert departure(found, found) is None
    assert lying(found.tokens, found.tokens) >= 0
