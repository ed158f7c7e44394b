"""Versions of a draft model compared: bytes and time of a token, and how often the target accepts one.

A version is a quantisation, a trimmed vocabulary or both: "file" (as it is), "Q4_0", "file@65536", "Q4_0@65536".
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass

import numpy as np

from speculatoviz.config import Settings
from speculatoviz.core.theory import best_depth, expected_tps
from speculatoviz.core.types import Floats
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.questions import Prompt
from speculatoviz.measure.agreement import mean_overlap
from speculatoviz.measure.passes import pass_ms
from speculatoviz.measure.text import PASSAGE
from speculatoviz.models.base import PREFILL_TOKENS, LanguageModel
from speculatoviz.models.files.download import silent
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.matrix import pass_bytes
from speculatoviz.models.load import load_model
from speculatoviz.models.runtime_choice import Use
from speculatoviz.models.tokenizers.chat import encode_raw, encode_turn
from speculatoviz.models.window import Window
from speculatoviz.session.targets import load_named_model, loading_options

AS_IT_IS = "file"
_CONTEXT_TOKENS = 200  # at the passes that are timed
_ROWS = (1, 2, 3, 4, 5, 6, 8)  # of the target's passes
_WARM = 0.7  # the temperature of the sampled acceptance


@dataclass(frozen=True, slots=True)
class Measured:
    """One version. mebibytes: that a pass over one row reads. ratio: median of paired ratios to the first version.

    greedy: the share of the target's greedy tokens that are the version's most probable ones. sampled: the mean of
    sum min(p, q) at T=0.7. tps, depth: the highest expected rate at `greedy`, and its depth; gain: relative to plain.
    """

    version: str
    mebibytes: float
    token_ms: float
    ratio: float
    greedy: float
    sampled: float
    tps: float
    depth: int
    gain: float


def parse_version(version: str) -> tuple[str | None, int | None]:
    """(quantisation, tokens of the vocabulary) of a version's name. Raises BadRequestError."""
    quantisation, at, tokens = version.partition("@")
    if not quantisation or (at and not tokens.isdecimal()):
        raise BadRequestError(
            f"{version!r} is no version of a draft model.", "Write file, Q4_0, file@65536 or Q4_0@65536."
        )
    return None if quantisation == AS_IT_IS else quantisation, int(tokens) if at else None


def measure(
    settings: Settings,
    versions: Sequence[str],
    prompts: Sequence[Prompt],
    repeats: int,
    report: Callable[[str], None],
) -> dict[str, object]:
    """Load the target and every version of its draft model together, time them in turn, and compare their tokens.

    repeats: of each timed pass. report: called with what is done next. Raises BadRequestError without a draft model.
    """
    pair, how = settings.resolved(), loading_options(settings, Use(drafts=True))
    if pair.draft is None:
        raise BadRequestError("There is no draft model to compare versions of.", "Name one with --draft.")
    parsed = [parse_version(version) for version in versions]
    with ExitStack() as stack:
        report(f"loading {pair.target}")
        target = load_named_model(settings, pair.target, pair.target_quantisation, lambda *_: None)
        models = [stack.enter_context(closing(target))]
        for version, (quantisation, tokens) in zip(versions, parsed, strict=True):
            report(f"loading {pair.draft}, {version}")
            loaded = load_model(pair.draft, how, quantisation, silent, tokens)
            models.append(stack.enter_context(closing(loaded)))
        windows = [Window(model, settings.context_tokens) for model in models]
        report("timing passes")
        target_ms, token_ms = _times(windows, repeats)
        positions, greedy, sampled = _acceptance(windows, prompts, settings.max_tokens, report)
        results = [
            _measured(version, model, times, token_ms[0], greedy[place], sampled[place], target_ms)
            for place, (version, model, times) in enumerate(zip(versions, models[1:], token_ms, strict=True))
        ]
        about = {"target": target.description.name, "runtime": target.description.runtime, "draft": pair.draft}
    return {
        **about,
        "draft_runtime": models[1].description.runtime,
        "target_pass_ms": {rows: round(ms, 2) for rows, ms in target_ms.items()},
        "positions": positions,
        "versions": [asdict(result) for result in results],
    }


def table(results: Sequence[Measured]) -> str:
    """The versions in Markdown."""
    lines = ["| version | MiB a token | ms a token | ratio | T=0 | T=0.7 | expected rate | depth |", "|---" * 8 + "|"]
    lines += [
        f"| {r.version} | {r.mebibytes:.0f} | {r.token_ms:.1f} | {r.ratio:.2f} | {r.greedy:.3f} | {r.sampled:.3f} "
        f"| {r.gain:.2f} of plain | {r.depth} |"
        for r in results
    ]
    return "\n".join(lines)


def _measured(
    version: str,
    model: LanguageModel,
    times: Sequence[float],
    first: Sequence[float],
    greedy: float,
    sampled: float,
    target_ms: dict[int, float],
) -> Measured:
    path = model.description.gguf
    several = {rows: ms for rows, ms in target_ms.items() if rows > 1}
    token_ms, depth = min(times), best_depth(greedy, min(times), several)
    tps = expected_tps(greedy, depth, token_ms, several)
    return Measured(
        version,
        mebibytes=round(pass_bytes(read(path)) / 2**20, 1) if path else 0.0,
        token_ms=round(token_ms, 2),
        ratio=round(statistics.median(own / other for own, other in zip(times, first, strict=True)), 3),
        greedy=round(greedy, 4),
        sampled=round(sampled, 4),
        tps=round(tps, 2),
        depth=depth,
        gain=round(tps * target_ms[1] / 1000, 3),
    )


def _times(windows: Sequence[Window], repeats: int) -> tuple[dict[int, float], list[list[float]]]:
    """The fastest milliseconds of the target's passes by rows, and those of one row of each draft, all in turn."""
    target, *drafts = windows
    ids = [encode_raw(window.model.tokenizer, PASSAGE)[: _CONTEXT_TOKENS + max(_ROWS)] for window in windows]
    target_ms, token_ms = dict.fromkeys(_ROWS, float("inf")), [list[float]() for _ in drafts]
    for _ in range(repeats):
        for rows in _ROWS:
            own = ids[0][: _CONTEXT_TOKENS + rows]
            target_ms[rows] = min(target_ms[rows], pass_ms(target, own, rows, time.perf_counter, repeats=1))
        for place, window in enumerate(drafts):
            own = ids[place + 1][: _CONTEXT_TOKENS + 1]
            token_ms[place].append(pass_ms(window, own, 1, time.perf_counter, repeats=1))
    return target_ms, token_ms


def _acceptance(
    windows: Sequence[Window], prompts: Sequence[Prompt], max_tokens: int, report: Callable[[str], None]
) -> tuple[int, list[float], list[float]]:
    """How many tokens were compared, and of each draft the shares at T=0 and T=0.7, along the target's greedy texts."""
    target, *drafts = windows
    greedy, sampled = np.zeros(len(drafts)), np.zeros(len(drafts))
    positions = 0
    for prompt in prompts:
        ids = encode_turn(target.model.tokenizer, prompt.text)
        if len(ids) + max_tokens > target.context.size:
            continue
        report(f"comparing: {prompt.category} {prompt.number}")
        p = _plain_rows(target, ids, max_tokens)
        text = p.argmax(axis=1)
        positions += len(text)
        for place, draft in enumerate(drafts):
            q = _rows_along(draft, ids, text.tolist())[:, : p.shape[1]]
            greedy[place] += (q.argmax(axis=1) == text).sum()
            sampled[place] += mean_overlap(p[:, : q.shape[1]] / _WARM, q / _WARM) * len(text)
    if positions == 0:
        raise BadRequestError("No prompt fits the context.", "Give shorter prompts, or raise --context-tokens.")
    return positions, (greedy / positions).tolist(), (sampled / positions).tolist()


def _plain_rows(window: Window, prompt: Sequence[int], max_tokens: int) -> Floats:
    """The logits float[n, V] that plain greedy decoding chooses its n tokens from, up to an end token."""
    window.prefill(prompt[:-1], lambda: False)
    rows, token = list[Floats](), prompt[-1]
    while len(rows) < max_tokens and token not in window.model.tokenizer.eos_ids:
        rows.append(np.array(window.feed([token], "last")[0]))
        token = int(rows[-1].argmax())
    return np.stack(rows)


def _rows_along(window: Window, prompt: Sequence[int], text: Sequence[int]) -> Floats:
    """A draft's logits float[n, V] for each token of the text."""
    window.prefill(prompt[:-1], lambda: False)
    fed = [prompt[-1], *text[:-1]]
    chunks = [fed[at : at + PREFILL_TOKENS] for at in range(0, len(fed), PREFILL_TOKENS)]
    return np.concatenate([np.array(window.feed(chunk)) for chunk in chunks])
