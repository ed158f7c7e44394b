"""What two runtimes in one process cost each other: each library has threads of its own on the same cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from speculatoviz.config import Settings
from speculatoviz.lab.statistics import geometric_mean, interval
from speculatoviz.models.libraries import gguf_runtimes
from speculatoviz.models.load import load_model
from speculatoviz.models.tokenizers.chat import encode_raw
from speculatoviz.models.window import Window
from speculatoviz.session.targets import draft_tokens, loading_options

TEXT = "a cache keeps what was computed before so that it need not be computed again " * 10
DEPTH = 3  # drafted tokens of a round
_ROUNDS = 3  # of a pair in a row; the first one shows what the change from another pair costs, and is not counted
Round = tuple[float, float]  # milliseconds of the draft and of the verification


def load_windows(settings: Settings) -> tuple[dict[str, Window], dict[str, Window]]:
    """The drafts and the targets by runtime: all in this process, so weights are there once for each runtime.

    Raises ModelError.
    """
    pair = settings.resolved()
    loaded: list[dict[str, Window]] = []
    for name, quantisation, tokens in (
        (pair.draft or pair.target, pair.draft_quantisation if pair.draft else None, draft_tokens(pair)),
        (pair.target, pair.target_quantisation, None),
    ):
        windows: dict[str, Window] = {}
        for runtime in gguf_runtimes():
            how = replace(loading_options(settings), context_tokens=512, runtime=runtime)
            windows[runtime] = Window(load_model(name, how, quantisation, lambda *_: None, tokens), 512)
        loaded.append(windows)
    return loaded[0], loaded[1]


def rounds(draft: Window, target: Window, clock: Callable[[], float]) -> list[Round]:
    """The times of rounds of one pair: DEPTH passes of the draft over one row, one of the target over DEPTH + 1."""
    times: list[Round] = []
    for window in (draft, target):
        window.prefill(encode_raw(window.model.tokenizer, TEXT)[:-DEPTH], lambda: False)
    for _ in range(_ROUNDS):
        begun_s = clock()
        for token in draft.ids[:DEPTH]:
            draft.feed([token])
        drafted_s = clock()
        target.feed(target.ids[: DEPTH + 1])
        ended_s = clock()
        times.append(((drafted_s - begun_s) * 1000, (ended_s - drafted_s) * 1000))
        for window, fed in ((draft, DEPTH), (target, DEPTH + 1)):
            window.keep(len(window.ids) - fed)
    return times[1:]


def compare(
    drafts: Mapping[str, Window], targets: Mapping[str, Window], repeats: int, clock: Callable[[], float]
) -> dict[str, object]:
    """The time of a model beside one of the other runtime, divided by its time beside one of its own.

    Geometric means of paired ratios with their 95 % intervals, by role and runtime. clock: seconds.
    """
    measured: dict[tuple[str, str], list[Round]] = {pair: [] for pair in product(drafts, targets)}
    for _ in range(repeats):
        for (draft, target), found in measured.items():  # in turn, so that a drifting machine drifts for all pairs
            times = rounds(drafts[draft], targets[target], clock)
            found.append((min(t[0] for t in times), min(t[1] for t in times)))
    result: dict[str, object] = {}
    for own, other in product(drafts, targets):
        if own != other:
            result[f"draft on {own}"] = _ratios(measured[own, own], measured[own, other], 0)
            result[f"target on {own}"] = _ratios(measured[own, own], measured[other, own], 1)
    return result


def _ratios(alike: Sequence[Round], mixed: Sequence[Round], role: int) -> dict[str, float]:
    ratios = [two[role] / one[role] for one, two in zip(alike, mixed, strict=True)]
    low, high = interval(ratios)
    return {"mixed": geometric_mean(ratios), "low": low, "high": high, "ms": min(one[role] for one in alike)}
