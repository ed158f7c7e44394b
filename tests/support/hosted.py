"""Targets over a stand-in, without a socket, and how their outputs are counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import uvicorn
from starlette.applications import Starlette

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Sampling
from speculatoviz.engine import speculate
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.base import Remote
from speculatoviz.targets.hosted.address import Credentials, parse
from speculatoviz.targets.hosted.api import Api
from speculatoviz.targets.hosted.choice import Abilities as Can
from speculatoviz.targets.hosted.connection import Patience
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.open import EndpointSettings, open_endpoint
from speculatoviz.targets.hosted.target import HostedTarget, ProbedEndpoint
from speculatoviz.targets.loop import LoopThread
from support.stand_in import StandIn
from support.toy_pair import fit_of_seeded_runs, model_drafter, no_clock, pair, request

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


@contextmanager
def listening(app: Starlette) -> Iterator[int]:
    """Serves an endpoint on a port of this machine."""
    at = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([at],), daemon=True)
    thread.start()
    try:
        yield at.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def endpoint(stand_in: StandIn, key: str | None = None, patience: Patience | None = None) -> Endpoint:
    transport = httpx2.ASGITransport(app=stand_in.app())
    return Endpoint(URL, Credentials.bearer(key) if key else None, patience or Patience(), transport)


def hosted(
    stand_in: StandIn, api: MakeApi, loop: LoopThread, mode: str = "auto", can: Can = EVERYTHING
) -> HostedTarget:
    tokenizer, at = stand_in.model.tokenizer, endpoint(stand_in)
    remote = Remote(URL, mode, rtt_ms=1.0)
    description = replace(stand_in.model.description, context_tokens=64)
    probed = ProbedEndpoint(at, api(at, tokenizer), tokenizer, can, remote, description, mode)
    return HostedTarget(probed, loop, no_clock)


def opened(
    served: StandIn,
    loop: LoopThread,
    name: str = "openai:http://toy/v1#toy",
    mode: str = "auto",
    *,
    tokenizer: Tokenizer | None = None,
    key: str | None = None,
    full: bool = False,
    by_socket: bool = False,
) -> HostedTarget:
    """A target at the stand-in. by_socket: at the address in the name, where it must be listening."""
    settings = EndpointSettings(parse(name, key, {}), mode)
    transport = None if by_socket else httpx2.ASGITransport(app=served.app())
    own = tokenizer or served.model.tokenizer
    return open_endpoint(settings, own, loop, no_clock, full=full, transport=transport)


def emitted(target: HostedTarget, sampling: Sampling) -> tuple[int, ...]:
    """The ids of one run."""
    return tuple(token for round in next(rounds(target, sampling, 1)) for token in round.emitted)


def rounds(
    target: HostedTarget, sampling: Sampling, runs: int, depth: int = 2, conversation: tuple[tuple[str, str], ...] = ()
) -> Iterator[list[Round]]:
    """Seeded runs of the whole engine: outputs of up to three tokens of the toy pair."""
    model, draft = pair(letters=3)
    drafter = model_drafter(draft, model)
    for seed in range(runs):
        asked = replace(request(sampling, 3, model), seed=seed, conversation=conversation)
        policy = FixedPolicy(drafter.name, depth)
        steps = speculate(asked, target, {drafter.name: drafter}, policy, seeded(seed), no_clock)
        yield [step for step in steps if isinstance(step, Round)]


def p_value(target: HostedTarget, sampling: Sampling, runs: int) -> float:
    """Of the emitted sequences against the toy's own distribution of sequences."""
    model, draft = pair(letters=3)
    drafter = model_drafter(draft, model)
    return fit_of_seeded_runs(request(sampling, 3, model), model, target, drafter, 2, runs)


def stand_in(model: ToyModel | None = None, **switches: object) -> StandIn:
    made = StandIn(model or pair(letters=3)[0])
    for name, value in switches.items():
        assert hasattr(made.can, name)
        setattr(made.can, name, value)
    return made
