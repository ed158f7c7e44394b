"""Rewinding a model whose layers are recurrent: their state holds a whole sequence and cannot be cut.

A context takes back tokens in one of two ways. *Rollback*: the library keeps the state after each of the last tokens of
a pass, and returns to one of them at no cost. *Checkpoints*: the context keeps copies of its state. It returns to the
last copy at or before the wanted length, and computes the tokens after it again before the next pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.errors import ModelError
from speculatoviz.models.base import PREFILL_TOKENS, Feed, LanguageModel
from speculatoviz.models.tree import check_keep

CHECKPOINTS = 3  # copies that a context keeps: two of its last rounds, one of the end of its prompt
_PROMPT_TOKENS = 16  # of a pass without rows of its own that is part of a prompt
_MOST_SHARE = 0.3

State = TypeVar("State")


@runtime_checkable
class PartialContext(Protocol):
    """A context that cannot return to every length without computing tokens again."""

    def reach(self, length: int) -> int:
        """The greatest length, at most `length`, that `keep` returns to at no cost."""


@runtime_checkable
class RollbackModel(Protocol):
    """A model that rolls back a limited number of tokens. rollback_tokens: how many; None for any number."""

    @property
    def rollback_tokens(self) -> int | None: ...


class RecurrentCalls(Protocol[State]):
    """What a runtime does with the state of one context."""

    def save(self, length: int) -> State:
        """A copy of the state, which holds `length` tokens. At most CHECKPOINTS copies exist at a time."""

    def load(self, state: State | None, length: int) -> None:
        """Replace the state by a copy of `length` tokens; None empties it."""

    def free(self, state: State) -> None:
        """Free a copy."""

    def roll_back(self, length: int) -> bool:
        """Return to `length` tokens, which the last pass has passed through. False if the library cannot."""

    def compute(self, tokens: Sequence[int]) -> None:
        """One pass over tokens that were computed before, without rows."""


class _Checkpoint(NamedTuple, Generic[State]):
    length: int
    state: State


class Rewinder(Generic[State]):
    """The ids of one context, how many of them its state holds, and copies of that state.

    ids: the tokens of the context. held: the first of them, which the state holds; `prepare` computes the others.
    snapshots: the most tokens of the last pass that `roll_back` takes back; 0 if the library keeps no snapshots.
    """

    def __init__(self, calls: RecurrentCalls[State], snapshots: int = 0) -> None:
        self._calls, self._snapshots = calls, snapshots
        self.ids: list[int] = []
        self.held = 0
        self._recent: list[_Checkpoint[State]] = []  # ascending, at most CHECKPOINTS - 1
        self._prompt: _Checkpoint[State] | None = None
        self._pass_tokens = 0  # of the last pass that can be rolled back
        self._rolled_back = False  # since the last pass: a copy would be of the state before the rollback
        self._due = False  # the state is worth a copy before the next pass
        self._after_prompt = False

    def reach(self, length: int) -> int:
        """See `PartialContext.reach`."""
        if length >= self.held:
            return self.held
        if self._rolls_back(length):
            return length
        return max((found.length for found in self._checkpoints() if found.length <= length), default=0)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """See `Context.keep`. Nothing is computed yet."""
        check_keep(len(self.ids), length, None, path)
        del self.ids[length:]
        if length >= self.held:
            return
        if self._rolls_back(length) and self._calls.roll_back(length):
            self.held, self._rolled_back, self._pass_tokens = length, True, 0
        else:
            self._return_to(length)

    def prepare(self, feed: Feed) -> None:
        """Before a pass over `feed`: compute the ids that the state lacks, and copy the state if that is worth it."""
        self.settle()
        count = len(feed.tokens)
        verified = feed.rows == "all" and count > self._snapshots + 1
        if (self._due or verified) and self.held and not self._rolled_back:
            self._save()

    def settle(self) -> None:
        """Compute the ids that the state lacks."""
        for start in range(self.held, len(self.ids), PREFILL_TOKENS):
            chunk = self.ids[start : start + PREFILL_TOKENS]
            self._calls.compute(chunk)
            self._computed(len(chunk))
            self._due = True

    def grow(self, feed: Feed) -> None:
        """After a pass over `feed`."""
        self.ids += feed.tokens
        count = len(feed.tokens)
        self._computed(count)
        self._due = self._due or (count > 1 and (feed.rows == "last" or count > self._snapshots + 1))
        self._after_prompt |= feed.rows == "last" and count >= _PROMPT_TOKENS

    def lose(self) -> None:
        """After a pass that failed: the state may hold any part of it."""
        self._return_to(len(self.ids))

    def replace(self, ids: Sequence[int]) -> None:
        """The state was replaced by another one, which holds `ids`."""
        self.clear()
        self.ids, self.held, self._due = list(ids), len(ids), True

    def clear(self) -> None:
        """Free all copies and forget the ids."""
        for found in self._checkpoints():
            self._calls.free(found.state)
        self._recent, self._prompt = [], None
        self.ids, self.held = [], 0
        self._pass_tokens, self._rolled_back, self._due, self._after_prompt = 0, False, False, False

    def _checkpoints(self) -> list[_Checkpoint[State]]:
        return [*([] if self._prompt is None else [self._prompt]), *self._recent]

    def _rolls_back(self, length: int) -> bool:
        """Snapshots exist within the last pass alone, and the library returns to one of them once."""
        return length > 0 and self.held - length <= min(self._snapshots, self._pass_tokens - 1)

    def _computed(self, count: int) -> None:
        self.held += count
        self._pass_tokens, self._rolled_back = count, False

    def _return_to(self, length: int) -> None:
        """Load the last copy of at most `length` tokens; the copies of more tokens are freed."""
        for found in self._checkpoints():
            if found.length > length:
                self._calls.free(found.state)
        self._recent = [found for found in self._recent if found.length <= length]
        if self._prompt is not None and self._prompt.length > length:
            self._prompt = None
        best = max(self._checkpoints(), key=lambda found: found.length, default=None)
        self.held = 0 if best is None else best.length
        self._calls.load(None if best is None else best.state, self.held)
        self._pass_tokens, self._rolled_back, self._due = 0, False, False

    def _save(self) -> None:
        self._due = False
        if any(found.length == self.held for found in self._checkpoints()):
            return
        if self._after_prompt:
            if self._prompt is not None:
                self._calls.free(self._prompt.state)
            self._prompt = _Checkpoint(self.held, self._calls.save(self.held))
        else:
            if len(self._recent) == CHECKPOINTS - 1:
                self._calls.free(self._recent.pop(0).state)
            self._recent.append(_Checkpoint(self.held, self._calls.save(self.held)))
        self._after_prompt = False


def require_rewinding(model: LanguageModel, refusal: Callable[[], ModelError]) -> None:
    """Take back tokens of a new model, and compare the next scores with those of a context that never had them.

    Raises the refusal if the library loses the state of this architecture: if the scores depart by more than
    _MOST_SHARE of what they change with the first tokens, which only the state can remember.
    """
    n_vocab = model.tokenizer.n_vocab
    kept, others, dropped, after = (
        [token % n_vocab for token in ids] for ids in (range(1, 13), range(21, 25), range(31, 34), (41, 42))
    )
    context = model.open(32)
    try:

        def row(tokens: Sequence[int]) -> Floats:
            return np.array(model.forward([Feed(context, tokens)])[0].logits[-1], np.float64)

        right = row([*kept, *after])
        context.keep(0)
        effect = _distance(row([*others, *kept[len(others) :], *after]), right)
        for passes in ([dropped], [[token] for token in dropped], [kept[3:] + dropped]):
            context.keep(0)
            row(kept[: len(kept) + len(dropped) - sum(map(len, passes))])
            for tokens in passes:
                row(tokens)
            context.keep(len(kept))
            if not _distance(row(after), right) <= _MOST_SHARE * effect:
                raise refusal()
    except ModelError as error:
        raise refusal() from error
    finally:
        context.close()


def _distance(first: Floats, second: Floats) -> float:
    """The mean absolute difference of two rows of logits, where both have one."""
    given = np.isfinite(first) & np.isfinite(second)
    return float(np.abs(first[given] - second[given]).mean())
