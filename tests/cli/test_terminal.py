"""What a run looks like on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from speculatoviz.cli.document import Document
from speculatoviz.cli.output import TextConsole
from speculatoviz.cli.terminal import SOURCES, STYLES, Transcript, summary
from speculatoviz.core.steps import Ended
from speculatoviz.models.base import UNKNOWN
from speculatoviz.models.runtimes.toy import ToyTokenizer
from speculatoviz.telemetry.events import Departure, Done, DraftToken, Event, Queued, RunWarning, Started, VerifyResult
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.parts import RemoteInfo, UsageInfo
from support import toy_session
from support.rounds import make_round


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    session = toy_session.load(tmp_path_factory.mktemp("cache"))
    return toy_session.run(session, temperature=0.9, seed=4, ignore_eos=True)


def printed(*events: Event, colours: bool = False, width: int = 60) -> str:
    out = io.StringIO()
    console = TextConsole(
        file=out,
        width=width,
        force_terminal=colours,
        color_system="truecolor" if colours else None,
        legacy_windows=False,
        _environ={},
    )
    transcript = Transcript(console)
    for event in events:
        transcript.show(event)
    return out.getvalue()


def result(text: str, status: str = "accepted") -> VerifyResult:
    [event] = [
        e
        for e in Narrator("r", ToyTokenizer((b"a", b"b")), None, lambda: 0.0).events([make_round(1, 1)])
        if isinstance(e, VerifyResult) and e.status == "accepted"
    ]
    return event.model_copy(update={"text": text, "status": status})


def done(**changes: object) -> Done:
    [event] = Narrator("r", ToyTokenizer((b"a", b"b")), None, lambda: 0.0).events([Ended("length", "")])
    assert isinstance(event, Done)
    return event.model_copy(update=changes)


def test_a_run_is_printed_as_headline_text_legend_and_figures(events: list[Event]) -> None:
    last = events[-1]
    assert isinstance(last, Done)
    text = printed(*events, width=100)

    assert text.startswith("toy-0~7 F64 drafts 3 for toy-0 F64 · exact\n")
    assert f"exact\n{last.generated_text}\n" in text
    assert text.index("accepted · resampled · bonus · plain") > text.index(last.generated_text)
    assert f"{last.total_tokens} in {last.total_rounds} rounds (length)" in text
    assert "tok/s plain, measured" in text


@pytest.mark.parametrize("status", sorted(STYLES))
def test_each_status_has_a_colour_of_its_own(status: str) -> None:
    others = {printed(result("word", other), colours=True) for other in STYLES if other != status}

    assert "word" in printed(result("word", status), colours=True)
    assert printed(result("word", status), colours=True) not in others


@pytest.mark.parametrize(
    "text",
    [
        "\tif x:\n\t\treturn\n",
        "a line that is far longer than the terminal is wide, " * 5,
        "trailing blanks   \n\n\n   leading blanks",
        "[red]not markup[/red] [b]",
        ":smile: is no emoji",
        "語 é 🙂",
    ],
    ids=["tabs", "long", "blanks", "markup", "emoji names", "wide characters"],
)
def test_text_is_printed_unchanged(text: str) -> None:
    assert printed(result(text)) == text
    assert printed(done(text_tail=text)).startswith(text + "\n")


def test_control_characters_in_a_text_do_not_reach_the_terminal() -> None:
    text = printed(result("\x1b[31mred\x1b]0;title\x07\x9b2J\x08\x7f\r\n"), colours=False)

    assert text == "\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\x08\\x7f\n"


def test_pieces_are_joined_without_anything_between() -> None:
    assert printed(result("ab"), result("", "rejected"), result(" c"), result("\n"), result("d")) == "ab c\nd"


def test_waiting_prints_the_position() -> None:
    assert "position 2" in printed(Queued(run="r", seq=0, t_ms=0.0, place=2))


def test_the_headline_names_the_drafter(events: list[Event]) -> None:
    started = events[0]
    assert isinstance(started, Started)

    proven = started.model_copy(update={"batch_invariant": True})
    assert printed(proven).split("\n")[0].endswith(" · exact · bit for bit")
    lossy = started.exactness.model_copy(update={"label": "lossy"})
    assert printed(proven.model_copy(update={"exactness": lossy})).split("\n")[0].endswith(" · lossy")
    assert printed(started.model_copy(update={"drafter": "ngram"})).startswith("ngram drafts 3 for toy-0")
    assert printed(started.model_copy(update={"policy": "auto", "k": 12})).startswith("toy-0~7 F64 drafts up to 12 for")
    assert printed(started.model_copy(update={"k": 0})) == "toy-0 F64 alone\n"


def test_the_headline_leaves_out_what_the_target_does_not_report(events: list[Event]) -> None:
    started = events[0]
    assert isinstance(started, Started)
    model = started.target_model.model_copy(update={"quantisation": UNKNOWN})

    assert printed(started.model_copy(update={"k": 0, "target_model": model})) == "toy-0 alone\n"


def test_an_unknown_figure_is_a_dash() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(summary(done()))
    rows = {line[:24].strip(): line[24:].strip() for line in out.getvalue().splitlines()}

    assert rows == {
        "tokens": "0 in 0 rounds (length)",
        "accepted": "0 of 0 drafted (–)",
        "mean acceptance length": "–",
        "speed": "– tok/s",
        "speedup": "–",
        "time to first token": "–",
    }


def test_nothing_is_printed_for_events_without_text(events: list[Event], tmp_path: Path) -> None:
    silent = [e for e in events if e.type in {"draft_token", "metrics", "updated"}]

    assert silent
    assert printed(*silent) == ""


def test_a_remote_target_is_shown_with_its_warning_and_its_cost(events: list[Event]) -> None:
    started = events[0]
    assert isinstance(started, Started)
    remote = RemoteInfo(
        url="http://there", mode="match", rtt_ms=None, calls_per_round=1, findings=[], rate_limit=None, warning="Slow!"
    )
    assert "Slow!" in printed(started.model_copy(update={"remote": remote}))

    usage = UsageInfo(
        calls=7, prompt_tokens=90, completion_tokens=None, cached_tokens=30, sent_bytes=None, received_bytes=None
    )
    last = done()
    values = last.metrics.model_copy(update={"usage": usage, "per_call_speedup": 1.25, "total_variation_bound": 0.03})
    shown = printed(last.model_copy(update={"metrics": values}), width=120)
    assert "7 calls, 90 prompt tokens, 30 of them cached" in shown
    assert "completion tokens" not in shown
    assert "1.25×" in shown
    assert "at most 3 %" in shown
    assert "cost at the target" not in printed(last)


def test_a_warning_is_shown_after_the_text_and_kept_in_the_document(events: list[Event]) -> None:
    warning = RunWarning(run="r", seq=0, t_ms=0.0, round=3, message="A drafter failed.", hint="Choose another.")
    run = [*events[:5], warning, *events[5:]]
    last = events[-1]
    assert isinstance(last, Done)
    text = printed(*run, width=100)
    document = Document()
    for event in run:
        document.show(event)

    assert f"exact\n{last.generated_text}\n\nround 4: A drafter failed. Choose another.\naccepted" in text
    assert document.values()["warnings"] == [{"round": 3, "message": "A drafter failed.", "hint": "Choose another."}]


def test_a_departure_from_the_plain_text_is_a_figure() -> None:
    tokens = {"plain_token": " a", "speculative_token": "\x1b"}
    departure = Departure(position=11, margin=None, **tokens)
    shown = printed(done(departure=departure), width=120)

    assert "departs from the plain text  at token 12: '\\x1b' instead of ' a', margin – nats" in shown
    assert "departs" not in printed(done())


@pytest.mark.parametrize(("source", "name"), [("grammar", "forced by the grammar"), ("prediction", "predicted")])
def test_accepted_tokens_of_a_grammar_or_a_prediction_have_a_colour_and_a_name(
    events: list[Event], source: str, name: str
) -> None:
    """The twin: tokens of a drafter have neither."""
    marked = [e.model_copy(update={"source": source}) if isinstance(e, DraftToken) else e for e in events]

    assert f"plain · {name}\n" in printed(*marked, width=100)
    assert name not in printed(*events, width=100)
    coloured = printed(*marked, colours=True, width=100)
    assert coloured != printed(*events, colours=True, width=100)
    styles = [STYLES["accepted"], *(style for _, style in SOURCES.values())]
    assert len(set(styles)) == len(styles)
