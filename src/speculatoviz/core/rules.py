"""The verification rules by name, and what may be claimed of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from speculatoviz.core.chance import Chance
from speculatoviz.core.comparison import verify_match, verify_typical
from speculatoviz.core.rejection import Decision, verify_block, verify_tokens
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import Draft, Label, Rule

Verify = Callable[[Draft, Callable[[int], Distribution], Chance], Decision]


class RuleInfo(NamedTuple):
    """reason: why the label holds, in words. trees: whether it takes more than chains."""

    verify: Verify
    label: Label
    reason: str
    trees: bool


RULES: Mapping[Rule, RuleInfo] = {
    "token": RuleInfo(verify_tokens, "exact", "modified rejection sampling keeps its distribution", True),
    "block": RuleInfo(verify_block, "exact", "block verification keeps its distribution", False),
    "match": RuleInfo(verify_match, "exact", "every token is one that it drew itself", True),
    "typical": RuleInfo(
        verify_typical,
        "lossy",
        "typical acceptance keeps any token that is likely enough: the output is not distributed as the target's",
        True,
    ),
}
