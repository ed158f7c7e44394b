"""No drafter fills the target's context or its pass beyond the last place, and all of them get there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.steps import Ended
from speculatoviz.core.types import Drafting, Limits, Request, Sampling
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.lookahead import LookaheadDrafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.engine import speculate
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.local import LocalTarget
from support.toy_pair import Factory, model_drafter, no_clock, pair

CONTEXT = 40
OTHER = ToyModel(9)


def lookahead(draft: ToyModel, target: ToyModel) -> LookaheadDrafter:
    return LookaheadDrafter(window=2, ngram=3, guesses=2)  # four probes: they fit into the narrow pass


def suffix(draft: ToyModel, target: ToyModel) -> SuffixDrafter:
    return SuffixDrafter(no_clock)


FACTORIES: dict[str, Factory] = {
    "model": model_drafter,
    "suffix": suffix,
    "lookahead": lookahead,
    "multi": lambda d, t: MultiDrafter([suffix(d, t), lookahead(d, t), model_drafter(d, t), model_drafter(OTHER, t)]),
    "hybrid": lambda d, t: HybridDrafter([NgramDrafter(1, 2), suffix(d, t)], model_drafter(d, t)),
}


class Narrow(LocalTarget):
    """Takes few tokens in a pass."""

    @property
    def drafting(self) -> Drafting:
        return replace(super().drafting, tokens=5)


@pytest.mark.parametrize("kind", [LocalTarget, Narrow])
@pytest.mark.parametrize("nodes", [0, 8, 60])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)], ids=str)
@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())
def test_the_context_is_filled_and_never_overrun(
    factory: Factory, sampling: Sampling, nodes: int, kind: type[LocalTarget]
) -> None:
    draft_model, model = pair()
    target = kind(model, CONTEXT, no_clock)
    drafter = factory(draft_model, model)
    request = Request((0, 1, 2, 0, 1), sampling, Limits(100, ignore_eos=True), evidence=False, needs=drafter.needs)
    policy = FixedPolicy(drafter.name, 3, nodes)
    steps = list(speculate(request, target, {drafter.name: drafter}, policy, seeded(0), no_clock))
    assert isinstance(steps[-1], Ended)
    assert steps[-1].finish_reason == "context"
    rounds = [step for step in steps if isinstance(step, Round)]
    assert len(request.prompt) + sum(len(step.emitted) for step in rounds) == CONTEXT
    most = target.drafting.tokens
    assert most is not None
    assert all(len(step.draft) + len(step.draft.probes.tokens if step.draft.probes else ()) <= most for step in rounds)
    assert any(len(step.draft) for step in rounds), "nothing was drafted"
