"""The prompts of experiments: the project's own, and files of several shapes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.questions import Prompt, read_prompts
from speculatoviz.telemetry.messages import Start


def test_without_a_file_the_prompts_are_the_projects_own() -> None:
    one, all_of_them = read_prompts(None, 1), read_prompts(None, 9)

    assert Counter(prompt.category for prompt in one) == dict.fromkeys([prompt.category for prompt in one], 1)
    assert set(Counter(prompt.category for prompt in all_of_them).values()) == {2}
    assert len({prompt.text for prompt in all_of_them}) == len(all_of_them)
    assert {prompt for prompt in all_of_them if prompt.number == 0} == set(one)


def test_the_questions_about_a_text_contain_its_answer() -> None:
    first, second = [prompt.text for prompt in read_prompts(None, 2) if prompt.category == "rag"]

    assert "the rarest volumes are kept in another town" in " ".join(first.lower().replace("\n", " ").split())
    assert "a boat came from the other bank" in " ".join(second.lower().replace("\n", " ").split())


def test_the_first_turns_of_a_file_are_read_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    lines = ['{"category": "a", "turns": ["one", "two"]}', '{"category": "b", "turns": ["three"]}']
    file.write_text("\n".join([*lines, '{"category": "a", "turns": ["four"]}', lines[0]]))

    assert read_prompts(file, 2) == [Prompt("a", 0, "one"), Prompt("b", 0, "three"), Prompt("a", 1, "four")]


def test_prompts_conversations_and_turns_are_read_with_or_without_a_category(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    lines = [
        '{"prompt": "one\u2028line", "id": 7}',
        "",
        '{"messages": [{"role": "system", "content": "so"}, {"role": "user", "content": "two"}], "category": "chat"}',
        '{"messages": [{"role": "user", "content": "three"}]}',
        '{"turns": ["four", "five"], "question_id": 81}',
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = read_prompts(file, None, conversations=True)

    assert found == [
        Prompt("prompts", 0, "one\u2028line"),
        Prompt("chat", 0, "two", (("system", "so"), ("user", "two"))),
        Prompt("prompts", 1, "three"),
        Prompt("prompts", 2, "four", question_id=81),
    ]
    for prompt in found:
        Start.model_validate(prompt.start)
    with pytest.raises(BadRequestError, match="line 3 is a conversation"):
        read_prompts(file, None)


@pytest.mark.parametrize(
    ("written", "happened"),
    [
        ("[1]\n", r"cannot be read as prompts \(line 1"),
        ('{"category": "a"}\n', "line 1 asks nothing"),
        ('{"prompt": "a"}\n{"turns": []}\n', "line 2 asks nothing"),
        ('{"prompt": 1}\n', "line 1: prompt: it must be text"),
        ('{"prompt": "cut\n', "line 1: it is not JSON"),
        ("\n", "holds no prompts"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, written: str, happened: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(written)

    with pytest.raises(BadRequestError, match=happened) as refused:
        read_prompts(file, 1)
    assert refused.value.hint.startswith("Give a JSON Lines file")


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("missing", "bytes"):
        with pytest.raises(BadRequestError, match=f"{name} cannot be read as prompts"):
            read_prompts(tmp_path / name, 1)
