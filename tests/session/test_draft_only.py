"""Drafting without verification: what the drafter proposes after a prompt, with and without the target's help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Limits, Request, Sampling
from speculatoviz.drafters.eagle import EagleDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.errors import CancelledError
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.messages import Start
from support.stated_toy import StatedToy
from support.tiny_heads import HashedStates, eagle_file
from support.toy_pair import no_clock

DEPTH = 4


class Fixture:
    """A session whose target gives hidden states, with an EAGLE head and a draft model."""

    def __init__(self, folder: Path) -> None:
        self.target, draft = StatedToy(), ToyModel(0, ALPHABET, mix=(7, 0.5))
        settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", cache_dir=str(folder))
        self.session = Session(settings, open_local(self.target, draft, no_clock), draft, no_clock)
        assert self.session.target.window is not None
        self.head = EagleHead(eagle_file(), self.target.rows)
        eagle = EagleDrafter(self.head, self.session.target.window, no_clock)
        self.session.drafters["eagle"] = eagle
        self.session.drafters["multi"] = MultiDrafter([self.session.drafters["suffix"], eagle])
        self.ids = self.session.prepare(Start(prompt="once", raw=True)).request.prompt

    def drafted(self, drafter: str, cancelled: bool = False) -> Draft:
        prepared = self.session.prepare(Start(prompt="once", raw=True, drafter=drafter))
        return self.session.draft_only(prepared, DEPTH, lambda: cancelled)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path)
    yield fixture
    fixture.session.close()


@pytest.mark.parametrize("drafter", ["eagle", "multi"])
def test_a_head_drafts_from_the_states_of_the_prompt(own: Fixture, drafter: str) -> None:
    """A head that is asked without the target's states proposes nothing."""
    alone = EagleDrafter(own.head, HashedStates(own.ids[:-1]), no_clock)
    limits = Limits(DEPTH, own.target.tokenizer.eos_ids)
    alone.begin(Request(own.ids, Sampling(), limits, evidence=False))
    expected = alone.draft(list(own.ids), 0, Plan("eagle", DEPTH), seeded(0)("draft", 0))

    draft = own.drafted(drafter)
    assert 0 < len(draft) <= DEPTH
    assert draft.tokens.tolist() == expected.tokens.tolist()


def test_a_draft_model_needs_no_pass_of_the_target(own: Fixture) -> None:
    draft = own.drafted("model")
    assert len(draft) == DEPTH
    assert own.target.passes == []


@pytest.mark.parametrize("drafter", ["eagle", "model"])
def test_it_ends_once_it_is_cancelled(own: Fixture, drafter: str) -> None:
    with pytest.raises(CancelledError):
        own.drafted(drafter, cancelled=True)
