"""The versions lead to the tables that the store uses; a store of a newer version is refused and left as it is."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from speculatoviz.errors import StoreError
from speculatoviz.lab.store.database import address_of
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.store.tables import METADATA
from speculatoviz.telemetry.events import Event
from support.kept import keep

VERSION_TABLE = "speculatoviz_version"


def differences(place: str) -> list[object]:
    """Between the tables of a store and those that the program expects."""
    engine = create_engine(address_of(place))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found: list[object] = compare_metadata(context, METADATA)
    engine.dispose()
    return found


def change(place: str, statement: str) -> None:
    engine = create_engine(address_of(place))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_versions_make_the_tables_that_the_program_uses(place: str) -> None:
    RunStore.open(place).close()
    assert differences(place) == []


def test_a_column_that_no_version_makes_is_found(place: str) -> None:
    RunStore.open(place).close()
    change(place, "ALTER TABLE speculatoviz_runs ADD COLUMN another INTEGER")
    assert len(differences(place)) == 1


def set_version(place: str, version: str) -> None:
    change(place, f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")  # noqa: S608


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(place: str, events: list[Event]) -> None:
    store = RunStore.open(place)
    keep(store, events, "kept")
    set_version(place, "9999")

    with pytest.raises(StoreError, match="newer version") as error:
        RunStore.open(place)
    assert "Update" in error.value.hint
    assert store.get("kept").id == "kept"  # opened before, it still reads
    set_version(place, "0001")
    again = RunStore.open(place)
    assert again.get("kept") == store.get("kept")
    again.close()
    store.close()


def test_other_tables_of_a_shared_database_are_left_alone(place: str) -> None:
    """Also those of a program that keeps its own versions with Alembic."""
    change(place, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    change(place, "INSERT INTO alembic_version VALUES ('of another program')")
    RunStore.open(place).close()

    engine = create_engine(address_of(place))
    assert {"alembic_version", VERSION_TABLE, *METADATA.tables} == set(inspect(engine).get_table_names())
    engine.dispose()
