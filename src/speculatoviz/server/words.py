"""Words of the page's form that no other module holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from speculatoviz.core.types import Rule


class RuleWords(NamedTuple):
    """title: a few words. help: one sentence."""

    title: str
    help: str


RULE_WORDS: Mapping[Rule, RuleWords] = {
    "token": RuleWords(
        "Token by token",
        "Accepts each drafted token x with probability min(1, p(x)/q(x)); otherwise draws from norm(max(0, p − q)).",
    ),
    "block": RuleWords(
        "Block",
        "Verifies whole prefixes of a chain: on average it never accepts fewer tokens, and more at T > 0.",
    ),
    "match": RuleWords(
        "Match",
        "Draws each token from p and accepts the draft while both agree, as many programs do.",
    ),
    "typical": RuleWords(
        "Typical",
        "Accepts any token that is likely enough: more tokens per round, and not the target's distribution.",
    ),
}
