"""The time of a pass over several rows of a GGUF file, by runtime: measured once in a child process, and kept.

In a child process the weights are never twice in one process, and a library that ends its process ends the child
alone. A table holds for one machine, library and file; another one of any of them is measured anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from speculatoviz.errors import BadRequestError, ModelError, SpeculatoVizError
from speculatoviz.machine import available_bytes, processor, usable_cores
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel, Tokenizer
from speculatoviz.models.files.child import ending, run_child
from speculatoviz.models.files.gguf import GgufFile, read
from speculatoviz.models.files.names import RUNTIMES, Runtime
from speculatoviz.models.gguf_runtimes import gguf_library, open_gguf
from speculatoviz.models.gguf_trial import file_hash
from speculatoviz.models.libraries import build_of, installed_at_ns

ROWS = (1, 2, 4, 8)  # of the passes that are timed
_CONTEXT_TOKENS = 2 * PREFILL_TOKENS  # before them
_ROUNDS, _MOST_S = 5, 10.0  # of measurements, until this time is over
_START_S, _BYTES_PER_S = 120.0, 5e6  # how long a child may take
_SPARE_BYTES = 1 << 30  # that a process takes beside the weights
_VERSION = 1  # of this measurement
_REPORT = "speculatoviz: "  # begins the line of stdout with the result
_TEXT = "A cache keeps what was computed before, so that it need not be computed again. "

PassMs = Mapping[int, float]  # milliseconds of a pass, by its rows


@dataclass(frozen=True, slots=True)
class RowTimes:
    """The measured passes of one file on one runtime. threads: of a pass. path: of the file, or of its first part."""

    runtime: Runtime
    path: Path
    threads: int
    pass_ms: PassMs


def row_times(
    file: GgufFile,
    runtime: Runtime,
    threads: int,
    cache_dir: Path,
    source: Path | None = None,
    *,
    anew: bool = False,
    watched: bool = False,
) -> RowTimes:
    """The times of passes over 1, 2, 4 and 8 rows: the kept ones, else measured now.

    source: of a trimmed file, the one that it is made of. anew: measure in any case. watched: of a model that is
    opened so that its hidden states and inner layers can be read, which costs passes some time. Raises ModelError if
    the runtime cannot load the file, or its process ends early; what fails is not kept. A folder that cannot be written
    costs the memory, not the measurement.
    """
    kept = _Kept(cache_dir, file, runtime, threads, watched=watched)
    if not anew and (times := kept.read()) is not None:
        return times
    times = RowTimes(runtime, file.path, threads, _measured(file, runtime, threads, source, watched=watched))
    kept.write(times)
    return times


def all_kept(cache_dir: Path) -> Iterator[RowTimes]:
    """Every kept table of this machine, by file, of models that are not watched.

    Tables of other libraries and of changed files are left out.
    """
    for path in sorted(_folder(cache_dir).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, SpeculatoVizError):
            about = json.loads(path.read_text(encoding="utf-8"))["about"]
            file = read(Path(about["path"]))
            kept = _Kept(cache_dir, file, about["runtime"], int(about["threads"]))
            if kept.path == path and (times := kept.read()) is not None:
                yield times


def _folder(cache_dir: Path) -> Path:
    return cache_dir / "row_times"


class _Kept:
    """The file in the cache folder that keeps one table."""

    def __init__(
        self, cache_dir: Path, file: GgufFile, runtime: Runtime, threads: int, *, watched: bool = False
    ) -> None:
        self._runtime, self._file, self._threads = runtime, file, threads
        library = f"{build_of(runtime)} {installed_at_ns(runtime)}"
        machine = f"{processor()} {usable_cores()} {threads}{' watched' * watched}"
        digest = hashlib.sha256(f"{_VERSION} {library} {machine} {file_hash(file)}".encode())
        self.path = _folder(cache_dir) / f"{digest.hexdigest()[:24]}.json"

    def read(self) -> RowTimes | None:
        try:
            pass_ms = _checked(json.loads(self.path.read_text(encoding="utf-8"))["pass_ms"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return RowTimes(self._runtime, self._file.path, self._threads, pass_ms)

    def write(self, times: RowTimes) -> None:
        about = {"runtime": times.runtime, "path": str(times.path), "threads": times.threads, "processor": processor()}
        document = {"about": about, "pass_ms": {str(rows): ms for rows, ms in times.pass_ms.items()}}
        part = self.path.with_suffix(".part")
        with contextlib.suppress(OSError):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(document, indent=1), encoding="utf-8")
            part.replace(self.path)


def _checked(document: dict[str, Any]) -> PassMs:
    """The times of a document. Raises ValueError unless there is a positive one for every number of rows."""
    pass_ms = {int(rows): float(ms) for rows, ms in document.items()}
    if set(pass_ms) != set(ROWS) or not all(0 < ms < math.inf for ms in pass_ms.values()):
        raise ValueError("expected a time for every number of rows")
    return dict(sorted(pass_ms.items()))


def require_memory(file: GgufFile, runtime: Runtime) -> None:
    """Raises ModelError if a runtime that copies the weights has no room for them now: llama.cpp maps the file."""
    available = available_bytes()
    if runtime == "llamacpp" or available is None or file.size_bytes + _SPARE_BYTES < available:
        return
    raise ModelError(
        f"{RUNTIMES[runtime]} copies the weights, {file.size_bytes / 1e9:.1f} GB, and {available / 1e9:.1f} GB of "
        "memory are free.",
        "Free memory, or load the file with llama.cpp.",
    )


def _measured(file: GgufFile, runtime: Runtime, threads: int, source: Path | None, *, watched: bool) -> PassMs:
    """Raises ModelError with what the child reported, or how it ended."""
    seconds = _START_S + file.size_bytes / _BYTES_PER_S
    sources = [] if source is None else [str(source)]
    how = "watched" if watched else "plain"
    child = run_child(__name__, str(file.path), runtime, str(threads), how, *sources, timeout_s=seconds)
    reports = [line.removeprefix(_REPORT) for line in child.stdout.splitlines() if line.startswith(_REPORT)]
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
        report = json.loads(reports[-1])
        if "message" in report:
            raise ModelError(report["message"], report["hint"])
        if child.returncode == 0:
            return _checked(report["pass_ms"])
    raise ModelError(
        f"{RUNTIMES[runtime]} could not be measured with {file.path}: its process ended with {ending(child)}.",
        "Load the file with another runtime.",
    )


# --- the child process --------------------------------------------------------------------------------


def time_passes(model: LanguageModel, clock: Callable[[], float]) -> PassMs:
    """The milliseconds of passes over 1, 2, 4 and 8 rows after 128 tokens: the fastest of five each, in turn.

    Whatever else runs on the machine can only make a pass slower. clock: seconds.
    """
    context = model.open(_CONTEXT_TOKENS + max(ROWS))
    ids = list(islice(cycle(_ids(model.tokenizer)), _CONTEXT_TOKENS + max(ROWS)))
    for begin in range(0, _CONTEXT_TOKENS, PREFILL_TOKENS):
        model.forward([Feed(context, ids[begin : begin + PREFILL_TOKENS], rows="last")])

    def timed_ms(rows: int) -> float:
        begun_s = clock()
        model.forward([Feed(context, ids[_CONTEXT_TOKENS : _CONTEXT_TOKENS + rows])])
        ended_s = clock()
        context.keep(_CONTEXT_TOKENS)
        return (ended_s - begun_s) * 1000

    for rows in ROWS:
        timed_ms(rows)  # the first pass of a size allocates
    fastest_ms = dict.fromkeys(ROWS, math.inf)
    until_s = clock() + _MOST_S
    for round in range(_ROUNDS):
        if round > 0 and clock() >= until_s:
            break
        for rows in ROWS:
            fastest_ms[rows] = min(fastest_ms[rows], timed_ms(rows))
    context.close()
    return fastest_ms


def _ids(tokenizer: Tokenizer) -> list[int]:
    """Ordinary text; of a vocabulary that lacks its characters, all ids."""
    with contextlib.suppress(BadRequestError):
        if ids := tokenizer.encode(_TEXT, special=False):
            return ids
    return list(range(tokenizer.n_vocab))


def _main(path: str, runtime: Runtime, threads: str, how: str, *sources: str) -> int:
    from speculatoviz.models.gguf_log import capture_log

    try:
        capture_log(gguf_library(runtime)).echo = True
        cells, source = _CONTEXT_TOKENS + PREFILL_TOKENS, next(map(Path, sources), None)
        watched = how == "watched"
        model = open_gguf(runtime, Path(path), cells, int(threads), source=source, hidden=watched, layers=watched)
        report = {"pass_ms": {str(rows): ms for rows, ms in time_passes(model, time.perf_counter).items()}}
    except SpeculatoVizError as error:
        print(_REPORT + json.dumps({"message": error.message, "hint": error.hint}), flush=True)
        return 1
    print(_REPORT + json.dumps(report), flush=True)
    model.close()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(_main(*sys.argv[1:]))  # type: ignore[arg-type]
    sys.exit(130)
