"""What a model costs on this machine: pass times, the time of a rewind, loading time, peak memory and noise floor."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from speculatoviz.config import Settings
from speculatoviz.core.progress import unreported
from speculatoviz.machine import describe
from speculatoviz.measure.noise import noise_floor
from speculatoviz.measure.passes import pass_ms
from speculatoviz.models.load import load_model
from speculatoviz.models.tokenizers.chat import encode_raw
from speculatoviz.models.window import Window
from speculatoviz.session.invariance import batch_invariant
from speculatoviz.session.targets import loading_options

TEXT = "A cache keeps what was computed before, so that it need not be computed again. " * 20
CONTEXT_TOKENS = 200  # of context at the passes that are timed
SIZES = (1, 2, 3, 4, 5, 8)
VERIFIED, KEPT = 5, 2  # rows of a verification, and how many of their tokens stay where some are taken back
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, or KiB
ROUNDS = 5  # interleaved, so that a drifting machine drifts for all sizes


def measure(name: str, settings: Settings) -> dict[str, object]:
    """Load a model and measure it. name: as for --target; NAME=Q4_0 requantises it first.

    The loading time of a batch-invariant model contains its proof, if that was not made before.
    Milliseconds are the fastest of five: whatever else the machine does can only slow a pass down.
    """
    name, _, quantisation = name.partition("=")
    how = replace(loading_options(settings), context_tokens=1024)
    begun = time.perf_counter()
    model = load_model(name, how, quantisation or None, lambda *_: None)
    if settings.batch_invariant:
        model, _ = batch_invariant(model, how.cache_dir, unreported)
    load_s = time.perf_counter() - begun
    window = Window(model, 512)
    ids = encode_raw(model.tokenizer, TEXT)[: CONTEXT_TOKENS + max(SIZES)]
    times: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            times[size].append(pass_ms(window, ids[: CONTEXT_TOKENS + size], size, time.perf_counter, repeats=1))
    noise = noise_floor(window, ids[:CONTEXT_TOKENS], 4)
    about = model.description
    return {
        "name": name,
        "runtime": about.runtime,
        "quantisation": about.quantisation,
        "computes_on": about.computes_on,
        "size_bytes": about.size_bytes,
        "load_s": round(load_s, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT,
        "pass_ms": {str(size): round(min(measured), 1) for size, measured in times.items()},
        "rewind_ms": round(rewind_ms(window, ids, time.perf_counter), 1),
        "noise_total_variation": noise.mean_total_variation,
        "machine": describe(),
    }


def rewind_ms(window: Window, ids: Sequence[int], clock: Callable[[], float]) -> float:
    """What it costs to take back tokens: the median of paired differences, over ROUNDS pairs.

    A pair is two passes over VERIFIED rows, of whose first pass KEPT tokens stay, and the same with all of them kept.
    Next to nothing, unless the model has recurrent layers whose state is computed again.
    """
    prompt, rows = list(ids[:CONTEXT_TOKENS]), list(ids[CONTEXT_TOKENS : CONTEXT_TOKENS + VERIFIED])

    def two_passes(kept: int) -> float:
        window.prefill(prompt, lambda: False)
        begun = clock()
        window.feed(rows)
        window.accept(range(kept))
        window.feed(rows)
        return 1e3 * (clock() - begun)

    two_passes(KEPT)
    return median(two_passes(KEPT) - two_passes(VERIFIED) for _ in range(ROUNDS))
