"""The commands and the programs that the documentation shows."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "cli.md"),  # generated: `--help` texts alone
]

_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`(speculatoviz [^`]+)`(?!`)")
_COMMENT = re.compile(r"(^|\s)#(\s.*)?$")
_PROGRAM = (".venv/bin/python", "-m", "speculatoviz")


@dataclass(frozen=True)
class Documented:
    """A command as a page shows it. line: of the page. words: of the command, without what a shell takes away."""

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {shlex.join(self.words)}"


def shell_commands(page: Path) -> list[Documented]:
    """The commands of a page's shell blocks, in order."""
    return [found for line, text in _lines(page.read_text(encoding="utf-8")) for found in _parts(page, line, text)]


def mentioned(page: Path) -> list[Documented]:
    """The commands of this program that a page names between its sentences."""
    text = page.read_text(encoding="utf-8")
    found = [(text.count("\n", 0, span.start()) + 1, span[1].replace("\n", " ")) for span in _SPAN.finditer(text)]
    return [Documented(page.name, line, tuple(shlex.split(words))) for line, words in found]


def programs(page: Path) -> list[str]:
    """The Python blocks of a page, in order."""
    return [block[2] for block in _BLOCK.finditer(page.read_text(encoding="utf-8")) if block[1] == "python"]


def _lines(text: str) -> list[tuple[int, str]]:
    """(number, line) of all shell blocks: continued lines are joined, comments and empty lines are left out."""
    lines = list[tuple[int, str]]()
    for block in _BLOCK.finditer(text):
        if block[1] != "sh":
            continue
        number, kept = text.count("\n", 0, block.start(2)), ""
        for line in block[2].splitlines():
            number += 1
            kept += _COMMENT.sub("", line)
            if kept.endswith("\\"):
                kept = kept[:-1]
                continue
            if kept.strip():
                lines.append((number, kept.strip()))
            kept = ""
    return lines


def _parts(page: Path, line: int, text: str) -> list[Documented]:
    """The commands of a line: `sudo`, pipes into other programs and redirections are left out."""
    found = list[Documented]()
    for part in text.split(" && "):
        words = tuple(shlex.split(re.split(r"\s[|<>]\s", part)[0]))
        words = words[1:] if words[0] == "sudo" else words
        if words[: len(_PROGRAM)] == _PROGRAM:
            words = ("speculatoviz", *words[len(_PROGRAM) :])
        found.append(Documented(page.name, line, words))
    return found
