"""Seeds and turns through a whole session: every answer has random numbers of its own, and repeats under its seed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.core.chance import run_seed
from speculatoviz.core.types import Floats
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.session.session import Session
from speculatoviz.session.targets import open_local
from speculatoviz.telemetry.events import Done, Started, VerifyResult
from speculatoviz.telemetry.messages import Start

FIRST = [{"role": "user", "content": "once upon a time"}]
SECOND = [*FIRST, {"role": "assistant", "content": "there was a cat"}, {"role": "user", "content": "and then"}]
THIRD = [*SECOND, {"role": "assistant", "content": "it slept"}, {"role": "user", "content": "go on"}]
UNUSUAL_SEEDS = [2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 2**64 + 1, 10**40, -1, -2, -(2**63), -(2**63) - 1]
SEED_OF_A_RUN = "speculatoviz.session.preparation.run_seed"


class Forgetful(ToyModel):
    """Its logits are the same after every prefix: equal random numbers give equal texts, whatever the prompt is."""

    def logits(self, prefix: Sequence[int]) -> Floats:
        del prefix
        return super().logits((0,))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    settings = Settings(_env_file=None, target="toy:0", draft="toy:0~7", temperature=1.0, cache_dir=str(tmp_path))
    target, draft = Forgetful(0, ALPHABET), Forgetful(0, ALPHABET, mix=(7, 0.5))
    made = Session(settings, open_local(target, draft, time.perf_counter), draft, time.perf_counter)
    yield made
    made.close()


class Answer:
    """One answer of 40 tokens: its text and the random numbers of its verification, by round and node."""

    def __init__(self, session: Session, messages: list[dict[str, str]], seed: int, k: int = 3) -> None:
        start: Any = {"messages": messages, "seed": seed, "k": k, "max_tokens": 40, "ignore_eos": True}
        events = list(session.run("r", session.prepare(Start(**start)), lambda: False))
        assert isinstance(events[0], Started)
        assert isinstance(events[-1], Done)
        self.seed, self.token_ids = events[0].seed, events[-1].token_ids
        self.uniforms = {
            (event.round, event.node): event.uniform
            for event in events
            if isinstance(event, VerifyResult) and event.uniform is not None
        }


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("seed", [7, -7])
def test_the_turns_of_a_conversation_use_different_random_numbers_under_one_seed(
    session: Session, seed: int, k: int
) -> None:
    answers = [Answer(session, messages, seed, k) for messages in (FIRST, SECOND, THIRD)]
    assert [answer.seed for answer in answers] == [seed] * 3, "the seed that is shown is the user's"
    for index, answer in enumerate(answers):
        for other in answers[:index]:
            assert answer.token_ids != other.token_ids
            common = answer.uniforms.keys() & other.uniforms.keys()
            assert len(common) > 5 or k == 0
            assert all(answer.uniforms[place] != other.uniforms[place] for place in common)


@pytest.mark.parametrize("k", [0, 3])
def test_a_turn_that_is_not_in_the_key_is_caught(session: Session, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: the second answer is the first one again."""
    monkeypatch.setattr(SEED_OF_A_RUN, lambda seed, _turn: run_seed(seed))
    first, second = Answer(session, FIRST, 7, k), Answer(session, SECOND, 7, k)
    assert first.token_ids == second.token_ids
    assert first.uniforms == second.uniforms


@pytest.mark.parametrize("messages", [FIRST, SECOND], ids=["first turn", "second turn"])
def test_the_same_conversation_and_seed_give_the_same_text_again(
    session: Session, messages: list[dict[str, str]]
) -> None:
    first, again, other = (Answer(session, messages, seed) for seed in (7, 7, 8))
    assert (first.token_ids, first.uniforms) == (again.token_ids, again.uniforms)
    assert first.token_ids != other.token_ids


@pytest.mark.parametrize("messages", [FIRST, SECOND], ids=["first turn", "second turn"])
def test_seeds_beyond_64_bits_and_negative_ones_are_distinct(session: Session, messages: list[dict[str, str]]) -> None:
    answers = [Answer(session, messages, seed) for seed in UNUSUAL_SEEDS]
    assert [answer.seed for answer in answers] == UNUSUAL_SEEDS
    assert len({tuple(answer.token_ids) for answer in answers}) == len(UNUSUAL_SEEDS)
    assert Answer(session, messages, UNUSUAL_SEEDS[1]).token_ids == answers[1].token_ids


@pytest.mark.parametrize(
    "collapsed", [lambda seed: seed % 2**63, lambda seed: int(float(seed)), abs], ids=["cut off", "rounded", "absolute"]
)
def test_seeds_that_collapse_are_caught(session: Session, collapsed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twins: seeds that are cut to 63 bits, rounded to a float, or without their sign."""
    monkeypatch.setattr(SEED_OF_A_RUN, lambda seed, turn: run_seed(collapsed(seed), turn))
    texts = {tuple(Answer(session, FIRST, seed).token_ids) for seed in UNUSUAL_SEEDS}
    assert len(texts) < len(UNUSUAL_SEEDS)
