"""A model file made from another one, once, and kept in the cache.

Contract: the source is not changed. A result has its name only when it is whole. It is made again if the source has
changed, or if the result is not the one that was made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from speculatoviz.errors import ModelError, reason_of
from speculatoviz.models.files.download import ELSEWHERE, models_folder
from speculatoviz.models.files.gguf import GgufFile

Origin = dict[str, Any]


def derive(
    source: GgufFile, label: str, cache_dir: Path | str, choices: Mapping[str, Any], make: Callable[[Path], None]
) -> Path:
    """The path of the derived file `<source>.<label>.gguf` among the cached models, made first if it is not there.

    choices: what the result depends on beside the source, as JSON values. make: writes the result to the path it is
    given. Raises ModelError if the result has to be made and the folder cannot be written, and whatever `make` raises,
    after which nothing is left of the result. A result that is there needs no writable folder.
    """
    path = models_folder(cache_dir) / f"{source.stem}.{label}.gguf"
    try:
        origin = _origin(source) | dict(choices)
        if not _made_from(origin, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock")):
                if not _made_from(origin, path):
                    _make(path, origin, make)
    except OSError as error:
        raise ModelError(f"{path} could not be written: {reason_of(error)}.", ELSEWHERE) from error
    return path


def _origin(source: GgufFile) -> Origin:
    """What a changed source would differ in: name, size and time, of every part."""
    stats = [part.stat() for part in source.parts]
    origin = {"name": source.path.name, "size_bytes": source.size_bytes, "mtime_ns": stats[0].st_mtime_ns}
    further = [[stat.st_size, stat.st_mtime_ns] for stat in stats[1:]]
    return origin | ({"parts": further} if further else {})


def _made_from(origin: Origin, path: Path) -> bool:
    try:
        record = json.loads(_record(path).read_text(encoding="utf-8"))
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
        _record(path).write_text(json.dumps({**origin, "result_bytes": path.stat().st_size}), encoding="utf-8")
    finally:
        part.unlink(missing_ok=True)


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")
