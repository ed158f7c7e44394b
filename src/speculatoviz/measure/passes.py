"""How long a forward pass takes, by the number of tokens in it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from speculatoviz.core.types import Draft, Limits, Request, Sampling
from speculatoviz.machine import processor, usable_cores
from speculatoviz.models.base import Description
from speculatoviz.models.window import Window
from speculatoviz.targets.base import Target

LARGEST_PASS = 17  # tokens: the deepest draft and the last committed token
_LOCK_S = 10  # another process holds the lock for one small write

log = logging.getLogger(__name__)


def pass_ms(window: Window, ids: Sequence[int], rows: int, clock: Callable[[], float], repeats: int = 3) -> float:
    """The median milliseconds of one pass over the last `rows` tokens of `ids`, after the tokens before them.

    ids: at least `rows` + 1 tokens of ordinary text. The cache is left with a prefix of them. clock: seconds.
    """
    base = len(ids) - rows
    window.prefill(ids[:base], lambda: False)
    times_ms: list[float] = []
    for _ in range(repeats):
        begun_s = clock()
        window.feed(ids[base:])
        times_ms.append((clock() - begun_s) * 1000)
        window.keep(base)
    return statistics.median(times_ms)


def round_ms(
    target: Target, prompt: Sequence[int], draft: Sequence[int], clock: Callable[[], float], repeats: int = 2
) -> float:
    """The milliseconds of one verification of `draft` after a prompt that is cached; the fastest of the repeats."""
    request = Request(tuple(prompt), Sampling(), Limits(len(draft) + 1, ignore_eos=True), evidence=False)
    times_ms: list[float] = []
    for index in range(repeats):
        target.begin(request)
        begun_s = clock()
        target.submit(Draft.chain(index, list(draft), (), "measure")).result()
        times_ms.append((clock() - begun_s) * 1000)
    return min(times_ms)


class PassTimes:
    """Milliseconds of a forward pass by tokens in it, kept per model, machine and thread count.

    They choose depths; a displayed baseline is never taken from them. Of several measurements the fastest is kept:
    whatever else runs on the machine can only make a pass slower. If the folder cannot be written, the times are kept
    in memory, with one warning in the log.
    """

    def __init__(self, folder: Path, model: Description, threads: int) -> None:
        loaded = (model.runtime, model.name, model.quantisation, model.size_bytes)
        facts = (*loaded, model.computes_on, processor(), usable_cores(), threads)
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        self._path = folder / f"{key}.json"
        self._about = {"model": model.name, "quantisation": model.quantisation, "processor": processor()}
        self._ms = self._load()
        self._kept = True

    @property
    def ms(self) -> Mapping[int, float]:
        """Milliseconds by tokens in the pass, ascending."""
        return dict(sorted(self._ms.items()))

    def record(self, rows: int, ms: float) -> None:
        """Add one measurement of a pass over `rows` tokens. Raises nothing if it cannot be stored."""
        self._ms[rows] = min(ms, self._ms.get(rows, ms))
        if not self._kept:
            return
        try:
            self._store()
        except (OSError, NotImplementedError) as error:  # filelock's, on file systems without locks
            self._kept = False
            cause = getattr(error, "strerror", None) or error
            log.warning("%s cannot be written (%s): pass times are not kept.", self._path.parent, cause)

    def _store(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock", timeout=_LOCK_S):
            stored = self._load()  # another process may have measured meanwhile
            self._ms |= {rows: min(ms, self._ms.get(rows, ms)) for rows, ms in stored.items()}
            document = {"about": self._about, "pass_ms": {str(rows): ms for rows, ms in self.ms.items()}}
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(document, indent=1), encoding="utf-8")
            part.replace(self._path)

    def _load(self) -> dict[int, float]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))["pass_ms"]
            times = {int(rows): float(ms) for rows, ms in stored.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}  # not measured yet, or written by something else: measure again
        return {rows: ms for rows, ms in times.items() if rows > 0 and 0 < ms < math.inf}
