"""Structured output: the text follows what was asked for, with speculation and without, and is that of the mask."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.progress import Progress
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from support.api_client import CHAT, FIXED, TEXT, Json, chat, complete, documents, only, refusal
from support.live_server import Server

CHARACTERS = [bytes([code]) for code in range(32, 127)] + [b"\n", b'{"', b'": ', b", ", b"name", b"true"]
PLAIN = False
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "kind": {"enum": ["big", "small"]},
        "sizes": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 2},
    },
    "required": ["name", "kind", "sizes"],
    "additionalProperties": False,
}
FORMAT: Json = {"response_format": {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of toys whose tokens are characters and some words."""
    folder: Path = tmp_path_factory.mktemp("written")
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(folder))
    target, draft = ToyModel(0, CHARACTERS), ToyModel(0, CHARACTERS, mix=(7, 0.3))

    def load(report: Progress) -> Session:
        session = Session(settings, open_local(target, draft, time.perf_counter), draft, time.perf_counter)
        session.calibration.measure(session.encode_turn("write"), lambda: 3, report)
        return session

    server = Server(settings, load)
    server.wait_until("ready")
    yield server
    server.stop()


def fits(document: Any) -> bool:
    """Whether a document follows SCHEMA."""
    return (
        isinstance(document, dict)
        and list(document) == ["name", "kind", "sizes"]
        and isinstance(document["name"], str)
        and len(document["name"]) <= 4
        and document["kind"] in {"big", "small"}
        and all(type(size) is int and 0 <= size <= 99 for size in document["sizes"])
        and len(document["sizes"]) <= 2
    )


SPECULATION: list[Any] = [
    PLAIN,
    FIXED,
    {"drafter": "suffix", "k": 3},
    {"drafter": "ngram", "k": 4},
    {"k": 2, "drafter": "mixture"},
]


@pytest.mark.parametrize("speculation", SPECULATION, ids=str)
def test_a_document_follows_its_schema(server: Server, speculation: Any) -> None:
    for seed in range(2):
        choice = only(chat(server, **FORMAT, seed=seed, temperature=1, max_tokens=400, speculation=speculation))
        assert choice["finish_reason"] == "stop"
        assert fits(json.loads(choice["message"]["content"])), choice


def test_greedy_text_is_that_of_plain_decoding(server: Server) -> None:
    asked = FORMAT | {"temperature": 0, "max_tokens": 400}
    plain = only(chat(server, **asked, speculation=PLAIN))["message"]["content"]
    for speculation in SPECULATION:
        assert only(chat(server, **asked, speculation=speculation))["message"]["content"] == plain


def test_a_text_that_is_cut_off_is_the_beginning_of_a_document(server: Server) -> None:
    asked = FORMAT | {"temperature": 0}
    whole = only(chat(server, **asked, max_tokens=400))["message"]["content"]
    for limit in (1, 2, 9):
        for speculation in (PLAIN, FIXED):
            choice = only(chat(server, **asked, max_tokens=limit, speculation=speculation))
            assert choice["finish_reason"] == "length"
            assert whole.startswith(choice["message"]["content"])


def test_a_stream_has_the_same_text(server: Server) -> None:
    asked = FORMAT | {"seed": 5, "temperature": 1, "max_tokens": 400, "speculation": FIXED}
    streamed = documents(server, "chat/completions", messages=CHAT, **asked)
    text = "".join(only(document)["delta"].get("content") or "" for document in streamed)
    assert text == only(chat(server, **asked))["message"]["content"]
    assert fits(json.loads(text))


REGEX = "(yes|no)(, (yes|no)){0,3}"
PATTERNS: dict[str, tuple[Json, str]] = {
    "any object": ({"response_format": {"type": "json_object"}}, r"\{.*\}"),
    "guided_json": ({"guided_json": {"enum": ["x", 1]}}, '"x"|1'),
    "guided_json, as a text": ({"guided_json": '{"enum": ["x", 1]}'}, '"x"|1'),
    "json_schema": ({"json_schema": {"enum": ["x", 1]}}, '"x"|1'),
    "guided_regex": ({"guided_regex": REGEX}, REGEX),
    "guided_choice": ({"guided_choice": ["one", 'two "quoted"']}, 'one|two "quoted"'),
    "guided_grammar": ({"guided_grammar": 'start: "a" /[bc]/'}, "a[bc]"),
    "grammar": ({"grammar": 'root ::= "a" [bc]'}, "a[bc]"),
    "structured json": ({"structured_outputs": {"json": {"enum": ["x", 1]}}}, '"x"|1'),
    "structured object": ({"structured_outputs": {"json_object": True}}, r"\{.*\}"),
    "structured regex": ({"structured_outputs": {"regex": REGEX}}, REGEX),
    "structured choice": ({"structured_outputs": {"choice": ["one", "two"]}}, "one|two"),
    "structured grammar": ({"structured_outputs": {"grammar": 'root ::= "a" [bc]'}}, "a[bc]"),
}


@pytest.mark.parametrize(("fields", "pattern"), PATTERNS.values(), ids=PATTERNS.keys())
def test_every_dialect_is_followed(server: Server, fields: Json, pattern: str) -> None:
    for seed in range(2):
        choice = only(complete(server, prompt=TEXT, seed=seed, temperature=1, max_tokens=60, **fields))
        if choice["finish_reason"] == "stop":
            assert re.fullmatch(pattern, choice["text"])
        else:
            assert choice["text"].startswith("{")  # a toy seldom ends a string
            assert "object" in str(fields)


WRONG: list[tuple[str, Json, str]] = [
    ("response_format", {"response_format": {"type": "json_schema"}}, "needs json_schema"),
    ("response_format", {"response_format": {"type": "json_schema", "json_schema": {}}}, "schema is missing"),
    ("response_format", {"response_format": {"type": "xml"}}, "response_format"),
    ("guided_choice", {"guided_choice": []}, "guided_choice"),
    ("guided_json", {"guided_json": "no schema"}, "a schema is a JSON object"),
    ("", {"guided_regex": "a", "guided_json": {"type": "object"}}, "several structures"),
    ("", {"guided_regex": "(a"}, "grammar cannot be used"),
    ("", {"guided_json": {"type": "nothing"}}, "grammar cannot be used"),
    ("", {"grammar": "root ::= nothing"}, "grammar cannot be used"),
    ("", {"guided_regex": "a", "ignore_eos": True}, "needs the end token"),
    ("", {"guided_regex": "a" * 200_000}, "allowed are"),
]


@pytest.mark.parametrize(("param", "fields", "word"), WRONG, ids=lambda value: str(value)[:40])
def test_structures_that_cannot_be_followed_are_refused_in_words(
    server: Server, param: str, fields: Json, word: str
) -> None:
    error = refusal(server, "completions", {"prompt": TEXT, **fields})
    assert word in error["message"]
    assert error["param"] == (param or None)


def test_a_structure_that_the_vocabulary_cannot_write_ends_the_run_in_words(server: Server) -> None:
    error = refusal(server, "completions", {"prompt": TEXT, "guided_regex": "[äö]+"}, 500)
    assert "No token of the model continues" in error["message"]
    assert only(complete(server, prompt=TEXT, guided_regex="yes"))["text"] == "yes"  # the server goes on


# --- tools -----------------------------------------------------------------------------------------------

PARAMETERS: Json = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now"}},
]


def calls(message: Json) -> list[tuple[str, Any]]:
    assert all(call["type"] == "function" and call["id"].startswith("call_") for call in message["tool_calls"])
    return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message["tool_calls"]]


def known(name: str, arguments: Any) -> bool:
    """Whether a call is one of TOOLS."""
    if name == "now":
        return arguments == {}
    return name == "weather" and arguments["city"] in {"Rome", "Oslo"} and 1 <= arguments["days"] <= 9


@pytest.mark.parametrize("speculation", [PLAIN, FIXED], ids=["plain", "speculative"])
def test_a_required_call_is_one_of_the_tools(server: Server, speculation: Any) -> None:
    names = set[str]()
    for seed in range(4):
        asked = {
            "tools": TOOLS,
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "seed": seed,
            "temperature": 1,
        }
        choice = only(chat(server, **asked, max_tokens=400, speculation=speculation))
        assert choice["finish_reason"] == "tool_calls"
        assert "content" not in choice["message"]
        [(name, arguments)] = calls(choice["message"])
        assert known(name, arguments)
        names.add(name)
    assert names == {"weather", "now"}


def test_a_tool_can_be_chosen_by_name(server: Server) -> None:
    chosen = {"type": "function", "function": {"name": "now"}}
    asked = {"tools": TOOLS, "tool_choice": chosen, "parallel_tool_calls": False, "max_tokens": 400}
    for seed in range(3):
        assert calls(only(chat(server, **asked, seed=seed, temperature=1))["message"]) == [("now", {})]


def test_streamed_calls_are_those_of_the_whole_answer(server: Server) -> None:
    asked = {"tools": TOOLS, "tool_choice": "required", "seed": 3, "temperature": 1, "speculation": FIXED}
    whole = only(chat(server, **asked, max_tokens=120))
    streamed = documents(server, "chat/completions", messages=CHAT, **asked, max_tokens=120)
    parts = [call for document in streamed for call in only(document)["delta"].get("tool_calls", [])]
    joined: dict[int, Json] = {}
    for part in parts:
        if "id" in part:
            joined[part["index"]] = {"name": part["function"]["name"], "arguments": ""}
        joined[part["index"]]["arguments"] += part["function"]["arguments"]

    assert len(parts) > len(joined)
    assert only(streamed[-1])["finish_reason"] == whole["finish_reason"]
    expected = [call["function"] for call in whole["message"]["tool_calls"]]
    assert list(joined.values()) == expected


def test_an_answer_with_tools_may_be_a_text(server: Server) -> None:
    asked = {"tools": TOOLS, "temperature": 0, "max_tokens": 30, "speculation": FIXED}
    plain = only(chat(server, **asked | {"speculation": PLAIN}))
    choice = only(chat(server, **asked))
    assert choice == plain
    assert choice["message"]["content"]
    assert "tool_calls" not in choice["message"]


def test_tools_and_calls_and_results_are_part_of_the_prompt(server: Server) -> None:
    turns: list[Json] = [
        {"role": "system", "content": "Be brief."},
        *CHAT,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
                {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
        {"role": "tool", "tool_call_id": "call_2", "content": "night"},
    ]
    answer = chat(server, messages=turns, tools=TOOLS, max_tokens=1, temperature=0)
    bare = chat(server, messages=turns, tools=TOOLS, tool_choice="none", max_tokens=1, temperature=0)
    written = (
        "Be brief."
        + TEXT
        + '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>' * 2
        + "\n"
        + "<tool_response>\nnoon\n</tool_response>\n<tool_response>\nnight\n</tool_response>"
    )
    assert bare["usage"]["prompt_tokens"] == tokens_of(written)
    assert answer["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"] + len(json.dumps(PARAMETERS))


def tokens_of(text: str) -> int:
    """The toy writes one token for each character."""
    return len(text)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}, "not among the tools"),
        ({"tools": [TOOLS[1], TOOLS[1]]}, "one name"),
        ({"tools": TOOLS, **FORMAT}, "structure of its own"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "no"}}}]}, "grammar cannot"),
        ({"tools": TOOLS * 65}, "tools"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_tools_that_contradict_themselves_are_refused(server: Server, fields: Json, word: str) -> None:
    assert word in refusal(server, "chat/completions", {"messages": CHAT, **fields})["message"]
