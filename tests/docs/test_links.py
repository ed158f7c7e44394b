"""The documentation names files that exist: every relative link, and every path of the page on architecture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
# Paths on the page on architecture are relative to the repository, to one of these, or to a room of one of these.
SOURCES = [ROOT / "src" / "speculatoviz", ROOT / "frontend" / "src"]
NO_ROOMS = {"__pycache__", "page"}

LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?=.*/|.*\.(?:py|tsx?|md)$)\w[\w./-]*")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links without a file or, for a part of another page, without a heading."""
    broken = []
    for link in LINK.findall(text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def missing_paths(text: str) -> list[str]:
    """Paths in code marks that do not exist."""

    def exists(path: str) -> bool:
        found = any((base / path).exists() for base in [ROOT, *SOURCES])
        return found or any(True for base in SOURCES for _ in base.glob(f"*/{path}"))

    return [path for path in CODE.findall(text) if PATH.fullmatch(path) and not exists(path)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_every_path_on_the_page_on_architecture_exists() -> None:
    assert missing_paths(ARCHITECTURE.read_text(encoding="utf-8")) == []


def test_the_page_on_architecture_names_every_room() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    folders = [folder for base in SOURCES for folder in base.iterdir() if folder.is_dir()]
    rooms = [folder.name for folder in folders if folder.name not in NO_ROOMS]
    assert len(rooms) > 20
    assert [room for room in rooms if f"`{room}/" not in text] == []


def test_a_wrong_link_a_wrong_heading_and_a_wrong_path_are_found() -> None:
    text = "[a](engine.md) [b](metrics.md) [c](exactness.md#labels) [d](exactness.md#no-such) [e](https://x.org/y.md)"
    assert broken_links(ARCHITECTURE, text) == ["engine.md", "exactness.md#no-such"]
    named = "`core/rejection.py` `core/refusal.py` `hosted/` `frontend/src/run/model.ts` `frontend/src/a.ts` `App.tsx`"
    assert missing_paths(named) == ["core/refusal.py", "frontend/src/a.ts"]
    assert missing_paths("`Draft` `/ws/tokens` `.env` `Target.begin`") == []
