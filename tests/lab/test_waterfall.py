"""The waterfall leads from the formula's speedup to the measured one, and every bar is what was put into the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from speculatoviz.core.sampling import support
from speculatoviz.errors import BadRequestError
from speculatoviz.lab.waterfall import Waterfall, waterfall
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event, Metrics
from speculatoviz.telemetry.parts import Baseline, PassTime
from support.explained import OPEN, Proposal, Proposing, events, exactly
from support.toy_pair import pair

TARGET, DRAFT = pair()
DEPTH = 3
PLAIN = Baseline(tps=100.0, tokens=16, context_tokens=32, age_s=0.0, kind="startup")  # 10 ms a token
FREE = {"draft_ms": 0.0, "verify_ms": 10.0, "network_ms": 0.0, "evidence_ms": 0.0, "other_ms": 0.0}
PARTS = {"sampling_ms": 0.0, "cache_ms": 0.0}  # of verify_ms


def other_model(prefix: Sequence[int], position: int) -> Proposal:
    return Proposal(support(DRAFT.logits(prefix), OPEN, 64))


def run(*, longer_ms: float = 15.0, **times: float) -> list[Event]:
    """A run of the toy pair whose rounds take these times; a pass over 4 tokens takes `longer_ms`, one over 1 9 ms."""
    spent = FREE | {name: ms for name, ms in times.items() if name not in PARTS}
    parts = PARTS | {name: ms for name, ms in times.items() if name in PARTS}
    began, *others = events(Proposing(other_model), OPEN, depth=DEPTH)
    passes = [PassTime(tokens=1, ms=9.0), PassTime(tokens=DEPTH + 1, ms=longer_ms)]
    told = [began.model_copy(update={"baseline": PLAIN, "pass_times": passes})]
    for event in others:
        if isinstance(event, Metrics):
            event = event.model_copy(update={**spent, **parts, "round_ms": sum(spent.values())})  # noqa: PLW2901
        told.append(event)
    return told


def changes(found: Waterfall) -> dict[str, float | None]:
    return {bar.name: bar.change_ms for bar in found.bars}


def test_the_last_bar_is_the_measured_speedup() -> None:
    told = run(draft_ms=4.0, verify_ms=17.5, network_ms=3.0, evidence_ms=1.0, other_ms=0.5)
    found = waterfall(told)
    rounds = [event for event in told if isinstance(event, Metrics)]

    tokens = sum(event.round_emitted for event in rounds)
    assert found.measured == pytest.approx(tokens * 10.0 / sum(event.round_ms for event in rounds))
    assert found.remainder == pytest.approx(0.0, abs=1e-12)
    assert found.bars[-1].speedup == pytest.approx(found.measured)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("rest of verification", {"verify_ms": 10.0 + 6.0 + 2.5}),
        ("sampling", {"verify_ms": 10.0 + 6.0 + 2.5, "sampling_ms": 2.5}),
        ("cache", {"verify_ms": 10.0 + 6.0 + 2.5, "cache_ms": 2.5}),
        ("network and serialisation", {"network_ms": 2.5}),
        ("evidence", {"evidence_ms": 2.5}),
        ("bookkeeping", {"other_ms": 2.5}),
    ],
)
def test_a_time_that_was_put_in_is_its_own_bar(name: str, times: dict[str, float]) -> None:
    grown = {"verify_ms": 10.0 + 6.0} | times
    found = changes(waterfall(run(**grown)))

    assert found.pop("acceptance by position and text") is None
    assert found.pop(name) == pytest.approx(2.5, abs=0.7)  # the last rounds draft less, so their passes grow less
    assert found.pop("growth of the pass") == pytest.approx(6.0, abs=0.7)
    assert all(abs(ms or 0.0) < 0.7 for ms in found.values())


def test_the_formula_is_the_papers() -> None:
    found = waterfall(run(draft_ms=6.0, verify_ms=16.0))
    a, g, c = found.acceptance, DEPTH, 0.2

    assert found.formula == pytest.approx((1 - a ** (g + 1)) / ((1 - a) * (g * c + 1)), rel=0.02)
    assert found.cost == pytest.approx(c, rel=0.05)


def test_a_run_that_accepts_everything_needs_no_bar_for_its_tokens() -> None:
    accepting = [run(longer_ms=9.0)[0], *events(Proposing(exactly(TARGET)), OPEN, depth=DEPTH)[1:]]
    told = [
        event.model_copy(update=FREE | {"round_ms": 10.0}) if isinstance(event, Metrics) else event
        for event in accepting
    ]
    found = waterfall(told)

    assert found.acceptance == 1.0
    assert found.bars[0].speedup == pytest.approx(found.formula, rel=0.02)


def test_times_that_do_not_add_up_are_a_remainder() -> None:
    usual = run(verify_ms=16.0)
    told = [e.model_copy(update={"round_ms": e.round_ms + 5.0}) if isinstance(e, Metrics) else e for e in usual]

    assert waterfall(told).remainder < -0.1


def test_without_a_baseline_or_a_draft_the_lack_is_named() -> None:
    began, *others = run()
    with pytest.raises(BadRequestError, match="baseline"):
        waterfall([began.model_copy(update={"baseline": None}), *others])
    with pytest.raises(BadRequestError, match="No drafted token"):
        waterfall([began])


def test_the_command_reads_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    toys = ["--target", "toy:0", "--draft", "toy:0~7", "--drafter", "model", "--k", "3", "--max-tokens", "40"]
    runner = CliRunner(env={"SPECULATOVIZ_CACHE_DIR": str(tmp_path), "COLUMNS": "120"})
    assert runner.invoke(app, ["generate", "once", *toys, "--trace", str(file)]).exit_code == 0
    shown, refused = runner.invoke(app, ["why", str(file)]), runner.invoke(app, ["why", str(tmp_path / "none")])

    assert shown.exit_code == 0, shown.output
    rounds = [event for event in trace.read(file).events if isinstance(event, Metrics)]
    assert all(0.0 < one.sampling_ms < one.verify_ms for one in rounds)
    assert all(0.0 < one.cache_ms < one.verify_ms - one.sampling_ms for one in rounds)
    for name in ("formula", "growth of the pass", "sampling", "cache", "bookkeeping", "remainder", "measured"):
        assert name in shown.output
    assert refused.exit_code == 1
