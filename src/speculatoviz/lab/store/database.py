"""From the setting `store` to a database that is ready, with its errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from speculatoviz.errors import StoreError, reason_of

PATIENCE_S = 5  # for a connection, and for another process that is writing
_ANOTHER = "Name another place with --store, or switch the store off with --store none."
_CONNECTING = {  # what each driver calls its limit on the time for a connection
    "pg8000": {"timeout": PATIENCE_S},
    "psycopg": {"connect_timeout": PATIENCE_S},
    "psycopg2": {"connect_timeout": PATIENCE_S},
    "pymysql": {"connect_timeout": PATIENCE_S},
    "mysqldb": {"connect_timeout": PATIENCE_S},
}


def address_of(place: str) -> URL:
    """The address of a store: an URL of SQLAlchemy, or the path of an SQLite file. Raises StoreError."""
    if "://" not in place:
        path = Path(place).expanduser().absolute()
        if path.is_dir():
            raise StoreError(f"{path} is a folder, and a store is a file.", "Name a file in it.")
        return URL.create("sqlite", database=str(path))
    try:
        address = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "The address of the store cannot be read.",
            "Write it as SQLAlchemy does, such as sqlite:////home/me/runs.db or postgresql+pg8000://me@host/runs.",
        ) from error
    if address.get_backend_name() == "sqlite" and address.database in {None, "", ":memory:"}:
        raise StoreError("A database in memory keeps nothing.", "Name a file, such as sqlite:////home/me/runs.db.")
    return address


def engine_of(address: URL) -> Engine:
    """An engine for an address; no connection is made yet. Raises StoreError if there is no driver for it."""
    try:
        if address.get_backend_name() == "sqlite":
            return _sqlite(address)
        limits: dict[str, Any] = _CONNECTING.get(address.get_driver_name(), {})
        return create_engine(address, pool_pre_ping=True, pool_size=2, connect_args=limits)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(
            f"There is no driver for {address.drivername} here ({reason_of(error)}).",
            "Install one: for PostgreSQL `pip install pg8000`, with an address that begins with postgresql+pg8000://.",
        ) from error


def _sqlite(address: URL) -> Engine:
    """A connection for each transaction, so that threads share none and none is left open."""
    path = Path(str(address.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Prompts are private: the file is the user's alone. SQLite gives the files beside it the same permissions.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"{path} cannot be opened ({error.strerror or error}).", _ANOTHER) from error
    engine = create_engine(address, poolclass=NullPool, connect_args={"timeout": PATIENCE_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # else Python begins transactions, and not as `_begin_sqlite` does
    for setting in (
        "auto_vacuum = INCREMENTAL",  # before the first table: what is removed can be given back to the disk
        "journal_mode = WAL",  # readers and one writer at a time do not wait for each other
        "synchronous = NORMAL",  # with WAL: a process that is killed loses nothing that was committed
        "foreign_keys = ON",
        "secure_delete = ON",  # a removed prompt is overwritten
    ):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that will write takes its place at once: one that begins with reading could not wait for it later.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def errors_in_words(name: str) -> Iterator[None]:
    """Turns what a database raises into StoreError. name: of the store."""
    try:
        yield
    except DBAPIError as error:
        reason = _reason(error.orig)
        raise StoreError(f"The store {name} cannot be used ({reason}).", _hint(reason)) from error
    except (SQLAlchemyError, OSError, TypeError, ValueError) as error:  # drivers raise the last two, too
        reason = reason_of(error).partition(" (Background on")[0]  # a link to the library's own pages
        raise StoreError(f"The store {name} cannot be used ({reason}).", _ANOTHER) from error


def _reason(error: BaseException | None) -> str:
    first = error.args[0] if error is not None and error.args else None
    if isinstance(first, dict):  # pg8000 passes on PostgreSQL's message as the field M
        return str(first.get("M", first))
    return " ".join(str(error).split()) or type(error).__name__


def _hint(reason: str) -> str:
    if any(words in reason for words in ("disk is full", "disk I/O", "No space left")):
        return "Make room on the disk, or remove runs with `speculatoviz runs rm`."
    if "locked" in reason:
        return "Another program is writing to it: try again."
    if "not a database" in reason or "malformed" in reason:
        return "The file is damaged or no store: move it away, or name another with --store."
    return _ANOTHER
