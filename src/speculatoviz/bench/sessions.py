"""The throughput of a verifier with several sessions at once.

Every session sends drafts that equal the target's own text, as soon as it has an answer, so the verifier is never idle.
The upper bound follows from measured passes: the rows of all sessions in one pass.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from speculatoviz.bench.remote import PROMPTS, verifier
from speculatoviz.config import Settings
from speculatoviz.core.types import Draft, Limits, Request, Sampling
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.tokenizers.chat import encode_raw
from speculatoviz.models.window import Window, WindowFeed, feed_together
from speculatoviz.session.targets import load_named_model
from speculatoviz.targets.loop import LoopThread
from speculatoviz.targets.verifier.target import VerifierTarget

SESSIONS = 4
_CONTEXT = 96  # tokens of context at the passes that are timed


def measure(settings: Settings, profile: str, k: int, rounds: int, repeats: int) -> dict[str, object]:
    """Verified tokens per second of one session and of all of them, which alternate, beside the upper bound."""
    with verifier(["--profile", profile], set(range(usable_cores())), SESSIONS) as url:
        one, all_of_them = _sessions(url, Path(settings.cache_dir), k, rounds, repeats)
    single_ms, joint_ms = _passes(settings, k, repeats)
    ratios = [many / alone for many, alone in zip(all_of_them, one, strict=True)]
    allowed_tps = 1000 * SESSIONS * (k + 1) / joint_ms
    return {
        "sessions": SESSIONS,
        "verified_tokens_per_s": {"one": statistics.median(one), "all": statistics.median(all_of_them)},
        "ratio": {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)},
        "pass_ms": {"one": single_ms, "all": joint_ms},
        "allowed_ratio": SESSIONS * single_ms / joint_ms,
        "allowed_tokens_per_s": allowed_tps,
        "share_of_allowed": statistics.median(all_of_them) / allowed_tps,
    }


def _sessions(url: str, cache_dir: Path, k: int, rounds: int, repeats: int) -> tuple[list[float], list[float]]:
    """Verified tokens per second of one session, and of all at once, for each repeat."""
    with ExitStack() as stack:
        targets = [_connected(stack, url, cache_dir) for _ in range(SESSIONS)]
        texts = [f"{text} {number}" for number in range(SESSIONS // len(PROMPTS)) for text in PROMPTS.values()]
        prompts = [encode_raw(targets[0].tokenizer, text) for text in texts]
        written = [_continuation(t, p, rounds * (k + 1) + k) for t, p in zip(targets, prompts, strict=True)]
        work = [
            partial(_replay, target, prompt, text, k, rounds)
            for target, prompt, text in zip(targets, prompts, written, strict=True)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(SESSIONS))
        one, many = list[float](), list[float]()
        for _ in range(repeats):
            one.append(_rate(pool, work[:1]))
            many.append(_rate(pool, work))
        return one, many


def _rate(pool: ThreadPoolExecutor, work: Sequence[Callable[[], int]]) -> float:
    """Verified tokens per second of several sessions that start together."""
    begun = time.perf_counter()
    verified = sum(future.result() for future in [pool.submit(run) for run in work])
    return verified / (time.perf_counter() - begun)


def _connected(stack: ExitStack, url: str, cache_dir: Path) -> VerifierTarget:
    loop = LoopThread()
    stack.callback(loop.close)
    target = VerifierTarget(url, loop, time.perf_counter, cache_dir)
    stack.callback(target.close)
    return target


def _continuation(target: VerifierTarget, prompt: list[int], count: int) -> list[int]:
    request = Request(tuple(prompt), Sampling(), Limits(count, ignore_eos=True), evidence=False)
    return list(target.stream(request))


def _replay(target: VerifierTarget, prompt: list[int], text: list[int], k: int, rounds: int) -> int:
    """Draft the text that the target wrote before. Returns the number of verified rows."""
    request = Request(tuple(prompt), Sampling(), Limits(len(text), ignore_eos=True), evidence=False)
    target.begin(request)
    at = verified = 0
    for index in range(rounds):
        draft = Draft.chain(index, text[at : at + k], (), "replay")
        verdict = target.submit(draft).result()
        at += len(verdict.path) + 1
        verified += len(draft) + 1
        if verdict.extra.token != text[at - 1]:
            text = [*text[: at - 1], verdict.extra.token, *text[at:]]
    return verified


def _passes(settings: Settings, k: int, repeats: int) -> tuple[float, float]:
    """Median milliseconds of a pass over the rows of one session, and of all sessions; the two alternate."""
    pair = settings.resolved()
    room = settings.model_copy(update={"context_tokens": 512 * SESSIONS})
    model = load_named_model(room, pair.target, pair.target_quantisation, lambda _stage, _share: None)
    try:
        windows = [Window(model, 512) for _ in range(SESSIONS)]
        ids = _text(model)
        for window in windows:
            window.prefill(ids[:_CONTEXT], lambda: False)
        one, many = list[float](), list[float]()
        for _ in range(4 * repeats):
            one.append(_pass_ms(windows[:1], ids[_CONTEXT : _CONTEXT + k + 1]))
            many.append(_pass_ms(windows, ids[_CONTEXT : _CONTEXT + k + 1]))
        return statistics.median(one), statistics.median(many)
    finally:
        model.close()


def _text(model: LanguageModel) -> list[int]:
    text = " ".join(f"{text} {number}" for number in range(8) for text in PROMPTS.values())
    return encode_raw(model.tokenizer, text)


def _pass_ms(windows: Sequence[Window], ids: list[int]) -> float:
    begun_s = time.perf_counter()
    feed_together([WindowFeed(window, ids) for window in windows])
    pass_ms = (time.perf_counter() - begun_s) * 1000
    for window in windows:
        window.keep(_CONTEXT)
    return pass_ms
