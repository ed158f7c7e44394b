"""Rewinding with a state that cannot be cut: whatever is kept, the state holds the ids that the context counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.models.base import Feed, RowSelection
from speculatoviz.models.rewinder import CHECKPOINTS, Rewinder
from speculatoviz.models.runtimes.toy import ToyContext

SNAPSHOTS = 4


class Tape:
    """A state that is the list of tokens it has read, and a library's snapshots after the tokens of its last pass."""

    def __init__(self) -> None:
        self.state: list[int] = []
        self.after: dict[int, list[int]] = {}  # by how many tokens of the last pass are taken back
        self.copies: list[list[int]] = []
        self.rolled_back = False

    def read(self, tokens: Sequence[int]) -> None:
        whole = [*self.state, *tokens]
        self.after = {back: whole[: len(whole) - back] for back in range(min(len(tokens), SNAPSHOTS + 1))}
        self.state, self.rolled_back = whole, False

    def save(self, length: int) -> list[int]:
        assert not self.rolled_back, "a copy after a rollback is a copy of the state before it"
        assert len(self.state) == length
        self.copies.append(list(self.state))
        assert len(self.copies) <= CHECKPOINTS
        return self.copies[-1]

    def load(self, state: list[int] | None, length: int) -> None:
        assert state is None or any(state is copy for copy in self.copies), "a copy that was freed"
        self.state, self.after, self.rolled_back = list(state or []), {}, False
        assert len(self.state) == length

    def free(self, state: list[int]) -> None:
        self.copies = [copy for copy in self.copies if copy is not state]

    def roll_back(self, length: int) -> bool:
        """As llama.cpp does: it takes any state for a snapshot, also one that is none."""
        self.state = self.after.get(len(self.state) - length, [-1] * length)
        self.rolled_back = True
        return True

    def compute(self, tokens: Sequence[int]) -> None:
        self.read(tokens)


class Forgetful(Tape):
    """Forgets to restore the state."""

    def load(self, state: list[int] | None, length: int) -> None:
        super().load(state, length)
        self.state = [-1] * length


class Trusting(Rewinder[list[int]]):
    """Takes every state for a snapshot, also those before the last pass."""

    def _rolls_back(self, length: int) -> bool:
        return length > 0 and self.held - length <= self._snapshots


class Copying(Rewinder[list[int]]):
    """Copies the state also after a rollback."""

    def prepare(self, feed: Feed) -> None:
        self._rolled_back = False
        super().prepare(feed)


class Late(Rewinder[list[int]]):
    """Leaves out the tokens after the copy that it returns to."""

    def _return_to(self, length: int) -> None:
        super()._return_to(length)
        self.held = length


Step = tuple[int, int, RowSelection]  # tokens of a pass, how many are taken back after it, the rows
STEPS = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 20), st.sampled_from(["all", "last"])), max_size=25)


def play(rewinder: Rewinder[list[int]], tape: Tape, steps: Sequence[Step]) -> None:
    """Passes and rewinds; after each pass the state is compared with the ids."""
    ids: list[int] = []
    for number, (count, back, rows) in enumerate(steps):
        tokens = [100 * number + place for place in range(count)]
        feed = Feed(ToyContext(0), tokens, rows)
        rewinder.prepare(feed)
        assert tape.state == ids
        tape.read(tokens)
        rewinder.grow(feed)
        ids += tokens
        assert (tape.state, rewinder.ids, rewinder.held) == (ids, ids, len(ids))
        length = max(0, len(ids) - back)
        reached = rewinder.reach(length)
        assert 0 <= reached <= length
        rewinder.keep(length)
        del ids[length:]
        assert rewinder.ids == ids
        assert rewinder.held == reached, "reach() tells where keep() arrives without computing"


@pytest.mark.parametrize("snapshots", [0, SNAPSHOTS])
@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_the_state_holds_the_ids(snapshots: int, steps: list[Step]) -> None:
    tape = Tape()
    rewinder = Rewinder(tape, snapshots)
    play(rewinder, tape, steps)
    rewinder.lose()
    assert tape.state == rewinder.ids[: rewinder.held]
    rewinder.clear()
    assert not tape.copies


def many_steps() -> list[Step]:
    """Rounds as a target makes them, and a draft model: single passes, then a rewind of several of them."""
    verifying: list[Step] = [(5, back, "all") for back in (1, 4, 2, 0, 3)]
    deep: list[Step] = [(7, back, "all") for back in (1, 5, 2, 6)]
    drafting: list[Step] = [(3, 0, "last"), (1, 0, "all"), (1, 0, "all"), (1, 2, "all")]
    return [(20, 0, "last"), *verifying, *deep, *drafting, *drafting, (20, 30, "last"), *verifying]


@pytest.mark.parametrize("snapshots", [0, SNAPSHOTS])
def test_ordinary_rounds_are_rewound(snapshots: int) -> None:
    tape = Tape()
    play(Rewinder(tape, snapshots), tape, many_steps())


@pytest.mark.parametrize(
    ("kind", "tape", "snapshots"),
    [
        (Rewinder, Forgetful(), 0),
        (Rewinder, Forgetful(), SNAPSHOTS),
        (Trusting, Tape(), SNAPSHOTS),
        (Copying, Tape(), SNAPSHOTS),
        (Late, Tape(), 0),
    ],
    ids=["forgetful", "forgetful-snapshots", "trusting", "copying", "late"],
)
def test_a_broken_rewinder_is_caught(kind: type[Rewinder[list[int]]], tape: Tape, snapshots: int) -> None:
    with pytest.raises(AssertionError):
        play(kind(tape, snapshots), tape, many_steps())


def test_a_draft_model_computes_only_what_follows_its_last_round() -> None:
    """A copy is made where the drafted tokens begin."""
    tape = Tape()
    rewinder = Rewinder(tape)
    play(rewinder, tape, [(20, 0, "last"), (1, 0, "all"), (1, 0, "all"), (1, 0, "all")])
    assert [rewinder.reach(length) for length in (23, 22, 21, 20, 19)] == [23, 20, 20, 20, 0]


def test_the_end_of_a_prompt_stays_in_reach() -> None:
    """So the same prompt can be continued again, however long the answer was."""
    tape = Tape()
    rewinder = Rewinder(tape)
    answer: list[Step] = [(4, 2, "all")] * 30
    play(rewinder, tape, [(40, 0, "last"), *answer])
    assert rewinder.reach(40) == 40
    assert rewinder.reach(39) == 0
