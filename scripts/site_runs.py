"""Write recorded runs as files of a static site: `runs.json`, which lists them, and a compressed trace for each.

Usage: site_runs.py FOLDER TRACE…  `make site` calls it. A trace is a file written with --trace, or one packed by gzip.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from datetime import datetime
from pathlib import Path

from speculatoviz.errors import SpeculatoVizError, TraceError
from speculatoviz.lab.store.summary import RunFold, StoredRun
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Started


def stored(run: str, content: bytes, trace_bytes: int) -> StoredRun:
    """What the list holds of a trace. Raises TraceError."""
    read = trace.parse(content, run)
    first = next((event for event in read.events if isinstance(event, Started)), None)
    if first is None:
        raise TraceError(f"{run} contains no run.", "Name a trace that holds at least the beginning of a run.")
    fold = RunFold(first)
    for event in read.events:
        fold.add(event)
    created_ms = round(datetime.fromisoformat(read.header.created).timestamp() * 1000)
    return StoredRun(
        id=run,
        created_ms=created_ms,
        name=None,
        prompt=first.prompt,
        summary=fold.summary,
        trace_bytes=trace_bytes,
    )


def unpacked(path: Path) -> bytes:
    """The bytes of a trace, or of a packed one. Raises TraceError."""
    content = trace.content(path)
    return gzip.decompress(content) if path.suffix == ".gz" else content


def write(folder: Path, paths: list[Path]) -> int:
    """Write all files; returns the bytes of the traces. The id of a run is the name of its file.

    The live page of the site plays the first one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs: list[StoredRun] = []
    for path in paths:
        run = re.sub(r"[^A-Za-z0-9-]+", "-", path.name.partition(".")[0]) or "run"
        if run in {other.id for other in runs}:
            raise TraceError(f"Two traces are named {run}.", "Rename one of the files.")
        content = unpacked(path)
        packed = gzip.compress(content, mtime=0)
        runs.append(stored(run, content, len(packed)))
        (folder / f"{run}.jsonl.gz").write_bytes(packed)
    (folder / "runs.json").write_text(json.dumps([run.model_dump() for run in runs]), encoding="utf-8")
    return sum(run.trace_bytes for run in runs)


def main(folder: str, *paths: str) -> None:
    """Write the runs, or end in words."""
    try:
        size = write(Path(folder), [Path(path) for path in paths])
    except SpeculatoVizError as error:
        sys.exit(f"{error.message}\n{error.hint}")
    print(f"{folder} holds {len(paths)} recorded runs, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
