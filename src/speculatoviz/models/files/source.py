"""What the sources of model files have in common: how they report, how they fail, and local paths."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 1 << 22  # of one read or write

ReportBytes = Callable[[int], None]  # bytes so far
ReportOfTotal = Callable[[int, int], None]  # bytes so far, bytes in all (0 while unknown)


class SourceError(Exception):
    """A source cannot deliver; the text is the cause."""


def local_path(text: str) -> Path:
    """The path that a user wrote, with `~` expanded."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib raises for an unknown user)


def is_file(path: Path) -> bool:
    """Whether the path is a file; False, too, for names that no path can have and folders that may not be read."""
    return os.path.isfile(path)  # noqa: PTH113 (pathlib raises for these)


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; like `is_file`."""
    return os.path.isdir(path)  # noqa: PTH112 (as above)
