"""Verified rounds whose draft comes from a head's drafter, alone or with others, on the toy pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from speculatoviz.core.planning import Plan, StopRule
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Draft, Drafting, Limits, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.mixture import MixtureDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.runtimes.toy import ToyModel
from support.enumerate import Script
from support.toy_pair import PROMPT, largest_difference, no_clock
from support.tree_rounds import outcome, truth


def request(sampling: Sampling, **options: object) -> Request:
    fields: dict[str, object] = {"evidence": False, "drafting": Drafting(trees=True)}
    return Request((0,), sampling, Limits(64, ignore_eos=True), **(fields | options))  # type: ignore[arg-type]


def difference(
    make: Callable[[], Drafter], sampling: Sampling, depth: int, nodes: int, stop: StopRule | None = None
) -> float:
    """How far the outcome of a round is off the target's distribution. make: a fresh drafter, for every draft."""

    def propose(model: ToyModel, script: Script, asked: Sampling) -> Draft:
        del model
        made = make()
        made.begin(request(asked))
        return made.draft(list(PROMPT), 0, Plan(made.name, depth, nodes, stop=stop), script)

    found, _ = outcome(propose, sampling, RULES["token"].verify, 2)
    return largest_difference(found, truth(sampling, 2))


def _matches() -> SuffixDrafter:
    return SuffixDrafter(no_clock, corpus=[[0, 1, 2], [0, 1, 1, 0], [1, 0]])


# How a head's drafter takes part in a draft. Any: a drafter of the type that a test names.
TOGETHER: dict[str, Callable[[Any], Drafter]] = {
    "alone": lambda own: own,
    "multi": lambda own: MultiDrafter([_matches(), own]),
    "mixture": lambda own: MixtureDrafter([(0.7, own), (0.3, _matches())], no_clock),
    "hybrid, the head": lambda own: HybridDrafter([_matches()], own, enough=99.0),
    "hybrid, the match": lambda own: HybridDrafter([_matches()], own, enough=0.1),
}
