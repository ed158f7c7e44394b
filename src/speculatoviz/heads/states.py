"""What the drafters that run on hidden states are given of their target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from speculatoviz.core.types import Floats


class States(Protocol):
    """The committed ids minus the last, and states float32[len(ids), D]: states[i] is the hidden state behind ids[i],
    as the output matrix sees it."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def states(self) -> Floats: ...
