"""A file that grows by one line for each result, and can be continued after a crash."""

from __future__ import annotations

from pathlib import Path


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a file, without a last one that was not written to its end; none if there is no such file."""
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def drop_broken_line(file: Path) -> None:
    """Remove a last line that was not written to its end, so that the next line begins on its own."""
    if file.exists():
        whole = b"".join(line + b"\n" for line in whole_lines(file))
        if len(whole) != file.stat().st_size:
            file.write_bytes(whole)
