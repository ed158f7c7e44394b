"""Why two greedy texts of one model differ: a near tie that the noise floor can turn, or a wrong verifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["near tie", "verifier wrong", "cannot tell"]

LEAST_NOISE = 0.01  # nats: what float32 passes can differ by
_CLEAR = 4.0  # a margin that many times the noise is no tie
_CLEAR_NATS = 0.5  # and at least this one


@dataclass(frozen=True, slots=True)
class Scores:
    """log p(A) - log p(B) in nats of the two tokens at a departure, None where unknown; A is the plain engine's token.

    one_row: in the plain engine's own decoding. many_rows: in the plain engine, in the pass over the whole text before.
    speculating: in the engine with speculation, asked for this token alone, so that nothing is drafted. choice: what it
    then generates, "A", "B", or None for another token. shifts: by how much the margin of the two most probable tokens
    changed between one row and many, at places of this text.
    """

    one_row: float | None
    many_rows: float | None
    speculating: float | None
    choice: Literal["A", "B"] | None
    shifts: Sequence[float] = ()

    @property
    def noise(self) -> float:
        """The largest measured shift, and at least LEAST_NOISE."""
        return max((*self.shifts, LEAST_NOISE))


@dataclass(frozen=True, slots=True)
class Verdict:
    """kind, and why in a sentence."""

    kind: Kind
    reason: str


def judge(scores: Scores) -> Verdict:  # noqa: PLR0911 (one return for each case below)
    """The verdict about one departure.

    1. Without scores of the plain engine nothing can be told.
    2. If its own choice turns between one row and many, or its margin is within the noise, it is a near tie.
    3. If the engine with speculation, asked for the token alone, prefers its own token clearly, the two engines do not
       compute the same model.
    4. If both prefer A clearly, what wrote B is the verification.
    """
    known = [value for value in (scores.one_row, scores.many_rows) if value is not None]
    if not known:
        return Verdict("cannot tell", "The engine without speculation does not report the scores of both tokens.")
    noise, smallest = scores.noise, min(known, key=abs)
    if min(known) < 0 < max(known):
        return Verdict(
            "near tie",
            f"The engine without speculation changes its own choice with the rows of a pass ({_listed(known)} nats).",
        )
    if abs(smallest) <= noise:
        return Verdict(
            "near tie",
            f"The two tokens are {abs(smallest):.3f} nats apart, and scores differ by up to {noise:.3f} nats between a "
            f"pass of one row and one of many; a total variation of {_needed(smallest):.4f} exchanges them.",
        )
    clear = max(_CLEAR * noise, _CLEAR_NATS)
    other = scores.speculating
    if scores.choice == "B" or (other is not None and other < -noise):
        return Verdict(
            "cannot tell",
            "Asked for this token alone, the engine with speculation prefers its own token, too: the two engines do "
            "not compute the same scores. Compare one model, quantisation and prompt.",
        )
    if smallest < clear:
        return Verdict(
            "cannot tell",
            f"The tokens are {smallest:.3f} nats apart: more than the measured noise of {noise:.3f}, and less than the "
            f"{clear:.2f} that exclude it.",
        )
    if scores.choice == "A":
        return Verdict(
            "verifier wrong",
            f"The tokens are {smallest:.2f} nats apart, and the engine with speculation, asked for this token alone, "
            "writes what the other one wrote: its verification accepted a wrong token.",
        )
    return Verdict(
        "cannot tell",
        "The engine with speculation was not asked for this token alone, so a different model is not excluded.",
    )


def _needed(margin: float) -> float:
    """The least total variation that exchanges two tokens with this margin: tanh(m / 2) / 2 (docs/exactness.md)."""
    return math.tanh(abs(margin) / 2.0) / 2.0


def _listed(values: Sequence[float]) -> str:
    return " and ".join(f"{value:+.3f}" for value in values)
