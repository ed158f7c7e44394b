"""The two sentences state what the intervals allow, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from speculatoviz.lab.report.answer import answer, caution
from speculatoviz.lab.sweep.summary import Summary
from support.sweeps import AUTO, SUFFIX, plain, run


def speedups(cell: object, ratios: Iterable[float], **changed: object) -> list[object]:
    names = ("coding", "writing")
    return [
        run(cell, ratio, names[n % 2], n // 2, **changed)  # type: ignore[arg-type]
        for n, ratio in enumerate(ratios)
    ]


def spread(mean: float, prompts: int = 12) -> list[float]:
    return (mean * np.exp(np.linspace(-0.05, 0.05, prompts))).tolist()


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        (spread(1.4), "speculation pays: the fastest"),
        (spread(0.8), "speculation does not pay: the fastest"),
        ([0.7, 1.5, 0.9, 1.2, 0.8, 1.1], "it is not clear whether speculation pays: the fastest"),
        ([1.4], "it is not clear whether speculation pays: the fastest"),
    ],
    ids=["pays", "does not", "unclear", "one prompt"],
)
def test_the_verdict_follows_from_the_interval(ratios: list[float], verdict: str) -> None:
    runs = [plain("coding"), plain("writing"), *speedups(SUFFIX, ratios)]
    first, _ = answer(Summary(runs), "a-target")  # type: ignore[arg-type]

    assert first.startswith("a-target on this machine: at T=0 ")
    assert verdict in first
    mean = math.exp(np.mean(np.log(ratios)))
    assert f"suffix, k 4, decodes {mean:.2f} times as fast as the target alone" in first
    assert ("95 % interval" in first) == (len(ratios) > 1)


def test_every_temperature_has_its_verdict_and_the_reason_its_arithmetic() -> None:
    runs = [*speedups(SUFFIX, [2.0, 0.5] * 4), *speedups(AUTO, [1.25] * 8), *speedups(AUTO, [0.8] * 8, temperature=0.7)]
    first, second = answer(Summary([plain(), *runs]), "a-target")  # type: ignore[list-item]

    assert "at T=0 speculation pays" in first
    assert "at T=0.7 speculation does not pay" in first
    assert "2 choices, auto, decodes 1.25 times" in first
    assert second.startswith("At T=0 a round of auto brings 2.00 tokens and takes as long as 1.60 plain tokens")
    assert second.endswith("it is faster in coding and writing, from 1.25 (coding) to 1.25 (coding).")


def test_other_programs_are_named_if_they_took_a_part() -> None:
    some = Summary([plain(foreign_share=0.1), run(SUFFIX, 1.5, foreign_share=0.2)])
    quiet = Summary([plain(foreign_share=0.01), plain(), run(SUFFIX, 1.5, foreign_share=0.02)])
    slower = [plain(), plain(round_ms=(12.0,) * 8), run(SUFFIX, 1.5)]

    assert caution(some).startswith("Other programs used 15 % of the processor time")
    assert caution(Summary(slower)).startswith("Plain runs of one prompt differ by a factor of 1.20")
    assert caution(quiet) == caution(Summary([plain(), run(SUFFIX, 1.5)])) == ""


@pytest.mark.parametrize(
    "busy", [{"foreign_share": 0.5}, {"round_ms": (20.0,) * 8}], ids=["other programs", "plain runs that differ"]
)
def test_on_a_busy_machine_nothing_is_clear(busy: dict[str, object]) -> None:
    ratios, share = spread(1.4), {"foreign_share": busy.get("foreign_share")}
    measured = [*speedups(SUFFIX, ratios, **share), plain("coding"), plain("coding", **busy)]
    first, _ = answer(Summary(measured), "a-target")  # type: ignore[arg-type]

    assert "it is not clear whether speculation pays" in first
    assert first.endswith("The machine was too busy to tell.")
    quiet = [*speedups(SUFFIX, ratios), plain("coding"), plain("coding")]  # the twin
    assert "speculation pays: the fastest" in answer(Summary(quiet), "a-target")[0]  # type: ignore[arg-type]


def test_the_best_of_noise_is_not_called_a_gain() -> None:
    chance = np.random.default_rng(1)
    noise = [
        run(SUFFIX.__class__("suffix", k=k), math.exp(chance.normal(0, 0.3)), prompt=n)
        for k in range(1, 13)
        for n in range(10)
    ]
    assert "it is not clear" in answer(Summary([plain(), *noise]), "a-target")[0]
