"""The documentation site: built without a warning, every page in its menu, nothing loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from types import FunctionType

import pytest

import speculatoviz
from support.documented import ROOT

DOCS = ROOT / "docs"
BUILD = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
# What a browser fetches by itself; a link is followed by a reader.
LOADED = re.compile(
    r"""(?:<(?:script|img|iframe|source|video)\b[^>]*\bsrc|<link\b[^>]*\bhref)=["']?((?:https?:)?//[^"' >]+)"""
)
IN_STYLES = re.compile(r"""(?:url\(|@import\s)\s*["']?((?:https?:)?//[^"') ;]+)""")
COMPUTED = (FunctionType, property, cached_property)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *BUILD, str(source), str(site)], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs")
    done = build(DOCS, made)
    assert (done.returncode, done.stderr) == (0, "")
    return made


def from_elsewhere(site: Path) -> list[str]:
    """Addresses of other hosts that a page of the site loads."""
    pages = [found for page in site.rglob("*.html") for found in LOADED.findall(page.read_text(encoding="utf-8"))]
    styles = [found for page in site.rglob("*.css") for found in IN_STYLES.findall(page.read_text(encoding="utf-8"))]
    return pages + styles


def test_every_page_is_there_and_in_the_menu(site: Path) -> None:
    menu = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert (site / f"{page.stem}.html").exists()
        assert page.stem == "index" or f'href="{page.stem}.html"' in menu


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert from_elsewhere(site) == []
    (site / "wrong.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example/a.css"><script src=//x.org/a.js>'
    )
    (site / "wrong.css").write_text("a { background: url(https://x.org/a.png) } @import 'http://x.org/b.css'")
    assert len(from_elsewhere(site)) == 4


def test_sources_are_reached_from_their_links(site: Path) -> None:
    page = (site / "exactness.html").read_text(encoding="utf-8")
    [link, *_] = re.findall(r'href="(_downloads/[^"]*/rejection\.py)"', page)
    own = ROOT / "src" / "speculatoviz" / "core" / "rejection.py"
    assert (site / link).read_bytes() == own.read_bytes()


def test_the_reference_has_every_public_name_and_member(site: Path) -> None:
    page = (site / "python-reference.html").read_text(encoding="utf-8")
    for name in speculatoviz.__all__:
        assert f'id="speculatoviz.{name}"' in page, name
        value = getattr(speculatoviz, name)
        assert value.__doc__, name
        members = vars(value).items() if isinstance(value, type) else ()
        for member, found in members:
            if not member.startswith("_"):
                assert f'id="speculatoviz.{name}.{member}"' in page, f"{name}.{member}"
                assert found.__doc__ or not isinstance(found, COMPUTED), f"{name}.{member} has no docstring"


def test_make_builds_as_this_test_does() -> None:
    assert f"$(PY) {' '.join(BUILD)} docs build/docs\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_a_broken_link_and_a_page_outside_of_the_menu_fail(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    (source / "index.md").write_text("# A\n\n[b](missing.md)\n")
    (source / "alone.md").write_text("# B\n\n[a folder](../docs) [nowhere](index.md#nothing)\n")
    done = build(source, tmp_path / "site")
    assert done.returncode != 0
    for words in ("missing.md", "included in any toctree", "nothing"):
        assert words in done.stderr
    assert "../docs" not in done.stderr
