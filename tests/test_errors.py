"""Errors of others enter messages as a clause in words: one line, without a path, an address or a number."""

from __future__ import annotations

import errno
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import reason_of

SOURCE = Path(__file__).parents[1] / "src" / "speculatoviz"


def raised(work: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each has a type of its own)
        work()
    return caught.value


def refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        socket.create_connection(unused.getsockname(), 5.0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (raised(Path("/nowhere/at/all").read_text), "No such file or directory"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/private"), "Permission denied"),
        (raised(refused), "Connection refused"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 8100)"), "Connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] …"),
            "Connection refused",
        ),
        (TimeoutError(), "it took too long"),
        (raised(b"\xff".decode), "it is not text in UTF-8"),
        (raised(lambda: json.loads("{")), "Expecting property name enclosed in double quotes at line 1, column 2"),
        (raised(lambda: __import__("no_such_package.part")), "the package no_such_package is not installed"),
        (raised(lambda: {}["hidden_size"]), "'hidden_size' is missing"),
        (MemoryError(), "there is not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (ValueError("two\n  lines.\n"), "two lines"),
        (ValueError(), "ValueError"),
        (ValueError(400 * "a"), 300 * "a"),
    ],
    ids=str,
)
def test_an_error_of_others_is_a_clause_in_words(error: Exception, words: str) -> None:
    assert reason_of(error) == words


RAW = re.compile(r"""\(\{(error|cause|exc)\}\)|\{error!r\}|\(\{str\(error\)""")


def raw_errors(text: str) -> list[str]:
    """The lines that put an error into a sentence as it is."""
    return [line for line in text.splitlines() if RAW.search(line)]


def test_no_message_contains_an_error_as_it_is() -> None:
    files = [file for file in SOURCE.rglob("*.py") if "built" not in file.parts]
    assert len(files) > 100
    assert {file.name: raw for file in files if (raw := raw_errors(file.read_text(encoding="utf-8")))} == {}


def test_a_message_with_an_error_as_it_is_would_be_found() -> None:
    assert raw_errors('raise ModelError(f"{path} cannot be read ({error}).", hint)')
    assert not raw_errors('raise ModelError(f"{path} cannot be read ({reason_of(error)}).", hint)')
