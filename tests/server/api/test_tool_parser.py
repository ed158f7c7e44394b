"""Calls are read from a text in whatever pieces it comes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.server.api.tools import Found, ToolCallParser, joined, whole


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def read(text: str, cuts: list[int]) -> tuple[Found, int]:
    """What a parser finds in a text that is cut at these places, and how many calls are whole."""
    ids = itertools.count()
    parser = ToolCallParser(lambda: f"call_{next(ids)}")
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    found = Found()
    for start, end in itertools.pairwise(places):
        found = joined(found, parser.push(text[start:end]))
    return whole(joined(found, parser.finish())), parser.complete


NESTED = '{"a": {"b": "}<tool_call>"}, "c": [1]}'
TEXTS: dict[str, tuple[str, str, list[tuple[str, str]], int]] = {
    "no call": ("Just <tool text>", "Just <tool text>", [], 0),
    "one call": (call("f", '{"x": 1}'), "", [("f", '{"x": 1}')], 1),
    "two calls": (call("f", "{}") + "\n" + call("g", NESTED), "", [("f", "{}"), ("g", NESTED)], 2),
    "text before": ("I ask. " + call("f", "{}"), "I ask.", [("f", "{}")], 1),
    "text after": (call("f", "{}") + " Done.", " Done.", [("f", "{}")], 1),
    "cut in the arguments": (
        call("f", "{}") + "\n" + call("g", NESTED)[:-20],
        "",
        [("f", "{}"), ("g", NESTED[:-6])],
        1,
    ),
    "cut in the name": (call("weather", "{}")[:20], "", [], 0),
    "cut in the tag": ("So <tool_c", "So <tool_c", [], 0),
    "spaces": ("  \n ", "  \n ", [], 0),
    "nothing": ("", "", [], 0),
}


@pytest.mark.parametrize(("text", "content", "calls", "complete"), TEXTS.values(), ids=TEXTS.keys())
@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=12))
def test_a_text_is_read_alike_in_any_pieces(
    text: str, content: str, calls: list[tuple[str, str]], complete: int, cuts: list[int]
) -> None:
    found, done = read(text, cuts)
    assert found.content == content
    assert [(c.function.name, c.function.arguments) for c in found.calls] == calls
    assert [c.id for c in found.calls] == [f"call_{index}" for index in range(len(calls))]
    assert done == complete
