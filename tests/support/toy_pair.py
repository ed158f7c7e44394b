"""A toy target, toy drafters and the truth about them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from speculatoviz.core.chance import Chance, ChanceSource, seeded
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rounds import Round
from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Draft, Limits, Need, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import speculate
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.policies.base import Policy
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.base import Target
from support.goodness import goodness_of_fit
from support.penalties import penalised

PROMPT = (0, 1)

SAMPLINGS = {
    "greedy": Sampling(0.0),
    "T=1": Sampling(1.0),
    "T=0.7": Sampling(0.7),
    "T=1.5": Sampling(1.5),
    "top-k 3": Sampling(1.0, top_k=3),
    "top-p 0.8": Sampling(1.0, top_p=0.8),
    "min-p 0.3": Sampling(1.0, min_p=0.3),
    "all filters": Sampling(0.8, top_k=4, top_p=0.9, min_p=0.1),
}


def no_clock() -> float:
    return 0.0


def pair(letters: int = 4) -> tuple[ToyModel, ToyModel]:
    """A target and a related draft over `letters` letters and the end token."""
    pieces = ALPHABET[:letters]
    return ToyModel(1, pieces), ToyModel(1, pieces, mix=(2, 0.5))


def request(sampling: Sampling, max_tokens: int, target: ToyModel, *, ignore_eos: bool = False) -> Request:
    limits = Limits(max_tokens, stop_ids=target.tokenizer.eos_ids, ignore_eos=ignore_eos)
    return Request(PROMPT, sampling, limits, evidence=False)


def model_drafter(draft: ToyModel, target: ToyModel, support_size: int = 64) -> ModelDrafter:
    return ModelDrafter(draft, target.tokenizer, 64, no_clock, support_size)


class FixedDrafter:
    """Always proposes the same tokens, as a point mass or under given distributions."""

    name = "fixed"
    begins_at_no_cost = True
    needs: frozenset[Need] = frozenset()
    block: int | None = None

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)

    def unread(self, prefix: list[int]) -> int:
        return 0

    def begin(self, request: Request) -> None:
        self._ends = request.limits.end_ids

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        tokens = self._tokens[: plan.depth]
        ends = [i for i, token in enumerate(tokens) if token in self._ends]
        return Draft.chain(round, tokens[: ends[0] + 1] if ends else tokens, (), self.name)

    def prepare(self, prefix: list[int], round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return False

    def prepare_other(self, round: int, plan: Plan, chance: Chance, pays: Callable[[float], bool]) -> bool:
        return False

    def outlook(self, prefix: list[int]) -> Outlook:
        return Outlook(tuple(self._tokens))

    def observe(self, round: Round) -> None:
        pass

    def close(self) -> None:
        pass


def run_tokens(
    request: Request,
    target: Target,
    drafter: Drafter,
    depth: int,
    chance: ChanceSource,
    nodes: int = 0,
    policy: Policy | None = None,
) -> tuple[int, ...]:
    """The ids one run of the whole engine emits. policy: instead of the same depth and nodes in every round."""
    policy = policy or FixedPolicy(drafter.name, depth, nodes)
    steps = speculate(request, target, {drafter.name: drafter}, policy, chance, no_clock)
    return tuple(token for step in steps if isinstance(step, Round) for token in step.emitted)


def sequence_probs(target: ToyModel, request: Request) -> dict[tuple[int, ...], float]:
    """The truth: every output of plain sampling with its probability, computed without any cache."""
    ends = request.limits.end_ids
    done: dict[tuple[int, ...], float] = {}
    growing: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(request.limits.max_tokens):
        longer: dict[tuple[int, ...], float] = {}
        for output, prob in growing.items():
            ids = [*request.prompt, *output]
            logits = penalised(target.logits(ids), ids, len(request.prompt), request.sampling.penalties)
            allowed = None if request.constraint is None else request.constraint.allowed(output)
            p = distribution(logits if allowed is None else np.where(allowed, logits, -np.inf), request.sampling)
            probs = p.dense(target.tokenizer.n_vocab)
            for token in np.flatnonzero(probs).tolist():
                (done if token in ends else longer)[*output, token] = prob * float(probs[token])
        growing = longer
    return done | growing


def total_variation(a: dict[tuple[int, ...], float], b: dict[tuple[int, ...], float]) -> float:
    return 0.5 * sum(abs(a.get(key, 0.0) - b.get(key, 0.0)) for key in a.keys() | b.keys())


def largest_difference(a: dict[tuple[int, ...], float], b: dict[tuple[int, ...], float]) -> float:
    return max(abs(a.get(key, 0.0) - b.get(key, 0.0)) for key in a.keys() | b.keys())


def fit_of_seeded_runs(
    request: Request, model: ToyModel, target: Target, drafter: Drafter, depth: int, runs: int, nodes: int = 0
) -> float:
    """`goodness_of_fit` of the outputs of the whole engine under the seeds 0 to runs - 1. model: the target's."""
    counts = Counter(
        run_tokens(replace(request, seed=seed), target, drafter, depth, seeded(seed), nodes) for seed in range(runs)
    )
    return goodness_of_fit(counts, sequence_probs(model, request))


def all_sequences(n_vocab: int, length: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(n_vocab), repeat=length))


Factory = Callable[[ToyModel, ToyModel], Drafter]
