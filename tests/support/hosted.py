"""Targets over a stand-in, without a socket, and how their outputs are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx2
from scipy.stats import chisquare

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Sampling
from speculatoviz.engine import speculate
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.base import Remote
from speculatoviz.targets.hosted.choice import Abilities as Can
from speculatoviz.targets.hosted.endpoint import Endpoint, Patience
from speculatoviz.targets.hosted.modes import Api
from speculatoviz.targets.hosted.target import HostedTarget
from speculatoviz.targets.loop import LoopThread
from support.stand_in import StandIn
from support.toy_pair import impossible, model_drafter, no_clock, pair, pool, request, sequence_probs

URL = "http://toy/v1"
EVERYTHING = Can(tokens=True, scores=True, raw=True, top_n=20)
MakeApi = Callable[[Endpoint, Tokenizer], Api]


@contextmanager
def looped() -> Iterator[LoopThread]:
    loop = LoopThread()
    try:
        yield loop
    finally:
        loop.close()


def endpoint(stand_in: StandIn, key: str | None = None, patience: Patience | None = None) -> Endpoint:
    transport = httpx2.ASGITransport(app=stand_in.app())
    return Endpoint(URL, key, patience or Patience(), transport=transport)


def hosted(
    stand_in: StandIn, api: MakeApi, loop: LoopThread, mode: str = "auto", can: Can = EVERYTHING
) -> HostedTarget:
    tokenizer, at = stand_in.model.tokenizer, endpoint(stand_in)
    remote = Remote(URL, mode, rtt_ms=1.0)
    description = replace(stand_in.model.description, context_tokens=64)
    return HostedTarget(
        api(at, tokenizer), at, tokenizer, loop, no_clock, can=can, remote=remote, description=description, mode=mode
    )


def rounds(target: HostedTarget, sampling: Sampling, runs: int, depth: int = 2) -> Iterator[list[Round]]:
    """Seeded runs of the whole engine: outputs of up to three tokens of the toy pair."""
    model, draft = pair(letters=3)
    drafter = model_drafter(draft, model)
    for seed in range(runs):
        asked = replace(request(sampling, 3, model), seed=seed)
        policy = FixedPolicy(drafter.name, depth)
        steps = speculate(asked, target, {drafter.name: drafter}, policy, seeded(seed), no_clock)
        yield [step for step in steps if isinstance(step, Round)]


def p_value(target: HostedTarget, sampling: Sampling, runs: int) -> float:
    """Chi-square against the toy's own distribution of sequences; 0 where it cannot say what came out."""
    model = pair(letters=3)[0]
    counts = Counter(tuple(t for r in run for t in r.emitted) for run in rounds(target, sampling, runs))
    truth = sequence_probs(model, request(sampling, 3, model))
    if impossible(counts, truth):
        return 0.0
    observed, expected = pool(counts, truth, runs)
    return float(chisquare(observed, expected).pvalue) if len(observed) > 1 else 1.0


def stand_in(model: ToyModel | None = None, **switches: object) -> StandIn:
    made = StandIn(model or pair(letters=3)[0])
    for name, value in switches.items():
        assert hasattr(made.can, name)
        setattr(made.can, name, value)
    return made
