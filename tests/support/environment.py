"""Settings that come from nowhere but a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices

from speculatoviz.config import Settings


def names_of(field: str) -> list[str]:
    """Every environment variable that a setting is read from."""
    alias = Settings.model_fields[field].validation_alias
    extra = [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else []
    return sorted({f"SPECULATOVIZ_{field.upper()}", *extra})


def clean(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No setting in the environment, no `.env` in the working folder, a cache of its own, and no run is kept."""
    for field in Settings.model_fields:
        for name in names_of(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SPECULATOVIZ_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("SPECULATOVIZ_STORE", "none")
