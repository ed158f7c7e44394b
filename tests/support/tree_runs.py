"""Every run of the whole engine with trees over a toy vocabulary of three tokens, and the truth about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from speculatoviz.core.constraint import Constraint
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Drafting, Rule, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import speculate
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support.enumerate import Script
from support.toy_pair import no_clock, pair, request, sequence_probs

Outcome = dict[tuple[int, ...], float]


class Asking(LocalTarget):
    """Wants its drafts made in a given way."""

    asked: Drafting

    @property
    def drafting(self) -> Drafting:
        return self.asked


def whole_tree_runs(
    sampling: Sampling,
    make: Callable[[ToyModel], Drafter],
    depth: int,
    nodes: int,
    drafting: Drafting = Drafting(trees=True, tokens=63),  # noqa: B008 (frozen)
    rule: Rule = "token",
    tokens: int = 3,
    constraint: Constraint | None = None,
) -> tuple[Outcome, Outcome, float]:
    """The outputs that were found, those of the target alone, and how many tokens are accepted on average.

    Greedy runs continue after an end token, because this toy would emit nothing else.
    """
    model, _ = pair(letters=2)
    script = Script()
    ignore_eos = sampling.greedy and constraint is None
    asked = replace(request(sampling, tokens, model, ignore_eos=ignore_eos), rule=rule, constraint=constraint)

    def one_run() -> tuple[tuple[int, ...], int]:
        target = Asking(model, 32, no_clock, lambda seed: script.source())
        target.asked = drafting
        drafter = make(model)
        wanted = replace(asked, needs=drafter.needs)
        policy = FixedPolicy(drafter.name, depth, nodes)
        steps = speculate(wanted, target, {drafter.name: drafter}, policy, script.source(), no_clock)
        rounds = [step for step in steps if isinstance(step, Round)]
        return tuple(token for step in rounds for token in step.emitted), sum(step.accepted for step in rounds)

    found: Outcome = {}
    mean = 0.0
    for prob, (output, accepted) in script.outcomes(one_run):
        found[output] = found.get(output, 0.0) + prob
        mean += prob * accepted
    return found, sequence_probs(model, asked), mean
