"""Characters of several tokens, and characters at which some clients end a line."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.server.api.logprobs import ScoredToken, TokenNames
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from support.api_client import Json, chat, complete, documents, only, post
from support.live_server import Server

PIECES = (b"\xc3", b"\xa4", b"a", b"\xe2\x82", b"\xac")
PROMPT = [2, 0, 1, 3, 4, 2, 0]  # a, two characters of two tokens each, a, and the beginning of another
FIELDS: Json = {
    "prompt": PROMPT,
    "max_tokens": 40,
    "ignore_eos": True,
    "temperature": 1,
    "seed": 4,
    "logprobs": 2,
    "return_token_ids": True,
    "speculation": {"drafter": "model", "k": 3},
}


def served(serve: Callable[..., Server], folder: Path, pieces: tuple[bytes, ...]) -> Server:
    """A server of a toy whose tokens are these pieces."""
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(folder))
    target, draft = ToyModel(0, pieces), ToyModel(0, pieces, mix=(7, 0.5))

    def load(_report: Any) -> Session:
        return Session(settings, open_local(target, draft, time.perf_counter), draft, time.perf_counter)

    server = serve(settings=settings, load=load)
    server.wait_until("ready")
    return server


@pytest.fixture
def bytes_server(serve: Callable[..., Server], tmp_path: Path) -> Server:
    """A server of a toy whose tokens are parts of characters."""
    return served(serve, tmp_path, PIECES)


def places(ids: list[int]) -> list[int]:
    """Where each token begins in the text that is decoded so far."""
    decoder, result, length = codecs.getincrementaldecoder("utf-8")(errors="replace"), [], 0
    for token in ids:
        result.append(length)
        length += len(decoder.decode((*PIECES, b"")[token]))
    return result


def test_offsets_are_places_in_the_text(bytes_server: Server) -> None:
    choice = only(complete(bytes_server, **FIELDS))

    assert choice["logprobs"]["text_offset"] == places(choice["token_ids"])
    assert len(set(choice["token_ids"])) == len(PIECES) + 1


def test_offsets_of_a_stream_are_those_of_an_answer(bytes_server: Server) -> None:
    parts = [only(document) for document in documents(bytes_server, "completions", **FIELDS)]
    whole = only(complete(bytes_server, **FIELDS))

    offsets = [offset for part in parts if part["logprobs"] for offset in part["logprobs"]["text_offset"]]
    assert offsets == whole["logprobs"]["text_offset"]
    assert "".join(part["text"] for part in parts) == whole["text"]
    assert [part.get("prompt_token_ids") for part in parts] == [PROMPT] + [None] * (len(parts) - 1)


def test_offsets_of_an_echoed_prompt(bytes_server: Server) -> None:
    choice = only(complete(bytes_server, echo=True, **FIELDS | {"max_tokens": 0}))

    assert choice["logprobs"]["text_offset"] == places(PROMPT)
    assert choice["text"] == "aä€a\ufffd"


def test_the_bytes_of_a_chat_are_those_of_the_tokens(bytes_server: Server) -> None:
    fields = {name: value for name, value in FIELDS.items() if name not in {"prompt", "logprobs"}}
    choice = only(chat(bytes_server, messages=[{"role": "user", "content": "a"}], logprobs=True, **fields))
    written = [token["bytes"] for token in choice["logprobs"]["content"]]

    assert written == [list((*PIECES, b"")[token]) or None for token in choice["token_ids"]]


def test_offsets_by_the_length_of_names_are_caught() -> None:
    names = TokenNames(ToyModel(0, PIECES).tokenizer)
    by_name = [ScoredToken(token, names.of(token), -1.0) for token in PROMPT]

    assert names.completion(by_name, 0, 0).text_offset != places(PROMPT)


def test_line_separators_do_not_end_the_lines_of_a_stream(serve: Callable[..., Server], tmp_path: Path) -> None:
    separators = "\u2028\x85\x1c\r\n"
    server = served(serve, tmp_path, tuple(character.encode() for character in separators))
    fields: Json = {"prompt": [0, 1], "max_tokens": 30, "ignore_eos": True, "temperature": 1, "seed": 1}
    whole = only(complete(server, **fields, speculation=False))["text"]
    response = post(server, "completions", {**fields, "speculation": False, "stream": True})
    lines = [line for line in response.text.splitlines() if line]  # at all of these characters

    assert set(whole) == set(separators)
    assert lines[-1] == "data: [DONE]"
    assert "".join(only(json.loads(line.removeprefix("data: ")))["text"] for line in lines[:-1]) == whole
