"""The Python programs and the curl command of the documentation run, on toy models and a server with toys."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import speculatoviz as sv
from support import environment
from support.documented import ROOT, programs, shell_commands
from support.live_server import PATIENCE_S, Server, Toys

DOCS = ROOT / "docs"
ADDRESS = "127.0.0.1:8000"
# Texts and models of the pages, and what stands in for them: the toy reads small letters only.
TOY = [
    (r"qwen2\.5-coder-1\.5b-instruct", "toy:0"),
    (r"qwen2\.5-coder-0\.5b-instruct", "toy:0~7"),
    (r"(Write|Why)\b[^\"]*|def fib\(n\):", "once upon a time"),
    (r"(first|second) prompt", r"\1 prompt"),
]


def on_toys(text: str, server: str = ADDRESS) -> str:
    for pattern, name in [*TOY, (re.escape(ADDRESS), server)]:
        text = re.sub(pattern, name, text)
    return text


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """host:port of a server with toy models."""
    toys = Toys(tmp_path)
    running = Server(toys.settings, toys.load)
    try:
        running.wait_until("ready")
        yield f"127.0.0.1:{running.port}"
    finally:
        running.stop()


def printed(code: str, names: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """What a program prints, and the names that it leaves."""
    found, output = dict(names or {"__name__": "__main__"}), io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "documented", "exec"), found)  # noqa: S102 (our own page)
    return output.getvalue(), found


def test_the_client_of_openais_library(server: str) -> None:
    [code] = [text for text in programs(DOCS / "api.md") if "openai" in text]
    text, _ = printed(on_toys(code, server))
    assert "exact" in text


def test_the_client_of_the_socket(server: str) -> None:
    [code] = [text for text in programs(DOCS / "protocol.md") if "websockets" in text]
    text, _ = printed(on_toys(code, server))
    assert re.search("[a-z]", text)


def test_curl_gets_a_stream(server: str) -> None:
    [command] = [found for found in shell_commands(DOCS / "api.md") if found.words[0] == "curl"]
    words = [on_toys(word, server) for word in command.words]
    done = subprocess.run(
        [*words, "-sS", "--noproxy", "*"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.startswith("data: {")
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_the_programs_of_the_python_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.clean(monkeypatch, tmp_path)
    monkeypatch.setenv("SPECULATOVIZ_MAX_TOKENS", "16")
    first, *others = [on_toys(text) for text in programs(DOCS / "python.md")]
    text, names = printed(first)
    assert "exact" in text
    with sv.load(target="toy:0", draft="toy:0~7", drafter="model") as pair:
        pair.generate("once upon a time", k=4, record_depth=5).save("run.jsonl")
        for code in others:  # the page goes on with the pair of its first program
            text, _ = printed(code, {**names, "pair": pair})
            assert text
    [asked] = [text for text in programs(DOCS / "whatif.md") if "what_if" in text]
    text, names = printed(asked)
    assert names["answer"].best in {1, 2, 4} | {0}
