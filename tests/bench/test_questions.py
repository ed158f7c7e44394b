"""The prompts of benchmarks: the project's own, and files in Spec-Bench's format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from speculatoviz.bench.questions import Prompt, read_prompts
from speculatoviz.errors import BadRequestError


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


@pytest.mark.parametrize(
    ("written", "happened"),
    [("[1]\n", "cannot be read"), ('{"category": "a"}\n', "cannot be read"), ("", "holds no prompts")],
)
def test_other_files_are_refused(tmp_path: Path, written: str, happened: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(written)

    with pytest.raises(BadRequestError, match=happened):
        read_prompts(file, 1)
