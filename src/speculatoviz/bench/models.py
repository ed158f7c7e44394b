"""What a model costs on this machine: pass times, loading time, peak memory and noise floor."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace

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
        "noise_total_variation": noise.mean_total_variation,
        "machine": describe(),
    }
