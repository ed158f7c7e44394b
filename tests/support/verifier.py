"""A verifier on a real socket with toy models, and runs of the whole engine against it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Limits, Request, Rule, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.engine import speculate
from speculatoviz.models.base import LanguageModel
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.server import address
from speculatoviz.server.certificate import Certificate
from speculatoviz.server.limits import ConnectionLimits
from speculatoviz.server.verifier.app import VerifierOptions, create_verifier
from speculatoviz.targets.base import Target
from speculatoviz.targets.loop import LoopThread
from speculatoviz.targets.verifier.connection import ConnectionTimeouts
from speculatoviz.targets.verifier.target import VerifierTarget

PATIENCE_S = 60.0
QUICK = ConnectionTimeouts(total_s=PATIENCE_S, open_s=5.0, ping_s=0.2, pong_s=1.0, wait_s=0.005, longest_wait_s=0.1)


class VerifierServer:
    """uvicorn in a thread, as the command line sets it up. port 0 takes a free one.

    connections: limits, if a test needs others. send_buffer: bytes that the kernel keeps for each client.
    """

    def __init__(
        self,
        model: LanguageModel,
        options: VerifierOptions | None = None,
        port: int = 0,
        connections: ConnectionLimits | None = None,
        send_buffer: int | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.options = options or VerifierOptions(context_tokens=512)
        self._socket = socket.create_server(("127.0.0.1", port))
        if send_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port: int = self._socket.getsockname()[1]
        self.app: FastAPI = create_verifier(model, self.options, time.perf_counter)
        limits = replace(connections or ConnectionLimits(), message_bytes=self.options.limits.frame_bytes)
        self.uvicorn = address.configured(self.app, limits, certificate)
        self._thread = threading.Thread(target=self.uvicorn.run, args=([self._socket],), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def stop(self, *, at_once: bool = True) -> None:
        self.uvicorn.should_exit = True
        self.uvicorn.force_exit = at_once
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the verifier did not stop"


@contextmanager
def serving(model: LanguageModel, how: VerifierOptions | None = None, **more: Any) -> Iterator[VerifierServer]:
    server = VerifierServer(model, how, **more)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def connected(
    url: str,
    folder: Path,
    clock: Callable[[], float] = time.perf_counter,
    timeouts: ConnectionTimeouts = QUICK,
    **how: str | None,
) -> Iterator[VerifierTarget]:
    loop = LoopThread()
    try:
        target = VerifierTarget(url, loop, clock, folder, timeouts=timeouts, **how)
        try:
            yield target
        finally:
            target.close()
    finally:
        loop.close()


def rounds(
    target: Target,
    drafter: Drafter,
    prompt: tuple[int, ...] = (0, 1),
    sampling: Sampling | None = None,
    seed: int = 0,
    tokens: int = 24,
    depth: int = 3,
    *,
    overlap: bool = True,
    evidence: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
    rule: Rule = "token",
    nodes: int = 0,
) -> list[Round]:
    """A run of the whole engine, ends ignored."""
    request = Request(
        prompt,
        sampling or Sampling(1.0),
        Limits(tokens, ignore_eos=True),
        seed=seed,
        evidence=evidence,
        overlap=overlap,
        cancelled=cancelled,
        rule=rule,
    )
    steps = speculate(
        request,
        target,
        {drafter.name: drafter},
        FixedPolicy(drafter.name, depth, nodes),
        seeded(seed),
        time.perf_counter,
    )
    return [step for step in steps if isinstance(step, Round)]


def ids(rounds: list[Round]) -> list[int]:
    return [token for round in rounds for token in round.emitted]


def drafter_for(target: ToyModel, draft: ToyModel, size: int = 512) -> ModelDrafter:
    return ModelDrafter(draft, target.tokenizer, size, time.perf_counter)
