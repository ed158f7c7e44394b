"""The player: a recorded run inside one HTML file, whatever its texts contain."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import pytest

from speculatoviz.errors import TraceError
from speculatoviz.lab.player import player
from speculatoviz.telemetry.events import Record
from support.kept import lines
from support.recorded import HEAD, events

TEMPLATE = "<title>{{title}}</title>\n<script id=trace>{{trace}}</script>\n<script>go('{{trace}}')</script>"
PROMPT = "</title></script><!-- &amp; “why” \u2028?"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "player.html"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def content(prompt: str = PROMPT, extra: bytes = b"") -> bytes:
    return HEAD.model_dump_json().encode() + b"\n" + lines(events([(3, 2), (3, 3)], prompt=prompt)) + extra


def packed(page: bytes) -> bytes:
    """The trace in a page."""
    found = re.search(rb"<script id=trace>([^<]*)</script>", page)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def test_the_trace_is_inside_unchanged_and_nothing_in_it_can_end_its_element(template: Path) -> None:
    page, warning = player(content(), "a trace", template)

    assert warning is None
    assert packed(page) == content()
    assert page.count(b"</script>") == TEMPLATE.count("</script>")
    assert b"<title>&lt;/title&gt;&lt;/script&gt;&lt;!-- &amp;amp; \xe2\x80\x9cwhy\xe2\x80\x9d ?</title>" in page
    assert page.endswith(b"<script>go('{{trace}}')</script>")  # only the first place is filled
    assert player(content(), "a trace", template) == (page, None)  # the same bytes every time


def test_a_trace_without_an_end_is_written_with_its_warning(template: Path) -> None:
    cut = content()[:-20]
    page, warning = player(cut, "a trace", template)

    assert packed(page) == cut
    assert warning is not None
    assert "incomplete" in warning


def test_records_are_left_out_and_other_unknown_lines_are_not(template: Path) -> None:
    new = b'{"type":"novelty","run":"r","seq":900,"t_ms":1.0,"of":"record"}\n'
    record = Record(
        **{"run": "r", "seq": 901, "t_ms": 1.0, "position": 0, "token_id": 0, "target_prob": 0.5},
        **{"target_certainty": 0.5, "overlap": 0.5, "drafted": [1], "draft_probs": [1.0], "text_probs": [1.0]},
        **{"certainties": [], "draft_top": [], "draft_ms": 1.0},
    )
    page, _ = player(content(extra=new + lines([record])), "a trace", template)
    assert packed(page) == content(extra=new)


@pytest.mark.parametrize("data", [b"", b"no trace\n", HEAD.model_dump_json().encode() + b"\n"])
def test_what_is_no_run_is_refused_in_words(data: bytes, template: Path) -> None:
    with pytest.raises(TraceError) as refused:
        player(data, "a trace", template)
    assert refused.value.hint


def test_without_a_built_player_the_error_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="not been built"):
        player(content(), "a trace", tmp_path / "none.html")
    (tmp_path / "old.html").write_text("<title>{{title}}</title>")
    with pytest.raises(TraceError, match="is no player"):
        player(content(), "a trace", tmp_path / "old.html")
