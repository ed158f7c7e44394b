"""A target whose scores are not finite ends its run in words, and chooses no token by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from speculatoviz.core.types import Draft, Floats, Limits, Request, Sampling
from speculatoviz.errors import ModelError
from speculatoviz.models.base import Feed, Rows, check_finite
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.targets.local import LocalTarget

PROMPT = (0, 1, 2)


class Damaged(ToyModel):
    """One logit of every row, or all of them, is another value."""

    def __init__(self, value: float, *, everywhere: bool) -> None:
        super().__init__()
        self._value, self._everywhere = value, everywhere

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        return [Rows(self._damaged(rows.logits)) for rows in super().forward(feeds)]

    def _damaged(self, logits: Floats) -> Floats:
        damaged = logits.copy()
        damaged[:, slice(None) if self._everywhere else 2] = self._value
        return damaged


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    ("value", "everywhere"), [(np.nan, False), (np.nan, True), (np.inf, False), (np.inf, True), (-np.inf, True)]
)
def test_scores_that_are_not_finite_end_the_run_in_words(value: float, everywhere: bool, temperature: float) -> None:
    target = LocalTarget(Damaged(value, everywhere=everywhere), 64, lambda: 0.0)
    target.begin(Request(PROMPT, Sampling(temperature), Limits(8)))
    with pytest.raises(ModelError, match="not finite"):
        target.verify(Draft.empty(0))
    assert target.ids == PROMPT, "nothing was emitted"


def test_a_token_that_a_model_excludes_is_no_damage() -> None:
    target = LocalTarget(Damaged(-np.inf, everywhere=False), 64, lambda: 0.0)
    target.begin(Request(PROMPT, Sampling(0.7), Limits(8)))
    assert target.verify(Draft.empty(0)).extra.token != 2


def test_every_row_is_checked() -> None:
    rows = np.zeros((3, 5), np.float32)
    check_finite(rows, "It")
    rows[2, 4] = np.nan
    with pytest.raises(ModelError, match="It computes"):
        check_finite(rows, "It")


def test_a_local_target_offers_its_window_and_is_not_remote() -> None:
    target = LocalTarget(ToyModel(3), 64, lambda: 0.0)
    assert target.window.model is target.model
    assert target.remote is None


def test_a_target_that_shares_a_window_reuses_its_cache() -> None:
    first = LocalTarget(ToyModel(3), 64, lambda: 0.0)
    first.begin(Request((0, 1, 2, 3), Sampling(), Limits(4)))
    second = LocalTarget(first.model, 64, lambda: 0.0, window=first.window)
    assert second.window is first.window
    assert second.commit_prompt(Request((0, 1, 2, 3), Sampling(), Limits(4))) == []


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("drafted", [[], [2, 1]])
def test_the_certainty_is_the_largest_probability_after_the_last_committed_token(
    drafted: list[int], temperature: float
) -> None:
    model = ToyModel(3)
    target = LocalTarget(model, 64, lambda: 0.0)
    target.begin(Request(PROMPT, Sampling(temperature, top_k=2), Limits(8), certainty=True))
    verdict = target.verify(Draft.chain(0, drafted, (None,) * len(drafted), "t"))

    context = model.open(64)
    row = model.forward([Feed(context, PROMPT, rows="last")])[0].logits[0].astype(np.float64)
    probs = np.exp((row - row.max()) / (temperature or 1.0))
    assert verdict.certainty == pytest.approx(probs.max() / probs.sum(), abs=1e-6)


def test_no_certainty_is_computed_unasked() -> None:
    target = LocalTarget(ToyModel(3), 64, lambda: 0.0)
    target.begin(Request(PROMPT, Sampling(), Limits(8)))
    assert target.verify(Draft.empty(0)).certainty is None


def test_a_draft_before_begin_is_a_mistake() -> None:
    target = LocalTarget(ToyModel(3), 64, lambda: 0.0)
    with pytest.raises(RuntimeError, match="begin"):
        target.submit(Draft.empty(0)).result()
