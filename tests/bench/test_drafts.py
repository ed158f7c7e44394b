"""The comparison of versions of a draft model: what is counted, with tiny files on every runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speculatoviz.bench.drafts import parse_version
from speculatoviz.cli.app import app
from speculatoviz.errors import BadRequestError
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.matrix import pass_bytes
from support import environment
from support.runtimes import of_gguf
from support.wide_vocabulary import write_wide


def test_a_version_is_a_type_a_vocabulary_or_both() -> None:
    assert parse_version("file") == (None, None)
    assert parse_version("Q4_0") == ("Q4_0", None)
    assert parse_version("file@65536") == (None, 65536)
    assert parse_version("Q4_0@65536") == ("Q4_0", 65536)
    for wrong in ("", "@65536", "Q4_0@", "Q4_0@many"):
        with pytest.raises(BadRequestError, match="no version of a draft"):
            parse_version(wrong)


@of_gguf
def test_versions_are_compared_with_the_target(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target drafts for itself: as it is it is always right, with other files it is not."""
    environment.clean(monkeypatch, tmp_path)
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(tmp_path / "cache"))
    file = write_wide(tmp_path / "wide.gguf", seed=4)
    (tmp_path / "prompts.jsonl").write_text('{"category": "a", "turns": ["the mill"]}\n')
    arguments = ["--target", f"{runtime}:{file}", "--draft", f"{runtime}:{file}", "--context-tokens", "256"]
    versions = [flag for version in ("file", "Q4_0", "file@320") for flag in ("--version", version)]
    result = CliRunner().invoke(
        app, ["bench", "drafts", "prompts.jsonl", *arguments, *versions, "--max-tokens", "24", "--repeats", "2"]
    )
    assert result.exit_code == 0, result.stderr
    printed: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    same, smaller, trimmed = printed["versions"]
    assert printed["positions"] == 24
    assert (same["greedy"], round(same["sampled"], 3), same["ratio"]) == (1.0, 1.0, 1.0)
    assert smaller["sampled"] < 1.0
    assert 0.0 < trimmed["sampled"] < smaller["sampled"]
    assert trimmed["greedy"] < 1.0
    assert same["mebibytes"] > trimmed["mebibytes"] > 0
    assert same["mebibytes"] == pytest.approx(pass_bytes(read(file)) / 2**20, abs=0.05)
    assert result.stdout.count("\n|") == 4, "a table with a line for each version"


def test_without_a_draft_model_there_is_nothing_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.clean(monkeypatch, tmp_path)
    result = CliRunner().invoke(app, ["bench", "drafts", "--target", "toy:0", "--draft", "none"])
    assert result.exit_code == 1
    assert "There is no draft model" in result.stderr
