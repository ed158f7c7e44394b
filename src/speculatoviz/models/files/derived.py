"""A file made from another one, once, and kept in the cache.

Contract: the source is never touched; a result is seen under its name only when it is whole, and is made again when
the source has changed or the result is not the one that was made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from speculatoviz.errors import ModelError
from speculatoviz.models.files.download import ELSEWHERE, models_folder

Origin = dict[str, Any]


def derive(
    source: Path, name: str, cache_dir: Path | str, choices: Mapping[str, Any], make: Callable[[Path], None]
) -> Path:
    """The path of the file `name` among the models, made by `make(path to write)` where it is not there yet.

    choices: what else the result depends on, as JSON would give it back. Raises ModelError where the folder cannot be
    written, and what `make` raises, which leaves nothing behind.
    """
    path = models_folder(cache_dir) / name
    try:
        stat = source.stat()
        origin = {"name": source.name, "size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, **choices}
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not _made_from(origin, path):
                _make(path, origin, make)
    except OSError as error:
        raise ModelError(f"{path} could not be written: {error}.", ELSEWHERE) from error
    return path


def _made_from(origin: Origin, path: Path) -> bool:
    try:
        record = json.loads(_record(path).read_text())
        return bool(record == {**origin, "result_bytes": path.stat().st_size})
    except (OSError, ValueError):
        return False


def _make(path: Path, origin: Origin, make: Callable[[Path], None]) -> None:
    for stale in path.parent.glob(f"{path.name}.*.part"):
        stale.unlink(missing_ok=True)
    # a name of our own: a child process that outlived a killed run may still be writing
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        make(part)
        _record(path).unlink(missing_ok=True)  # a record never describes another file than the one beside it
        part.replace(path)
        _record(path).write_text(json.dumps({**origin, "result_bytes": path.stat().st_size}))
    finally:
        part.unlink(missing_ok=True)


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")
