"""Toy runs whose rejections have a known cause, and their autopsies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.sampling import support
from speculatoviz.core.types import Draft, DraftEvidence, Node, Rule, Sampling, Support
from speculatoviz.drafters.base import BaseDrafter, Drafter
from speculatoviz.engine import speculate
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.autopsy import autopsy
from speculatoviz.telemetry.autopsy_info import Autopsy, Cause
from speculatoviz.telemetry.events import Event, Started
from speculatoviz.telemetry.mapping import model_info, sampling_info
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.parts import HeadInfo
from support.toy_pair import no_clock, request

OPEN = Sampling(1.0)


@dataclass(frozen=True)
class Proposal:
    """What a drafter does at a node. chosen: take the most probable token of q instead of drawing one."""

    q: Support
    evidence: DraftEvidence | None = None
    chosen: bool = False


class Proposing(BaseDrafter):
    """A chain of what `propose` returns for a prefix and a position."""

    name = "toy"

    def __init__(self, propose: Callable[[Sequence[int], int], Proposal]) -> None:
        self._propose = propose

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        nodes: list[Node] = []
        while len(nodes) < plan.depth:
            one = self._propose([*prefix, *(node.token for node in nodes)], len(nodes))
            index = int(one.q.probs.argmax()) if one.chosen else chance.draw(one.q.probs, len(nodes))
            token = int(one.q.ids[index])
            q = None if one.chosen else one.q
            nodes.append(Node(token, len(nodes) - 1, q, self.name, time_ms=1.0, evidence=one.evidence))
        return Draft.tree(round, nodes)


def exactly(target: ToyModel, sampling: Sampling = OPEN) -> Callable[[Sequence[int], int], Proposal]:
    """The target's own distribution: nothing is rejected at that sampling."""
    return lambda prefix, _: Proposal(support(target.logits(prefix), sampling, 64))


def events(
    drafter: Drafter,
    sampling: Sampling,
    rule: Rule = "token",
    *,
    tokens: int = 400,
    depth: int = 3,
    nodes: int = 0,
    evidence: bool = True,
    heads: Sequence[HeadInfo] = (),
    seed: int = 0,
    letters: int = 4,
) -> list[Event]:
    """A whole run of the engine over the toy target of `toy_pair.pair`."""
    model = ToyModel(1, PIECES[:letters])
    asked = replace(request(sampling, tokens, model, ignore_eos=True), rule=rule, evidence=evidence, seed=seed)
    target = LocalTarget(model, tokens + 32, no_clock)
    steps = speculate(
        asked, target, {drafter.name: drafter}, FixedPolicy(drafter.name, depth, nodes), seeded(seed), no_clock
    )
    begun = Started.model_construct(
        rule=rule,
        sampling=sampling_info(sampling),
        heads=list(heads),
        pass_times=[],
        translated=False,
        target_model=model_info(model),
    )
    return [begun, *Narrator("r", model.tokenizer, None, no_clock).events(steps)]


PIECES = tuple(bytes([c]) for c in b"abcdefgh")


def autopsy_of(run: list[Event]) -> Autopsy:
    """The autopsy of a run, whose parts add up to its whole."""
    found = autopsy(run)
    assert found is not None
    assert sum(cause.expected for cause in found.causes) == pytest.approx(found.expected, abs=1e-5)
    assert sum(cause.rejections for cause in found.causes) == pytest.approx(found.rejected, abs=1e-9)
    assert sum(cause.tokens for cause in found.causes) == found.rejected
    return found


def shares(found: Autopsy) -> dict[Cause, float]:
    """The share of each cause that has one."""
    return {c.cause: c.share or 0.0 for c in found.causes if abs(c.share or 0.0) > 1e-6}
