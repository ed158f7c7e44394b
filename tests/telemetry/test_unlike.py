"""A speedup is claimed only where passes of the run and of its baseline took like times, here and on the page."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from speculatoviz.cli.app import app
from speculatoviz.cli.document import Document
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.terminal import Transcript
from speculatoviz.core.steps import Ended
from speculatoviz.lab.run import Run
from speculatoviz.lab.store.runs import RunStore
from speculatoviz.lab.store.summary import RunFold, RunSummary
from speculatoviz.lab.waterfall import waterfall
from speculatoviz.models.runtimes.toy import ToyTokenizer
from speculatoviz.telemetry import unlike
from speculatoviz.telemetry.events import Event, Metrics
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.parts import Baseline, PassTime, RemoteInfo
from speculatoviz.telemetry.unlike import UNLIKE, BaselineCheck, UnlikePasses
from support import environment
from support.kept import keep
from support.recorded import LETTERS, started
from support.rounds import make_round, times

PLAIN_MS = 31.0
PASSES = [PassTime(tokens=place + 1, ms=ms) for place, ms in enumerate((30.0, 36.0, 44.0, 52.0, 60.0))]
PAGE = Path(__file__).parents[2] / "frontend" / "src" / "run" / "unlike.ts"
Rounds = Sequence[tuple[int, float]]


def baseline(ms: float, kind: Literal["startup", "plain_run"] = "startup") -> Baseline:
    return Baseline(tps=1000 / ms, tokens=16, context_tokens=32, age_s=0.0, kind=kind)


def run_of(rounds: Rounds, plain_ms: float = PLAIN_MS, runs: int = 1, **changes: Any) -> list[Event]:
    """A whole run of rounds that each drafted so many tokens, of which none is accepted, in passes of so many ms."""
    narrator = Narrator("r", ToyTokenizer(LETTERS), 1000 / plain_ms, lambda: 0.0)
    steps = [
        make_round(drafted, 0, index=index, measured=times(draft_ms=0.5, verify_ms=ms))
        for index, (drafted, ms) in enumerate(rounds)
    ]
    found: list[Event] = [started(**{"baseline": baseline(plain_ms), "pass_times": PASSES} | changes)]
    for event in narrator.events([*steps, Ended("length", "")]):
        found.append(event.model_copy(update={"runs": runs}) if isinstance(event, Metrics) else event)
    return found


def unlike_in(rounds: Rounds, plain_ms: float = PLAIN_MS, runs: int = 1, **changes: Any) -> UnlikePasses | None:
    check = BaselineCheck()
    for event in run_of(rounds, plain_ms, runs, **changes):
        check.add(event)
    return check.unlike()


def some(count: int, drafted: int, ms: float) -> list[tuple[int, float]]:
    return [(drafted, ms)] * count


def test_passes_of_one_token_are_compared_by_their_median() -> None:
    assert unlike_in([*some(5, 0, 64.0), (0, 900.0), (0, 10.0)]) == (1, 64.0, pytest.approx(31.0), None)
    slow = unlike_in(some(5, 0, 31.0), plain_ms=64.0)
    assert slow is not None
    assert (slow.run_ms, slow.baseline_ms) == (31.0, pytest.approx(64.0))


def test_they_count_before_those_of_drafts_whose_table_is_from_another_time() -> None:
    assert unlike_in([*some(9, 4, 300.0), *some(4, 0, 32.0)]) is None


@pytest.mark.parametrize("factor", [1.45, 1.55])
def test_the_limit_holds_in_either_direction(factor: float) -> None:
    for ms in (PLAIN_MS * factor, PLAIN_MS / factor):
        assert (unlike_in(some(6, 0, ms)) is None) is (factor < UNLIKE)


def test_a_few_passes_and_fractions_of_a_millisecond_decide_nothing() -> None:
    assert unlike_in(some(3, 0, 64.0)) is None
    assert unlike_in(some(9, 0, 1.2), plain_ms=0.4) is None


def test_passes_over_drafts_are_compared_at_the_speed_of_the_baseline() -> None:
    assert unlike_in([*some(6, 4, 140.0), (3, 90.0)]) == (5, 140.0, pytest.approx(60 * 31 / 30), None)
    assert unlike_in(some(6, 4, 140.0), plain_ms=66.0) is None  # measured under the same load


def test_the_baseline_of_the_start_can_be_the_slower_one_and_a_plain_run_of_the_page_cannot() -> None:
    """Load slows down passes of one token most, so a plain run under the load of its run may only look slower."""
    own = some(6, 4, 62.0)
    assert unlike_in(own, plain_ms=90.0) == (5, 62.0, pytest.approx(60 * 90 / 30), None)
    assert unlike_in(own, plain_ms=90.0, baseline=baseline(90.0, "plain_run")) is None


def test_what_is_not_known_is_not_unlike() -> None:
    slow = some(6, 4, 400.0)
    remote = RemoteInfo(
        url="ws://v", mode="verifier", rtt_ms=1.0, calls_per_round=1.0, findings=[], rate_limit=None, warning=None
    )
    assert unlike_in(slow) is not None
    assert unlike_in(some(6, 7, 400.0)) is None
    assert unlike_in(slow, pass_times=[]) is None
    assert unlike_in(slow, baseline=None) is None
    assert unlike_in(slow, remote=remote) is None
    assert unlike_in(slow, runs=2) is None
    assert BaselineCheck().unlike() is None


def test_a_longer_text_is_named_as_a_cause_of_slower_passes_only() -> None:
    slow, fast = (unlike_in(some(6, 0, 64.0), plain_ms=ms, prompt_tokens=1800) for ms in (31.0, 128.0))
    assert slow is not None
    assert fast is not None
    assert slow.context_tokens == 1806
    assert str(slow) == (
        "A pass of one token took 64 ms in this run and 31 ms when the baseline was measured: something else used the "
        "processor, or the text, of 1806 tokens, is the cause, so the two cannot be compared."
    )
    assert fast.context_tokens is None
    assert "something else used the processor then" in str(fast)


def test_the_page_has_the_same_limits() -> None:
    """Two implementations of one rule: a limit that is changed in one place only fails here."""
    found = dict(re.findall(r"const (\w+) = ([\d.]+);", PAGE.read_text(encoding="utf-8")))
    ours = {
        "UNLIKE": unlike.UNLIKE,
        "LEAST_DIFFERENCE_MS": unlike._LEAST_DIFFERENCE_MS,
        "LEAST_PASSES": unlike._LEAST_PASSES,
        "LONGER_TOKENS": unlike._LONGER_TOKENS,
    }
    assert 1 < float(found.pop("NOTED")) < unlike.UNLIKE  # from which the page adds a word to a verdict that stands
    assert {name: float(value) for name, value in found.items()} == ours


# --- what is shown --------------------------------------------------------------------------------------


LOADED, QUIET = run_of(some(6, 3, 140.0)), run_of(some(6, 3, 52.0))
WORDS = "A pass over 4 tokens took 140 ms in this run and 54 ms at the speed of the baseline"


def summary_of(events: Sequence[Event]) -> RunSummary:
    first, *rest = events
    fold = RunFold(started(**dict(first)))
    for event in rest:
        fold.add(event)
    return fold.summary


def test_a_summary_has_words_in_place_of_the_factor() -> None:
    loaded, quiet = summary_of(LOADED), summary_of(QUIET)
    assert loaded.speedup is None
    assert (loaded.unlike or "").startswith(WORDS)
    assert quiet.unlike is None
    assert quiet.speedup == pytest.approx(quiet.tps / quiet.baseline_tps if quiet.tps and quiet.baseline_tps else None)
    assert summary_of(LOADED[:-1]).speedup is None  # while it goes on too


def test_a_terminal_and_a_document_say_it() -> None:
    for events, claimed in ((LOADED, False), (QUIET, True)):
        out, document = io.StringIO(), Document()
        transcript = Transcript(TextConsole(file=out, width=300, _environ={}))
        for event in events:
            transcript.show(event)
            document.show(event)
        values = document.values()
        assert (f"not claimed: {WORDS}" in out.getvalue()) is not claimed
        assert ("plain, measured" in out.getvalue()) is claimed
        assert (values["speedup"] is not None, values["unlike"] is None) == (claimed, claimed)
        assert ("plain decoding" in repr(Run(events)), "no speedup is claimed" in repr(Run(events))) == (
            claimed,
            not claimed,
        )


def test_why_gives_times_but_no_speedups() -> None:
    found = waterfall(LOADED)
    assert found.unlike is not None
    assert {found.formula, found.measured, found.remainder, *(bar.speedup for bar in found.bars)} == {None}
    assert sum(bar.change_ms or 0.0 for bar in found.bars) == pytest.approx(140.0 + 3.0 - PLAIN_MS)


def test_the_commands_about_kept_runs_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.clean(monkeypatch, tmp_path)
    with_store = str(tmp_path / "runs.db")
    store = RunStore.open(with_store)
    keep(store, LOADED, "1" * 32)
    store.close()
    written = [CliRunner().invoke(app, [*command, "--store", with_store]).output for command in COMMANDS]
    shown, why, told = (" ".join(text.split()) for text in written)
    assert f"not claimed: {WORDS}" in shown
    assert f"No speedup is claimed. {WORDS}" in why
    assert "×" not in why
    assert json.loads(told)["unlike"].startswith(WORDS)


COMMANDS = [["runs", "show", "1" * 32], ["why", "1" * 32], ["why", "1" * 32, "--json"]]
