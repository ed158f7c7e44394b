"""Parsing a frame: a checked message, or an error in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.config import RANGES
from speculatoviz.errors import BadRequestError
from speculatoviz.server.messages import MAX_MESSAGE_BYTES, parse
from speculatoviz.server.socket_run import failure
from speculatoviz.telemetry.messages import Cancel, Start, Update

plain_text = st.text(st.sampled_from('kt07-+.eE"\\{}[]:,/ \n\0\u2028é語'), max_size=40)
any_text = st.text(st.sampled_from("ak0 \n\0\u2028é語\ud800"), max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
fields = sorted({*Start.model_fields, *Update.model_fields, "colour"})


def read(message: dict[str, Any]) -> Start | Update | Cancel:
    return parse(json.dumps(message))


def test_a_start_needs_no_type() -> None:
    assert read({"prompt": "a", "max_tokens": 5, "temperature": 0.5, "k": 3}) == Start(
        prompt="a", max_tokens=5, temperature=0.5, k=3
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "start", "prompt": "a"}, Start(prompt="a")),
        ({"type": "update", "k": 2}, Update(type="update", k=2)),
        ({"type": "update", "drafter": "ngram"}, Update(type="update", drafter="ngram")),
        ({"type": "cancel"}, Cancel(type="cancel")),
    ],
)
def test_the_type_selects_the_message(message: dict[str, Any], expected: Start | Update | Cancel) -> None:
    assert read(message) == expected


@pytest.mark.parametrize("name", sorted(name for name, allowed in RANGES.items() if allowed.enforced))
def test_the_ends_of_every_range_are_allowed_and_values_beyond_are_not(name: str) -> None:
    allowed = RANGES[name]
    whole = name in {"k", "top_k", "max_tokens"}
    for end in (allowed.minimum, allowed.maximum):
        value = int(end) if whole else end
        assert getattr(read({"prompt": "a", name: value}), name) == value
    for beyond in (allowed.minimum - 1, allowed.maximum + 1):
        with pytest.raises(BadRequestError) as refused:
            read({"prompt": "a", name: int(beyond) if whole else beyond})
        assert f"{allowed.minimum:g} to {allowed.maximum:g}" in refused.value.message
        assert name in refused.value.message


@settings(deadline=None)
@given(plain_text)
def test_any_text_is_parsed_or_refused_in_words(text: str) -> None:
    check(text)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(fields), anything, max_size=4))
def test_any_document_is_parsed_or_refused_in_words(document: dict[str, Any]) -> None:
    check(json.dumps(document))


def check(text: str) -> None:
    error: BadRequestError | None = None
    try:
        message = parse(text)
    except BadRequestError as refusal:
        error = refusal
    if error is None:
        assert isinstance(message, Start | Update | Cancel)
    else:
        sent = failure(error, None)
        assert sent.message
        assert sent.hint
        assert len(sent.message) < 500
        assert json.loads(sent.model_dump_json())["code"] == "bad_request"


def test_a_refused_value_is_quoted_shortly() -> None:
    with pytest.raises(BadRequestError) as refused:
        read({"prompt": "a", "drafter": 7, "rule": "x" * 5000})

    assert len(str(refused.value)) < 200


def test_the_allowed_size_is_64_kib() -> None:
    assert MAX_MESSAGE_BYTES == 65536
    parse(json.dumps({"prompt": ""}).ljust(65536))
    with pytest.raises(BadRequestError, match="65537 bytes and 65536 are allowed"):
        parse(json.dumps({"prompt": ""}).ljust(65537))
