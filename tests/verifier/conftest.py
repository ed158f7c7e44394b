"""Fixtures: verifiers on real sockets. An error that they log fails a test that did not expect it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from support.verifier_servers import Servers


@pytest.fixture(scope="session")
def leaving() -> Iterator[list[Thread]]:
    """Threads that stop the servers of earlier tests while the next test runs."""
    threads: list[Thread] = []
    yield threads
    for thread in threads:
        thread.join()


@pytest.fixture
def servers(leaving: list[Thread]) -> Iterator[Servers]:
    servers = Servers()
    yield servers
    leaving.append(Thread(target=servers.stop))
    leaving[-1].start()
    assert servers.errors == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cache folder of the clients, for vocabularies."""
    return tmp_path / "cache"
