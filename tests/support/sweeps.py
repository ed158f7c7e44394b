"""Runs of a sweep with given figures, and a folder that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from speculatoviz.lab.sweep.cells import PLAIN, Cell
from speculatoviz.lab.sweep.records import About, Folder, SweepRun
from speculatoviz.telemetry.parts import ModelInfo, SamplingInfo

SUFFIX = Cell("suffix", k=4)
MODEL = Cell("model", k=2)
AUTO = Cell(policy="auto")
TOKENS, PLAIN_MS = 8, 10.0  # of every run, and of a plain token


def plain(category: str = "coding", prompt: int = 0, temperature: float = 0.0, **changed: Any) -> SweepRun:
    """A plain run: eight tokens of 10 ms."""
    values: dict[str, Any] = {
        "prompt_tokens": 20,
        "finish_reason": "length",
        "exactness": "exact",
        "ttft_ms": 50.0,
        "emitted": (1,) * TOKENS,
        "drafted": (0,) * TOKENS,
        "accepted": (0,) * TOKENS,
        "round_ms": (PLAIN_MS,) * TOKENS,
        "verify_ms": TOKENS * PLAIN_MS,
    }
    return SweepRun(category, prompt, temperature, PLAIN, **values | changed)


def run(
    cell: Cell, speedup: float, category: str = "coding", prompt: int = 0, temperature: float = 0.0, **changed: Any
) -> SweepRun:
    """A run of four rounds, each with two drafted tokens of which the first one is accepted."""
    round_ms = TOKENS * PLAIN_MS / speedup / 4
    values: dict[str, Any] = {
        "prompt_tokens": 20,
        "finish_reason": "length",
        "exactness": "exact",
        "ttft_ms": 60.0,
        "emitted": (2,) * 4,
        "drafted": (2,) * 4,
        "accepted": (1,) * 4,
        "round_ms": (round_ms,) * 4,
        "draft_ms": round_ms,
        "verify_ms": 3 * round_ms,
        "tested_position": (0, 1) * 4,
        "tested_accepted": (True, False) * 4,
        "tested_context_tokens": tuple(place for start in (20, 22, 24, 26) for place in (start, start + 1)),
        "tested_entropy": (0.05, 3.0) * 4,
        "tested_token_class": ("word start", "punctuation") * 4,
        "plain_tps": 1000.0 / PLAIN_MS,
    }
    return SweepRun(category, prompt, temperature, cell, **values | changed)


def model(name: str = "a-target") -> ModelInfo:
    return ModelInfo(
        name=name,
        runtime="llamacpp",
        quantisation="Q4_0",
        parameters=None,
        size_bytes=None,
        context_tokens=512,
        vocabulary=100,
        fingerprint="f00",
        computes_on="CPU",
    )


def about(**changed: Any) -> About:
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0",
        "machine": "a machine",
        "target": model(),
        "draft": model("a-draft"),
        "weights": "",
        "library": "llamacpp 1",
        "max_tokens": TOKENS,
        "context_tokens": 512,
        "sampling": SamplingInfo(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0),
        "rule": "token",
        "seed": 0,
        "threads": 2,
        "prompts": "prompts.jsonl",
        "prompts_sha256": "0" * 64,
        "categories": {"coding": 3, "writing": 3},
        "pass_ms": {1: 10.0, 2: 12.0, 3: 14.0, 4: 16.0, 5: 18.0},
        "draft_ms": 2.0,
        "noise_floor": None,
    }
    return About(**values | changed)


def folder_of(path: Path, runs: Iterable[SweepRun], facts: Sequence[About] = ()) -> Folder:
    """A folder that holds these runs."""
    folder = Folder(path)
    folder.open()
    for entry in (*(facts or [about()]), *runs):
        folder.append(entry)
    return folder
