"""The heads that are in the package draft for the model they were trained on, and their cards say how well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.config import PROFILES, Settings
from speculatoviz.heads.file import read
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.session.drafters import SHIPPED, make_drafters
from speculatoviz.targets.local import LocalTarget
from support.departures import greedy_rounds

TARGET = PROFILES["smol"].target
FILES = sorted(SHIPPED.glob("*.safetensors"))
QUESTIONS = [
    "What is the capital of France, and what is it known for?",
    "How do I boil an egg?",
    "Why is the sky blue?",
]


def test_both_kinds_are_there_and_small() -> None:
    assert [file.name for file in FILES] == [f"{TARGET}.{kind}.safetensors" for kind in ("eagle", "medusa")]
    assert all(file.stat().st_size < 10_000_000 for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_card_says_what_it_is_and_how_to_make_it_again(file: Path) -> None:
    head, card = read(file), file.with_suffix(".md").read_text(encoding="utf-8")
    assert head.target == TARGET
    assert f"acceptance length\n{head.card['held_out_acceptance_length']:.2f}" in card
    assert f"speculatoviz train {head.kind} --target {TARGET}" in card
    for fact in ("tokens", "dialogues", "steps"):
        assert str(head.card[fact]) in card


@pytest.fixture(scope="module")
def target(smol_path: Path) -> Iterator[LocalTarget]:
    model = LlamaCppModel(smol_path, cells=1024, name=TARGET)
    yield LocalTarget(model, 1024, lambda: 0.0)
    model.close()


@pytest.mark.smol
@pytest.mark.parametrize(("kind", "least"), [("eagle", 1.5), ("medusa", 1.15)])
def test_the_target_accepts_what_it_drafts(kind: str, least: float, target: LocalTarget) -> None:
    """Well below what was measured, and well above the 1.0 of an untrained head."""
    drafter = make_drafters(Settings(_env_file=None), target, None, None, lambda: 0.0)[kind]
    rounds = []
    for question in QUESTIONS:
        ids = target.tokenizer.encode(
            target.tokenizer.render_chat([{"role": "user", "content": question}]), special=True
        )
        rounds += greedy_rounds(target, drafter, ids, 4, 64)
    assert 1 + sum(r.accepted for r in rounds) / len(rounds) > least
