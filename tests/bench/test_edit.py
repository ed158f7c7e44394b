"""The benchmark of edits: three kinds of runs of one text, and ratios of the same pairs."""

from __future__ import annotations

from pathlib import Path

from speculatoviz.bench import edit
from speculatoviz.lab.decode import decode_prompt
from speculatoviz.telemetry.messages import Start
from support import toy_session

PROMPT = "once upon a time"


def test_a_right_prediction_takes_fewer_rounds_and_changes_no_text(tmp_path: Path) -> None:
    session = toy_session.load(tmp_path, k=8)
    plain = decode_prompt(session, Start(prompt=PROMPT, k=0, max_tokens=16))
    text = b"".join(map(session.target.tokenizer.token_bytes, plain.token_ids)).decode()
    found = edit.measure(session, PROMPT, text, repeats=2, max_tokens=16)
    wrong = edit.measure(session, PROMPT, "z" * 16, repeats=1, max_tokens=16)
    session.close()

    assert found["same_text"]
    assert wrong["same_text"]
    assert found["tokens"] == plain.tokens
    predicted, usual, misled = found["predicted"], found["usual"], wrong["predicted"]
    assert isinstance(predicted, dict)
    assert isinstance(usual, dict)
    assert isinstance(misled, dict)
    assert predicted["tokens_per_round"] > 2 > misled["tokens_per_round"]
    for figures in (predicted, usual):
        assert figures["speedup_lowest"] <= figures["speedup_median"] <= figures["speedup_highest"]


def test_the_own_file_has_200_lines_and_is_part_of_the_prompt() -> None:
    text = edit.own_file()

    assert len(text.split("\n")) == edit.OWN_LINES
    assert "class Distribution:" in text
    assert edit.prompt_of(text, "Rename it.").endswith(text)
