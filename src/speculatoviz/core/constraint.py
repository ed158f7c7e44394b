"""What an output has to be: a grammar, and the tokens that it allows at each position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

FORCED = "grammar"  # the source of drafted tokens that a grammar forces
PREDICTED = "prediction"  # the source of drafted tokens that a predicted output continues with
GrammarKind = Literal["json_schema", "regex", "lark", "gbnf"]


class GrammarSource(NamedTuple):
    """A grammar as it was given. text: the JSON of a schema, a regular expression, or the text of a grammar."""

    kind: GrammarKind
    text: str


class Constraint(Protocol):
    """Which tokens may come next in an output, by a grammar: functions of the output's tokens alone.

    source: equal sources allow the same tokens.
    """

    @property
    def source(self) -> GrammarSource: ...
    def allowed(self, output: Sequence[int]) -> npt.NDArray[np.bool_] | None:
        """bool[V], not written to: the tokens that may follow, at least one.

        None after an output that breaks the grammar, or that has ended: nothing depends on what follows it.
        """

    def forced(self, output: Sequence[int], most: int) -> tuple[int, ...]:
        """At most `most` tokens of the text that must follow whatever is chosen; () if there is none."""
