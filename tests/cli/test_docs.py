"""The page on the command line is what the commands print."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from support.commands import commands

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cli_docs", ROOT / "scripts" / "cli_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == script().document(), "run `make fix`"


def test_every_command_has_its_section() -> None:
    text = script().document()

    for name in commands():
        assert f"\n## speculatoviz {name}\n" in text
        assert f"Usage: speculatoviz {name} " in text
    assert "{" not in text.split("## speculatoviz\n")[0]
