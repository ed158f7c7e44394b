"""Verifiers on real sockets; what they log as an error fails the test that did not expect it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.verifier_servers import Servers


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.stop()
    assert servers.errors == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where clients keep vocabularies."""
    return tmp_path / "cache"
