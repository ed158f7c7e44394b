"""A PostgreSQL server of a test run's own, on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None if PostgreSQL's server is not installed."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """A server that keeps nothing; yields its address without a database.

    PostgreSQL does not run as root: then it runs as the user that its package made.
    """
    folder = programs()
    assert folder is not None
    with tempfile.TemporaryDirectory() as place:
        own: dict[str, Any] = {"cwd": place}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(place, user.pw_uid, user.pw_gid)
            own |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = f"{place}/data"

        def call(program: str, *arguments: str) -> None:
            with open(f"{place}/{program}.log", "ab") as log:  # noqa: PTH123 (written by the test, as root)
                subprocess.run([folder / program, *arguments], check=True, stdout=log, stderr=log, **own)

        call("initdb", "-D", data, "-A", "trust", "-U", "tests", "-E", "UTF8", "--no-sync")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -p {port}"
        call("pg_ctl", "-D", data, "-w", "-o", options, "start")
        try:
            yield f"postgresql+pg8000://tests@127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")


def new_database(address: str, name: str) -> str:
    """Create a database on a server; returns its address."""
    engine = create_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"{address}/{name}"
