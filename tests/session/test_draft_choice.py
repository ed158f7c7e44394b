"""Which version of a draft model is chosen: by expected rate, with the reason, and only where it can be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from speculatoviz.config import Profile
from speculatoviz.models.files.download import silent
from speculatoviz.models.files.gguf import read
from speculatoviz.models.load import Loading
from speculatoviz.session import draft_choice
from speculatoviz.session.draft_choice import Version, best_version, choose_draft, smaller_types
from support.tiny_gguf import write_tiny
from support.wide_vocabulary import write_wide

TARGET_MS = {1: 30.0, 2: 38.0, 4: 56.0, 8: 94.0}


def pair(target: str, draft: str) -> Profile:
    return Profile(name="custom", title="", target=target, draft=draft, drafter="model")


def test_the_version_with_the_highest_expected_rate_is_chosen() -> None:
    whole = Version(None, 13.4, 0.72)
    assert best_version([whole, Version("Q4_0", 9.6, 0.70)], TARGET_MS).quantisation == "Q4_0"
    assert best_version([whole, Version("Q4_0", 9.6, 0.40)], TARGET_MS).quantisation is None, "rejected too often"
    assert best_version([whole, Version("Q8_0", 14.0, 0.72)], TARGET_MS).quantisation is None, "slower"
    assert best_version([whole, Version("Q4_0", 13.3, 0.72)], TARGET_MS).quantisation is None, "not clearly faster"
    both = [whole, Version("Q8_0", 12.0, 0.72), Version("Q4_0", 9.6, 0.70)]
    assert best_version(both, TARGET_MS).quantisation == "Q4_0"


def test_what_decides_depends_on_the_targets_passes() -> None:
    """Where a pass of the target is long, acceptance counts for more than the draft's time."""
    versions = [Version(None, 13.4, 0.80), Version("Q4_0", 9.6, 0.74)]
    slow = {rows: 20 * ms for rows, ms in TARGET_MS.items()}
    assert best_version(versions, TARGET_MS).quantisation == "Q4_0"
    assert best_version(versions, slow).quantisation is None


def test_the_reason_names_both_figures_of_both_versions() -> None:
    whole, smaller = Version(None, 13.4, 0.72), Version("Q4_0", 9.6, 0.70)
    chosen = "draft: Q4_0, 9.6 ms a token and acceptance 0.70; the file as it is: 13.4 ms and 0.72"
    assert best_version([whole, smaller], TARGET_MS).reason == chosen
    worse = Version("Q4_0", 9.6, 0.40)
    kept = "draft: the file as it is, 13.4 ms a token and acceptance 0.72; Q4_0: 9.6 ms and 0.40"
    assert best_version([whole, worse], TARGET_MS).reason == kept


def test_only_types_that_read_fewer_bytes_are_tried(tmp_path: Path) -> None:
    matrices = ["token_embd", "output", *(f"blk.{i}.{part}" for i in (0, 1) for part in PARTS)]
    for kind, expected in (("F32", ["Q8_0", "Q4_0"]), ("Q8_0", ["Q4_0"]), ("Q4_1", ["Q4_0"]), ("Q4_0", [])):
        types = {f"{name}.weight": kind for name in matrices if kind != "F32"}
        assert smaller_types(read(write_tiny(tmp_path / f"{kind}.gguf", types=types))) == expected, kind


PARTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def test_an_embedding_beside_an_output_matrix_does_not_count(tmp_path: Path) -> None:
    """A pass reads one row of it."""
    types = {f"{name}.weight": "Q4_0" for name in ("output", *(f"blk.{i}.{part}" for i in (0, 1) for part in PARTS))}
    assert smaller_types(read(write_tiny(tmp_path / "a.gguf", types=types))) == []
    tied = write_tiny(tmp_path / "b.gguf", types=types, tensors={"output.weight": None})
    assert "Q4_0" in smaller_types(read(tied))


@pytest.mark.parametrize(
    ("target", "draft"), [("toy:0", "{file}"), ("verifier:ws://h:1", "{file}"), ("{file}", "toy:0")]
)
def test_versions_are_compared_only_where_both_files_are_here(target: str, draft: str, tmp_path: Path) -> None:
    file = str(write_wide(tmp_path / "wide.gguf"))
    names = pair(target.format(file=file), draft.format(file=file))
    choice = choose_draft(names, Loading(128, tmp_path / "cache", threads=1), None, silent)
    assert choice.quantisation is None
    assert "on this machine only" in choice.reason


def test_versions_are_made_timed_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files and processes as they are; the times are given, since those of a tiny model tell nothing."""
    target, draft = write_wide(tmp_path / "target.gguf", seed=1), write_wide(tmp_path / "draft.gguf", seed=2)
    honest, timed = draft_choice.row_times, list[str]()

    def given(file: object, *args: object, **more: object) -> object:
        times = honest(file, *args, **more)  # type: ignore[arg-type]
        timed.append(times.path.name)
        ms = {"draft.vocabulary320.gguf": 9.0, "draft.Q8_0.vocabulary320.gguf": 2.0}.get(times.path.name, 8.0)
        return type(times)(times.runtime, times.path, times.threads, dict.fromkeys(times.pass_ms, ms))

    monkeypatch.setattr(draft_choice, "row_times", given)
    names = pair(f"llamacpp:{target}", f"llamacpp:{draft}")
    choice = choose_draft(names, Loading(128, tmp_path / "cache", threads=1), 320, silent)
    assert choice.quantisation == "Q8_0"
    assert choice.reason.startswith("draft: Q8_0, 2.0 ms a token and acceptance 0.")
    assert timed == [
        "draft.vocabulary320.gguf",
        "draft.Q8_0.vocabulary320.gguf",
        "draft.Q4_0.vocabulary320.gguf",
        "target.gguf",
    ]


def test_a_version_that_fails_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    letters = write_tiny(tmp_path / "letters.gguf", "spm", fields={"tokenizer.ggml.tokens": ["a"] * 269})
    draft = write_wide(tmp_path / "draft.gguf", seed=2)
    names = pair(f"llamacpp:{letters}", f"llamacpp:{draft}")
    choice = choose_draft(names, Loading(128, tmp_path / "cache", threads=1), None, silent)
    assert choice.quantisation is None
    assert "could not be compared" in choice.reason
