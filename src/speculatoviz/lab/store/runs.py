"""The store of runs: begin one, append to its trace, list, read, name and remove."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import Engine

from speculatoviz.errors import BadRequestError, UnknownRunError
from speculatoviz.lab.store.database import address_of, engine_of, errors_in_words
from speculatoviz.lab.store.migrations import bring_up_to_date
from speculatoviz.lab.store.summary import RunSummary, StoredRun, StoredRunDetail
from speculatoviz.lab.store.tables import CHUNKS, LONGEST_NAME, RUNS
from speculatoviz.telemetry.trace import Header

LAST = "last"  # in place of an id: the newest run that is no sweep
SWEEP = "sweep-"  # how the ids of sweeps begin
PROMPT_CHARACTERS = 200  # of each prompt in a list
MOST_LISTED = 200
_SHORTEST_ID = 4  # characters that are enough of an id, if no other run's begins with them
_REMOVED_AT_ONCE = 50


class Page(NamedTuple):
    """A part of the list of runs, the newest first. after: the id to continue with; None at the end."""

    runs: list[StoredRun]
    after: str | None


class RunStore:
    """Runs in a database. Safe to use from several threads and processes. name: of the store, without passwords.

    Every method raises StoreError if the database cannot be used.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine, self._writing = engine, engine.execution_options(writes=True)

    @classmethod
    def open(cls, place: str) -> RunStore:
        """Open a store, and create it if it is empty. place: an URL of SQLAlchemy, or the path of an SQLite file.

        Raises StoreError if that is not possible, or if a newer version wrote it.
        """
        address = address_of(place)
        shown = str(address.database) if address.get_backend_name() == "sqlite" else address.render_as_string()
        with errors_in_words(shown):
            engine = engine_of(address)
            try:
                bring_up_to_date(engine, shown)
            except BaseException:
                engine.dispose()
                raise
        return cls(engine, shown)

    def close(self) -> None:
        """Close the connections. The store can be used again afterwards."""
        self._engine.dispose()

    def begin(self, run: str, created_ms: int, prompt: str, header: Header, summary: RunSummary) -> None:
        """Add a run without a trace. Raises StoreError if there is one of that id."""
        with self._transaction() as connection:
            connection.execute(insert(RUNS).values(_values(run, created_ms, prompt, header, summary)))

    def keep(self, run: str, created_ms: int, prompt: str, header: Header, summary: RunSummary) -> None:
        """Add a run without a trace, or replace all but the name of the one that has its id."""
        values = _values(run, created_ms, prompt, header, summary)
        with self._transaction() as connection:
            if connection.execute(update(RUNS).where(RUNS.c.id == run).values(values)).rowcount == 0:
                connection.execute(insert(RUNS).values(values))

    def append(self, run: str, number: int, lines: bytes, summary: RunSummary) -> bool:
        """Append whole lines to a run's trace, as its chunk `number`, from 0. False if the run was removed."""
        data = zlib.compress(lines)
        size = RUNS.c.trace_bytes + len(data)
        change = update(RUNS).where(RUNS.c.id == run).values(summary=summary.model_dump_json(), trace_bytes=size)
        with self._transaction() as connection:
            if connection.execute(change).rowcount == 0:
                return False
            connection.execute(insert(CHUNKS).values(run=run, number=number, data=data))
        return True

    def page(self, limit: int = 50, after: str | None = None, containing: str = "") -> Page:
        """Runs, the newest first, up to `limit`.

        after: the id at which the page before ended. containing: text in the name, prompt, target, drafter or id.
        Raises UnknownRunError if `after` was removed.
        """
        limit = min(limit, MOST_LISTED)
        wanted = _list().limit(limit + 1)
        if containing:
            columns = (RUNS.c.name, RUNS.c.prompt, RUNS.c.target, RUNS.c.drafter, RUNS.c.id)
            wanted = wanted.where(or_(*(column.icontains(containing, autoescape=True) for column in columns)))
        with errors_in_words(self.name), self._engine.begin() as connection:
            if after is not None:
                wanted = wanted.where(_older(_row(connection, self._wanted(connection, after))))
            rows = connection.execute(wanted).all()
        runs = [_stored(row) for row in rows[:limit]]
        return Page(runs, runs[-1].id if len(rows) > limit else None)

    def newest(self, prefix: str, limit: int) -> list[StoredRun]:
        """The newest runs whose ids begin so, the newest first."""
        wanted = _list().where(RUNS.c.id.startswith(prefix, autoescape=True)).limit(min(limit, MOST_LISTED))
        with errors_in_words(self.name), self._engine.begin() as connection:
            return [_stored(row) for row in connection.execute(wanted)]

    def get(self, run: str) -> StoredRunDetail:
        """A run. run: its id, the first characters of it (4 or more) if no other begins so, or `last`.

        Raises UnknownRunError.
        """
        with errors_in_words(self.name), self._engine.begin() as connection:
            row = _row(connection, self._wanted(connection, run))
        header = Header.model_validate_json(row.header)
        return StoredRunDetail(**_stored(row).model_dump(), header=header)

    def trace(self, run: str) -> Iterator[bytes]:
        """The lines of a run's trace, its header first, in pieces that each end with a line.

        run: as for `get`; raises UnknownRunError before the first piece. A run that is removed meanwhile ends early.
        """
        found = self.get(run)
        yield found.header.model_dump_json().encode() + b"\n"
        number = 0
        while (data := self._chunk(found.id, number)) is not None:
            yield zlib.decompress(data)
            number += 1

    def rename(self, run: str, name: str | None) -> StoredRunDetail:
        """Give a run a name, or take its name away: None, or nothing but spaces. run: as for `get`.

        Raises UnknownRunError, and BadRequestError for a name that is too long or has control characters.
        """
        named = checked_name(name)
        with self._transaction() as connection:
            found = self._wanted(connection, run)
            connection.execute(update(RUNS).where(RUNS.c.id == found).values(name=named))
        return self.get(found)

    def remove(self, run: str) -> str:
        """Remove a run and its trace; returns its id. run: as for `get`. Raises UnknownRunError."""
        with self._transaction() as connection:
            found = self._wanted(connection, run)
            _remove(connection, [found])
        self._give_back()
        return found

    def remove_all(self) -> int:
        """Remove every run, named ones too; returns how many."""
        with self._transaction() as connection:
            connection.execute(delete(CHUNKS))
            removed = connection.execute(delete(RUNS)).rowcount
        self._give_back()
        return removed

    def prune(self, most_runs: int, most_bytes: int, sparing: Sequence[str] = ()) -> int:
        """Remove the oldest runs without a name until the store is within the limits; returns how many.

        A limit of 0 is none. sparing: ids of runs that stay, because they are being recorded.
        """
        removed = 0
        while ids := self._too_many(most_runs, most_bytes, sparing):
            with self._transaction() as connection:
                _remove(connection, ids)
            removed += len(ids)
        if removed:
            self._give_back()
        return removed

    def _too_many(self, most_runs: int, most_bytes: int, sparing: Sequence[str]) -> list[str]:
        """The runs to remove next, a few at a time so that no other writer waits for long."""
        oldest = (
            select(RUNS.c.id, RUNS.c.trace_bytes)
            .where(RUNS.c.name.is_(None), RUNS.c.id.not_in(sparing))
            .order_by(RUNS.c.created_ms, RUNS.c.id)
            .limit(_REMOVED_AT_ONCE)
        )
        with errors_in_words(self.name), self._engine.begin() as connection:
            count, size = connection.execute(
                select(func.count(), func.coalesce(func.sum(RUNS.c.trace_bytes), 0)).select_from(RUNS)
            ).one()
            candidates = connection.execute(oldest).all()
        ids = []
        for row in candidates:
            if not (0 < most_runs < count or 0 < most_bytes < size):
                break
            ids.append(row.id)
            count, size = count - 1, size - row.trace_bytes
        return ids

    def _chunk(self, run: str, number: int) -> bytes | None:
        wanted = select(CHUNKS.c.data).where(CHUNKS.c.run == run, CHUNKS.c.number == number)
        with errors_in_words(self.name), self._engine.begin() as connection:
            return connection.execute(wanted).scalar_one_or_none()

    def _wanted(self, connection: Connection, run: str) -> str:
        """The whole id of the run that is meant. Raises UnknownRunError."""
        if run == LAST:
            runs = select(RUNS.c.id).where(RUNS.c.id.not_like(f"{SWEEP}%"))
            newest: str | None = connection.execute(_newest(runs).limit(1)).scalar_one_or_none()
            if newest is None:
                raise UnknownRunError(f"The store {self.name} holds no run.", "Generate something first.")
            return newest
        begins = RUNS.c.id.startswith(run, autoescape=True) if len(run) >= _SHORTEST_ID else RUNS.c.id == run
        found = connection.execute(select(RUNS.c.id).where(or_(RUNS.c.id == run, begins)).limit(2)).scalars().all()
        if run in found or len(found) == 1:
            return run if run in found else found[0]
        if found:
            raise UnknownRunError(f"The ids of several runs begin with {run!r}.", "Write more of the id.")
        raise UnknownRunError(f"There is no run {run!r} in the store.", "`speculatoviz runs list` shows the runs.")

    def _give_back(self) -> None:
        """Return the room of removed runs to the disk, where the database does not do so by itself."""
        if self._engine.dialect.name != "sqlite":
            return
        with errors_in_words(self.name), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA incremental_vacuum").fetchall()
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction that writes."""
        with errors_in_words(self.name), self._writing.begin() as connection:
            yield connection


def checked_name(name: str | None) -> str | None:
    """A name without the spaces around it; None for no name. Raises BadRequestError if a store cannot hold it."""
    name = (name or "").strip()
    if len(name) > LONGEST_NAME:
        raise BadRequestError(f"The name has {len(name)} characters.", f"Use up to {LONGEST_NAME}.")
    # Cc: control characters, Cs: halves of characters, which are not text.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise BadRequestError("The name has control characters.", "Use visible ones.")
    return name or None


def _values(run: str, created_ms: int, prompt: str, header: Header, summary: RunSummary) -> dict[str, Any]:
    """The columns of a run without a trace."""
    return {
        "id": run,
        "created_ms": created_ms,
        "target": _storable(summary.target)[:500],
        "drafter": summary.drafter,
        "prompt": _storable(prompt),
        "header": header.model_dump_json(),
        "summary": summary.model_dump_json(),
        "trace_bytes": 0,
    }


def _storable(text: str) -> str:
    """Text without what a database may refuse: the character 0, and halves of characters. The trace keeps both."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _list() -> Select[Any]:
    """The columns of `StoredRun`, the newest run first; of the prompt only its beginning."""
    prompt = func.substr(RUNS.c.prompt, 1, PROMPT_CHARACTERS).label("prompt")
    columns = (RUNS.c.id, RUNS.c.created_ms, RUNS.c.name, prompt, RUNS.c.summary, RUNS.c.trace_bytes)
    return _newest(select(*columns))


def _newest(wanted: Select[Any]) -> Select[Any]:
    return wanted.order_by(RUNS.c.created_ms.desc(), RUNS.c.id.desc())


def _older(row: Row[Any]) -> ColumnElement[bool]:
    """Whether a run comes after this one in the list."""
    at = RUNS.c.created_ms
    return or_(at < row.created_ms, and_(at == row.created_ms, RUNS.c.id < row.id))


def _row(connection: Connection, run: str) -> Row[Any]:
    return connection.execute(select(RUNS).where(RUNS.c.id == run)).one()


def _stored(row: Row[Any]) -> StoredRun:
    summary = RunSummary.model_validate_json(row.summary)
    return StoredRun(
        id=row.id,
        created_ms=row.created_ms,
        name=row.name,
        prompt=row.prompt,
        summary=summary,
        trace_bytes=row.trace_bytes,
    )


def _remove(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(CHUNKS).where(CHUNKS.c.run.in_(ids)))
    connection.execute(delete(RUNS).where(RUNS.c.id.in_(ids)))
