"""How long a forward pass takes, by the number of tokens in it."""

from __future__ import annotations

import hashlib
import json
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
    """The pass times of one model on this machine, by tokens in the pass, kept on disk.

    They are the basis of choices, never a displayed baseline. Of several measurements the fastest is kept: whatever
    else the machine does can only slow a pass down.
    """

    def __init__(self, folder: Path, model: Description, threads: int) -> None:
        loaded = (model.runtime, model.name, model.quantisation, model.size_bytes)
        facts = (*loaded, model.computes_on, processor(), usable_cores(), threads)
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        self._path = folder / f"{key}.json"
        self._about = {"model": model.name, "quantisation": model.quantisation, "processor": processor()}
        self._ms = self._load()

    @property
    def ms(self) -> Mapping[int, float]:
        """Milliseconds by tokens in the pass, ascending."""
        return dict(sorted(self._ms.items()))

    def record(self, rows: int, ms: float) -> None:
        """Keep a measurement, unless a faster one is known."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            stored = self._load()
            self._ms = stored | {rows: min(ms, stored.get(rows, ms))}
            document = {"about": self._about, "pass_ms": {str(n): t for n, t in sorted(self._ms.items())}}
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(document, indent=1))
            part.replace(self._path)

    def _load(self) -> dict[int, float]:
        try:
            stored = json.loads(self._path.read_text())["pass_ms"]
            return {int(rows): float(ms) for rows, ms in stored.items()}
        except (OSError, ValueError, KeyError, AttributeError):
            return {}  # not measured yet, or not a file of this program: measure again
