"""The heads that are in the package draft for the model they were trained on, and their cards say how well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from speculatoviz.config import PROFILES, Settings
from speculatoviz.core.steps import Drafted
from speculatoviz.core.types import Floats, Sampling
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.heads.file import read
from speculatoviz.heads.states import States
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.session.drafters import make_drafters
from speculatoviz.session.heads import SHIPPED, head_cards
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import Event, RunWarning, Started
from speculatoviz.telemetry.mapping import Stamp, sampling_info
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.wiring import watched
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


class OtherStates:
    """The broken twin's states: of the same ids, but with their numbers in another order, as a wrong layer has."""

    def __init__(self, states: States) -> None:
        self._states = states

    @property
    def ids(self) -> Sequence[int]:
        return self._states.ids

    @property
    def states(self) -> Floats:
        return np.roll(self._states.states, 100, axis=1)


@pytest.mark.smol
@pytest.mark.parametrize("wired", [True, False], ids=["right", "permuted"])
def test_a_head_that_reads_other_states_is_reported_and_the_right_one_is_not(wired: bool, target: LocalTarget) -> None:
    drafters = make_drafters(Settings(_env_file=None), target, None, None, lambda: 0.0)
    drafter = drafters["eagle"]
    assert isinstance(drafter, EagleDrafter)
    if not wired:
        drafter._states = OtherStates(drafter._states)
    begun: Event = Started.model_construct(
        rule="token", sampling=sampling_info(Sampling()), heads=head_cards({"eagle": drafter}), pass_times=[]
    )
    events = [begun]
    for question in QUESTIONS[:2]:
        ids = target.tokenizer.encode(
            target.tokenizer.render_chat([{"role": "user", "content": question}]), special=True
        )
        narrator = Narrator("r", target.tokenizer, None, lambda: 0.0)
        for round in greedy_rounds(target, drafter, ids, 4, 48):
            events += narrator.events([Drafted(round.index, round.plan, round.draft), round])
    warnings = [e for e in watched(events, lambda: Stamp("r", 1, 0.0)) if isinstance(e, RunWarning)]

    assert len(warnings) == (0 if wired else 1)
