"""A passport holds what its traces prove, notices every change, and stands beside others in a table."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.passport import CategorisedTrace, Passport, as_text, passport, read
from speculatoviz.lab.passport_table import as_html, as_markdown, table
from speculatoviz.telemetry.parts import NoiseFloor
from support.recorded import SAMPLED, model, traced

ROUNDS = [(3, 3), (3, 1), (3, 0), (3, 2)]
FLOOR = NoiseFloor(mean_total_variation=0.01, max_total_variation=0.034, argmax_agreement=1.0, tokens=16)


def trace(category: str, rounds: list[tuple[int, int]] = ROUNDS, **options: Any) -> CategorisedTrace:
    return CategorisedTrace(category, traced(rounds, f"/data/{category}.jsonl", **options), "ab" * 32)


def written(**options: Any) -> Passport:
    return passport([trace("code", **options), trace("chat", [(3, 0), (3, 1)], **options)])


def test_a_passport_has_pair_acceptance_by_category_floor_and_rule() -> None:
    found = written(noise_floor=FLOOR)
    code, chat = found.measurements

    assert (found.target.name, found.draft and found.draft.name, found.drafter) == (
        "Target-7B",
        "owner/Draft-0.5B",
        "model",
    )
    assert [one.category for one in found.measurements] == ["code", "chat"]
    assert (code.rule, code.depth, code.drafts, code.accepted_at, code.reached_at) == (
        "token",
        3,
        4,
        (3, 2, 1),
        (4, 3, 2),
    )
    assert (code.mean_acceptance_length, chat.mean_acceptance_length) == (2.5, 1.5)
    assert code.noise_floor == FLOOR
    assert code.exactness.label == "exact"
    assert (code.traces[0].name, code.traces[0].sha256) == ("code.jsonl", "ab" * 32)


def test_a_file_is_read_as_it_was_written_whatever_its_spaces() -> None:
    found = written(noise_floor=FLOOR)
    text = as_text(found)

    assert read(text, "p.json") == found
    assert read(json.dumps(json.loads(text), sort_keys=True), "p.json") == found


def test_every_changed_field_is_noticed() -> None:
    """Each value of the file is changed in its turn."""
    original = json.loads(as_text(written(noise_floor=FLOOR)))
    paths = list(leaves(original))

    assert len(paths) > 60
    for path in paths:
        values = json.loads(json.dumps(original))
        change(values, path)
        with pytest.raises(BadRequestError):
            read(json.dumps(values), "p.json")
    for path in (["measurements", 0, "accepted_at", 0], ["target", "name"], ["sha256"]):
        values = json.loads(json.dumps(original))
        change(values, path)
        with pytest.raises(BadRequestError, match="changed after it was written"):
            read(json.dumps(values), "p.json")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield list(path)


def change(values: Any, path: list[Any]) -> None:
    *inner, last = path
    for key in inner:
        values = values[key]
    old = values[last]
    values[last] = old + 1 if isinstance(old, int | float) and not isinstance(old, bool) else f"{old}x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[]", "no passport"),
        ('{"type": "trace"}', "no passport"),
        ('{"type": "passport", "version": 2}', "version 2"),
        ('{"type": "passport", "version": 1}', "changed"),
    ],
)
def test_what_is_no_passport_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as refused:
        read(text, "p.json")
    assert refused.value.hint


@settings(deadline=None, max_examples=40)
@given(st.text())
def test_any_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadRequestError):
        read(text, "p.json")


def test_traces_of_two_pairs_are_refused() -> None:
    for other, named in (
        ({"target_model": model("Another-7B")}, "target"),
        ({"drafter": "suffix"}, "drafter"),
        ({"draft_model": model("other/Draft")}, "draft model"),
    ):
        with pytest.raises(BadRequestError, match=f"differ in their {named}"):
            passport([trace("code"), trace("chat", **other)])


def test_one_pair_can_have_several_rules_and_temperatures() -> None:
    found = passport([trace("code"), trace("code", rule="block"), trace("code", sampling=SAMPLED)])

    assert [(one.rule, one.sampling.temperature) for one in found.measurements] == [
        ("token", 0.0),
        ("block", 0.0),
        ("token", 0.7),
    ]
    assert len(table([found]).rows) == 3


def test_a_table_shows_which_draft_suits_which_target() -> None:
    weak = passport([trace("code", [(3, 0), (3, 1)], draft_model=model("small/Draft"))])
    other = passport([trace("code", target_model=model("Another-7B"))])
    found = table([weak, other, written(noise_floor=FLOOR)])

    assert found.titles[-3:] == ("code", "chat", "all")
    assert [(row[0], row[1].split()[0], row[-1]) for row in found.rows] == [
        ("Target-7B (Q4_K_M)", "owner/Draft-0.5B", "2.17"),
        ("Target-7B (Q4_K_M)", "small/Draft", "1.50"),
        ("Another-7B (Q4_K_M)", "owner/Draft-0.5B", "2.50"),
    ]
    assert [row[7] for row in found.rows] == ["0.034", "–", "–"]
    assert [row[9] for row in found.rows][1:] == ["–", "–"]
    assert found.rows[0][8] == "2.50"
    (row,) = table([passport([trace("code", ROUNDS * 2)])]).rows
    assert row[8].startswith("2.50 (")


def test_names_stay_text_in_markdown_and_html() -> None:
    found = table(
        [passport([trace("co|de", draft_model=model("<b>|`x`")), trace("*chat*", draft_model=model("<b>|`x`"))])]
    )
    page = as_html(found)

    assert all(line.count(" | ") == len(found.titles) - 1 for line in as_markdown(found).splitlines()[:3])
    assert "\\<b\\>\\|" in as_markdown(found)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "http" not in page  # it opens without a network
    HTMLParser().feed(page)
