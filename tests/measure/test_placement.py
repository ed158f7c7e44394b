"""Where to draft for a remote target: the measured pass, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.core.theory import capacity_gain, colocated_gain
from speculatoviz.measure.placement import verification_ms, where_to_draft
from support.verifier import connected, serving
from support.verifier_client import toys


def test_capacity_and_gain_follow_from_the_busy_time_of_a_round() -> None:
    """3 drafted tokens of 10 ms and a pass of 60: 90 ms with both models there, 60 without drafts, 50 on the way."""
    assert capacity_gain(3, 10.0, 60.0) == pytest.approx(90 / 60)
    assert colocated_gain(3, 10.0, 60.0, 50.0) == pytest.approx(140 / 90)
    assert capacity_gain(3, 0.0, 60.0) == colocated_gain(3, 10.0, 60.0, 0.0) == 1.0


def test_the_pass_of_a_verifier_is_measured_without_the_network(tmp_path: Path) -> None:
    with serving(toys()[0]) as server, connected(server.url, tmp_path) as target:
        assert (verification_ms(target, 4) or 0) > 0
        assert (verification_ms(target, 1000) or 0) > 0  # as deep as the verifier allows


def test_the_recommendation_has_the_figures_that_are_known() -> None:
    known = where_to_draft(own=True, depth=3, rtt_ms=50.0, pass_ms=60.0, draft_ms=10.0)
    text = "\n".join(known)
    assert "speculatoviz serve` on the verifier's machine" in text
    assert "140.0 ms with drafts from here, and 90.0 ms with both models there: 1.56 times as fast" in text
    assert "1 + k t_d / t_v times as many: 1.50 times here." in text
    without = "\n".join(where_to_draft(own=True, depth=3, rtt_ms=50.0, pass_ms=60.0, draft_ms=None))
    assert "60.0 ms there (t_v, measured)" in without
    assert "With --draft-ms" in without
    assert "1.50" not in without
    [other] = where_to_draft(own=False, depth=3, rtt_ms=50.0, pass_ms=None, draft_ms=10.0)
    assert "--speculative-config" in other
