"""Stores to test with: SQLite always, PostgreSQL where it is installed; and real runs to keep in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.lab.store.runs import RunStore
from speculatoviz.telemetry.events import Event
from support import postgres, toy_session


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL here: install the distribution's package `postgresql`")
    with postgres.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store may be."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.db")
    return postgres.new_database(request.getfixturevalue("postgres_server"), f"t{secrets.token_hex(6)}")


@pytest.fixture
def store(place: str) -> Iterator[RunStore]:
    store = RunStore.open(place)
    yield store
    store.close()


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """A real run of the toys, with the id `r`."""
    session = toy_session.load(tmp_path_factory.mktemp("cache"))
    events = toy_session.run(session, temperature=0.9, seed=4)
    session.close()
    return events
