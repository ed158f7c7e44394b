"""Which policy plans the rounds of a run, and which drafters it may choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from speculatoviz.config import PolicyName
from speculatoviz.drafters.about import WITH_MODEL
from speculatoviz.engine import Change
from speculatoviz.measure.calibration import OTHERS_ACCEPTANCE, TYPICAL_ACCEPTANCE
from speculatoviz.policies.adaptive import AdaptivePolicy
from speculatoviz.policies.auto import AutoPolicy, Experience
from speculatoviz.policies.base import Policy
from speculatoviz.policies.costs import Costs
from speculatoviz.policies.fixed import FixedPolicy

DEEPEST = 12  # drafted tokens on a path, for policies that choose the depth and were given no limit
_MATCH_MS = 0.2  # of a token that is copied from the text: far less than any pass


def policy_of(named: PolicyName | None, depth: int | None, nodes: int) -> PolicyName:
    """The policy of a run: as named, else `fixed` if a depth or the nodes of a tree are given, else `auto`."""
    return named or ("auto" if depth is None and not nodes else "fixed")


def candidates(usual: str, chosen: str | None, available: Sequence[str]) -> tuple[str, ...]:
    """The drafters that `auto` may choose from: the chosen one alone, else the usual one and matches in the text."""
    if chosen is not None:
        return (chosen,)
    return tuple(dict.fromkeys(name for name in (usual, "suffix") if name in available))


def experience(
    drafters: Sequence[str],
    pass_ms: Callable[[], Mapping[int, float]],
    draft_ms: Callable[[], float | None],
    runs: Callable[[], int] = lambda: 1,
    *,
    together: bool = True,
) -> Experience:
    """What `auto` assumes before the first run.

    draft_ms: of one token of the draft model, None if not measured yet. runs: how many use the models now.
    together: see `Costs`.
    """

    def known(drafter: str) -> float | None:
        if drafter in ("suffix", "ngram"):
            return _MATCH_MS
        return draft_ms() if drafter in ("model", "selfspec") else None

    priors = {name: TYPICAL_ACCEPTANCE.get(name, OTHERS_ACCEPTANCE) for name in drafters}
    return Experience(Costs(pass_ms, known, runs, WITH_MODEL | {"selfspec"}, together=together), priors)


def make_policy(
    name: PolicyName, drafter: str, depth: int, nodes: int, known: Experience, drafters: Sequence[str]
) -> Policy:
    """The policy of one run. depth: of `fixed`; the deepest of the others. drafters: what `auto` chooses from."""
    if name == "auto":
        return AutoPolicy(known, depth, drafters)
    if name == "adaptive":
        return AdaptivePolicy(drafter, min(depth, 4), depth)
    return FixedPolicy(drafter, depth, nodes)


@dataclass(slots=True)
class LiveSettings:
    """The settings that can change during a run. k: the depth of `fixed`; the largest depth of the others.

    They are not the next plan: under `auto` a plan may draft less, or with another drafter.
    """

    drafter: str
    k: int
    nodes: int

    def adopt(self, changes: Callable[[], Sequence[Change]]) -> Sequence[Change]:
        """Apply the changes that were asked for meanwhile, in order, and return them."""
        asked = changes()
        for change in asked:
            self.drafter = change.drafter or self.drafter
            self.k = self.k if change.depth is None else change.depth
            self.nodes = self.nodes if change.nodes is None else change.nodes
        return asked
