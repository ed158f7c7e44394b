"""Recorded runs by name: the path of a trace file, or the id of a run in the store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from speculatoviz.cli.output import notice
from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.trace import Trace

RECORDED = "a file written with --trace, or a run's id from `runs list`; last: the newest run"
_ID = re.compile(r"[A-Za-z0-9-]{4,64}")


def recorded(name: str, settings: Callable[[], Settings]) -> Trace:
    """Read a trace file, or the trace of a run in the store; what is missing at its end is printed as a notice.

    settings: called only for the store. Raises TraceError, StoreError and UnknownRunError, and BadRequestError for a
    sweep.
    """
    found = trace.parse(*recorded_content(name, settings))
    if found.warning is not None:
        notice(found.warning)
    return found


def recorded_content(name: str, settings: Callable[[], Settings]) -> tuple[bytes, str]:
    """The bytes of a trace, and what to call it. A name that no file has, and that can be an id, is one."""
    if not _ID.fullmatch(name) or Path(name).exists():
        return trace.content(Path(name)), name
    from speculatoviz.lab.store.opening import open_store

    store = open_store(settings())
    try:
        found = store.get(name)
        if (sweep := found.summary.sweep) is not None:
            raise BadRequestError(
                f"{found.id} is a sweep: its runs are in {sweep.folder}.", "Name a file of its traces."
            )
        return b"".join(store.trace(found.id)), f"Run {found.id}"
    finally:
        store.close()
