"""The verification rules by name, and what is claimed of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from speculatoviz.core.chance import Chance
from speculatoviz.core.comparison import verify_match, verify_typical
from speculatoviz.core.rejection import Decision, verify_block, verify_tokens
from speculatoviz.core.sampling import Distribution
from speculatoviz.core.types import Draft, Label, Rule

Verify = Callable[[Draft, Callable[[int], Distribution], Chance], Decision]


class RuleDefinition(NamedTuple):
    """verify: the rule. label: what it claims. reason: why the label holds. trees: whether it verifies trees."""

    verify: Verify
    label: Label
    reason: str
    trees: bool


RULES: Mapping[Rule, RuleDefinition] = {
    "token": RuleDefinition(
        verify_tokens, "exact", "modified rejection sampling keeps the target's distribution", True
    ),
    "block": RuleDefinition(verify_block, "exact", "block verification keeps the target's distribution", False),
    "match": RuleDefinition(verify_match, "exact", "every emitted token is one that the target drew", True),
    "typical": RuleDefinition(
        verify_typical,
        "lossy",
        "typical acceptance keeps any token above a threshold: the output distribution is not the target's",
        True,
    ),
}
