"""Every run of the real engine, drafter, cache and target over a toy vocabulary, and the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from speculatoviz.core.constraint import Constraint
from speculatoviz.core.types import Rule, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.base import Policy
from speculatoviz.targets.local import LocalTarget
from support import twins
from support.enumerate import Script
from support.toy_pair import no_clock, pair, request, run_tokens, sequence_probs

Outcome = dict[tuple[int, ...], float]
Factory = Callable[[ToyModel, ToyModel], Drafter]


def whole_runs(
    sampling: Sampling,
    depth: int,
    drafter: Factory,
    *,
    nodes: int = 0,
    rule: Rule = "token",
    tokens: int = 3,
    forgetful: bool = False,
    policy: Callable[[str], Policy] | None = None,
    certainty: bool = False,
    constraint: Constraint | None = None,
) -> tuple[Outcome, Outcome]:
    """P(output) of runs of up to `tokens` tokens, every choice listed; and the target's own.

    policy: makes the policy of a run with the drafter of that name; the same depth in every round if not given.
    certainty: whether it is told the target's certainty. constraint: of the output.
    """
    target_model, draft_model = pair(letters=2)
    script = Script()
    asked = replace(request(sampling, tokens, target_model), rule=rule, certainty=certainty, constraint=constraint)

    def one_run() -> tuple[int, ...]:
        target = LocalTarget(target_model, 16, no_clock, lambda seed: script.source())
        if forgetful:
            target = twins.ForgetfulTarget(target)
        proposer = drafter(draft_model, target_model)
        own = policy(proposer.name) if policy else None
        return run_tokens(asked, target, proposer, depth, script.source(), nodes, own)

    found: Outcome = {}
    for prob, output in script.outcomes(one_run):
        found[output] = found.get(output, 0.0) + prob
    return found, sequence_probs(target_model, asked)
