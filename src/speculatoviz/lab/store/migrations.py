"""Brings the tables of a store to the newest version; refuses a store of a version that is not known here."""

from __future__ import annotations

from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from speculatoviz.errors import StoreError

_FOLDER = Path(__file__).parent  # Alembic looks for `versions` in it
_VERSION_TABLE = "speculatoviz_version"  # Alembic's own name may belong to another program in the same database


def bring_up_to_date(engine: Engine, name: str) -> None:
    """Create or change the tables, in one transaction. name: of the store, for an error.

    Raises StoreError for a store of a newer version, and what the database raises.
    """
    scripts = ScriptDirectory(str(_FOLDER))
    newest = scripts.get_current_head()
    with engine.connect() as connection:
        if _version(connection, scripts, name) == newest:
            return
    try:
        _upgrade(engine, scripts, name)
    except DBAPIError:  # another process may have made the same tables at the same time
        with engine.connect() as connection:
            if _version(connection, scripts, name) != newest:
                raise


def _upgrade(engine: Engine, scripts: ScriptDirectory, name: str) -> None:
    with engine.execution_options(writes=True).begin() as connection:
        current = _version(connection, scripts, name)
        missing = list(scripts.iterate_revisions("head", current or "base"))  # the newest first
        context = _context(connection)
        with Operations.context(context):
            for step in reversed(missing):
                step.module.upgrade()
                context.stamp(scripts, step.revision)


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": _VERSION_TABLE})


def _version(connection: Connection, scripts: ScriptDirectory, name: str) -> str | None:
    """The version of the tables; None for an empty store. Raises StoreError for one that is not known."""
    current = _context(connection).get_current_revision()
    if current is not None and current not in {step.revision for step in scripts.walk_revisions()}:
        raise StoreError(
            f"A newer version of SpeculatoViz wrote {name} (its tables have version {current}).",
            "Update SpeculatoViz, or name another place with --store.",
        )
    return current
