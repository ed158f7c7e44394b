"""The public API: a pair is loaded, runs, shows itself, and every name is there and documented."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import speculatoviz as sv
from speculatoviz.errors import BadRequestError, TraceError
from support import environment, toy_session

PYTHON_MD = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sv.Pair]:
    environment.clean(monkeypatch, tmp_path)
    with sv.load(target="toy:0", draft="toy:0~7", drafter="model", max_tokens=24) as loaded:
        monkeypatch.setattr(type(loaded.session.calibration), "measure_next", lambda _self: False)
        yield loaded


def test_every_public_name_is_there_typed_and_documented() -> None:
    text = PYTHON_MD.read_text(encoding="utf-8")

    assert sorted(sv.__all__) == sv.__all__
    assert set(sv.__all__) <= set(dir(sv))
    for name in sv.__all__:
        value = getattr(sv, name)
        assert inspect.getdoc(value), name
        assert f"`{name}" in text, name
        for member, of in vars(value).items() if inspect.isclass(value) else ():
            if not member.startswith("_") and (callable(of) or isinstance(of, property)):
                assert re.search(rf"\b{member}\b", text), f"{name}.{member}"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sv.nothing  # noqa: B018


def test_a_run_has_its_text_its_rounds_and_its_figures(pair: sv.Pair) -> None:
    run = pair.generate("once upon a time", k=3)

    assert run.done is not None
    assert run.text == run.done.generated_text
    assert run.text == "".join(round.text for round in run.rounds) + run.done.text_tail
    assert sum(round.emitted for round in run.rounds) == len(run.token_ids) == run.done.total_tokens
    assert sum(round.accepted for round in run.rounds) == run.done.total_accepted
    assert all(len(round.drafted) <= 3 for round in run.rounds)
    assert [round.index for round in run.rounds] == list(range(len(run.rounds)))
    assert run.metrics is not None
    assert run.started.exactness.label == pair.exactness.label
    assert f"{len(run.token_ids)} tokens in" in repr(run)


def test_rounds_come_one_by_one_and_can_be_left(pair: sv.Pair) -> None:
    rounds = pair.rounds("once upon a time", k=3)
    first = next(rounds)
    assert isinstance(first, sv.Round)
    rounds.close()  # type: ignore[attr-defined]

    again = list(pair.rounds([{"role": "user", "content": "once upon a time"}], k=3))
    assert (again[0].text, again[0].accepted) == (first.text, first.accepted)


def test_a_plain_run_is_the_target_alone_and_greedy_text_is_the_same(pair: sv.Pair) -> None:
    plain, run = pair.plain("once upon a time"), pair.generate("once upon a time", k=3)

    assert plain.metrics is not None
    assert plain.metrics.drafted == 0
    assert plain.text == run.text
    assert run.speedup_over(plain) > 0.0
    assert math.isnan(run.speedup_over(sv.Run(plain.events[:1])))


def test_a_trace_is_the_run(pair: sv.Pair, tmp_path: Path) -> None:
    run = pair.generate("once upon a time", k=3)
    run.save(tmp_path / "run.jsonl")
    read = sv.open_trace(str(tmp_path / "run.jsonl"))

    assert read.events == run.events
    assert read.header is not None
    assert sv.why(tmp_path / "run.jsonl") == sv.why(run) == run.why()

    lines = (tmp_path / "run.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[: len(lines) // 2]))
    cut = sv.open_trace(tmp_path / "cut.jsonl")
    assert cut.done is None
    assert run.text.startswith(cut.text)
    assert run.token_ids[: len(cut.token_ids)] == cut.token_ids
    assert cut.metrics is not None
    with pytest.raises(TraceError):
        sv.open_trace(tmp_path / "none.jsonl")
    with pytest.raises(TraceError):
        run.save(tmp_path / "none" / "run.jsonl")


def test_mistakes_are_answered_in_words(pair: sv.Pair, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no setting named 'taget'"):
        sv.load(taget="toy:0")
    with pytest.raises(BadRequestError, match=r"k is 99, and allowed are 0 to 16"):
        pair.generate("once", k=99)
    with pytest.raises(BadRequestError, match="no setting named 'depth'"):
        pair.generate("once", depth=3)  # type: ignore[call-arg]
    with pytest.raises(BadRequestError, match="no drafter named 'eagle' here"):
        pair.generate("once", drafter="eagle")
    with pytest.raises(BadRequestError, match="The prompts are one text"):
        pair.sweep("once", tmp_path / "out")
    with pytest.raises(BadRequestError, match="has its weights already"):
        pair.sweep(["once"], tmp_path / "out", drafters=["model=toy:1"])
    with pytest.raises(BadRequestError, match="There are no prompts"):
        pair.sweep([], tmp_path / "out")


def test_a_certificate_is_an_object(pair: sv.Pair) -> None:
    found = pair.certify(["once upon a time"], k=3, max_tokens=12, samples=60, positions=2)

    assert isinstance(found, sv.Certificate)
    assert found.verdict == "passed"
    with pytest.raises(sv.SpeculatoVizError, match="above 0"):
        pair.certify(["once upon a time"], temperature=0.0)


def test_a_sweep_is_an_object_that_can_be_opened_again(pair: sv.Pair, tmp_path: Path) -> None:
    stages = list[str]()
    sweep = pair.sweep(
        ["once", "upon"],
        tmp_path / "out",
        k=[2],
        temperatures=[0.7],
        progress=lambda stage, _share: stages.append(stage),
    )
    again = pair.sweep(["once", "upon"], tmp_path / "out", k=[2], temperatures=[0.7])
    opened = sv.open_sweep(tmp_path / "out")

    assert sweep.runs == again.runs == opened.runs
    assert any("of 6 runs" in stage for stage in stages)
    assert sweep.best() == opened.best(0.7)
    assert [run.cell.label for run in sweep.runs if not run.cell.plain].count("suffix, k 2") == 2
    assert len(sweep.trace(sweep.runs[0]).token_ids) == sweep.runs[0].tokens
    assert sweep.report() == tmp_path / "out" / "report.html"
    assert "runs in" in repr(sweep)
    with pytest.raises(BadRequestError, match="holds no runs"):
        sv.open_sweep(tmp_path / "nowhere")


def test_runs_and_sweeps_show_themselves_and_foreign_text_is_text(pair: sv.Pair, tmp_path: Path) -> None:
    session = toy_session.load(tmp_path / "cache")
    *others, done = toy_session.run(session, max_tokens=40, ignore_eos=True)
    session.close()
    run = sv.Run(
        [*others, done.model_copy(update={"text_tail": "<b>&", "generated_text": f"{done.generated_text}<b>&"})]
    )  # type: ignore[union-attr]
    html = run._repr_html_()
    text = re.sub(r"<del>.*?</del>|<[^>]+>", "", html.split("</div>")[0])
    for escaped, letter in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        text = text.replace(escaped, letter)

    assert text == run.text
    assert "<del>" in html
    assert "<b>" not in html
    assert "<script" not in html
    assert "http" not in html
    shown = pair.sweep(["once"], tmp_path / "out", drafters=["suffix"], k=[2])._repr_html_()
    assert "it is not clear whether speculation pays" in shown
    assert "<table>" in shown
