"""Clients and servers that send any frame, and what two runs must have in common, bit for bit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import numpy as np
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round, Verdict
from speculatoviz.core.steps import Drafted
from speculatoviz.core.types import Draft, Drafting, Limits, Penalties, Request, Sampling, Scores
from speculatoviz.drafters.base import Drafter
from speculatoviz.engine import speculate
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.base import Target
from speculatoviz.targets.local import LocalTarget
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame, submit_frame
from speculatoviz.targets.verifier.target import SUPPORT_SIZE

PATIENCE_S = 120.0  # how long a test waits for what must come; only a failing test waits that long
SESSION = bytes(range(16))


def toys(seed: int = 0) -> tuple[ToyModel, ToyModel]:
    """A target and a related draft over the whole toy alphabet."""
    return ToyModel(seed, ALPHABET), ToyModel(seed, ALPHABET, mix=(seed + 7, 0.3))


class HereTarget(LocalTarget):
    """A target of this process whose drafts are made as those for a verifier."""

    @property
    def drafting(self) -> Drafting:
        return Drafting(support_size=SUPPORT_SIZE, quantised=True, trees=super().drafting.trees)


def here(model: ToyModel, size: int = 512) -> HereTarget:
    return HereTarget(model, size, time.perf_counter)


def request(prompt: Sequence[int] = (0, 1), sampling: Sampling | None = None, seed: int = 0) -> Request:
    return Request(tuple(prompt), sampling or Sampling(1.0), Limits(24, ignore_eos=True), seed=seed)


def penalised(**penalties: Any) -> Request:
    """A request with penalties, after the token 0."""
    return request([0], Sampling(1.0, penalties=Penalties(**penalties)))


def watched(target: Target, drafter: Drafter, asked: Request, hook: Callable[[int], None], depth: int = 3) -> list[Any]:
    """A run of the whole engine; `hook` is called with each round's number before its draft is sent."""
    result = []
    policy = FixedPolicy(drafter.name, depth)
    for step in speculate(asked, target, {drafter.name: drafter}, policy, seeded(asked.seed), time.perf_counter):
        if isinstance(step, Drafted):
            hook(step.round)
        elif isinstance(step, Round):
            result.append(step)
    return result


class RawClient:
    """Sends frames or bytes, and reads the answers."""

    def __init__(self, url: str, *, hello: bool = True, **headers: str) -> None:
        self._open = ExitStack()
        how = {"open_timeout": PATIENCE_S, "close_timeout": PATIENCE_S, "max_queue": None, "compression": None}
        connection = connect(url + wire.PATH, proxy=None, additional_headers=headers, **how)
        self._socket = self._open.enter_context(connection)
        self._number = 0
        if hello:
            self.welcome = self.ask(lambda number: wire.Hello(number, wire.VERSION))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def send(self, make: Callable[[int], wire.Frame]) -> int:
        self._number += 1
        self._socket.send(wire.encode(make(self._number)))
        return self._number

    def send_raw(self, raw: bytes | str) -> None:
        self._socket.send(raw)

    def receive(self, timeout: float = PATIENCE_S) -> wire.ServerFrame:
        raw = self._socket.recv(timeout)
        assert isinstance(raw, bytes)
        return wire.server_frame(raw)

    def ask(self, make: Callable[[int], wire.Frame]) -> wire.ServerFrame:
        number = self.send(make)
        frame = self.receive()
        assert frame.number in {number, 0}, frame
        return frame

    def open(self, asked: Request, session: bytes = SESSION) -> wire.ServerFrame:
        return self.ask(lambda number: open_frame(number, session, asked, asked.prompt))

    def submit(self, draft: Draft, committed: int) -> wire.ServerFrame:
        return self.ask(lambda number: submit_frame(number, draft, committed))

    def refused(self) -> wire.Refused:
        """The next frame, which must be a refusal in words."""
        return refusal(self.receive())


def refusal(frame: wire.ServerFrame) -> wire.Refused:
    assert isinstance(frame, wire.Refused), frame
    assert frame.message.endswith(".")
    assert frame.hint.endswith(".")
    return frame


def judged(frame: wire.ServerFrame) -> wire.Judged:
    assert isinstance(frame, wire.Judged), frame
    return frame


def verdict_fields(frame: wire.ServerFrame) -> tuple[object, ...]:
    """A verdict's frame without its number and times."""
    f = judged(frame)
    return f.round, f.path, tuple(f.checks), f.token, f.status, f.target_prob, f.scores, f.residual


@contextmanager
def answering(handler: Callable[[wire.ClientFrame], list[bytes]]) -> Iterator[str]:
    """A server that answers each frame with the frames that `handler` returns; its address."""

    def serve_one(socket: ServerConnection) -> None:
        for raw in socket:
            assert isinstance(raw, bytes)
            for answer in handler(wire.client_frame(raw)):
                socket.send(answer)

    with serve(serve_one, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(PATIENCE_S)


# ---- what two runs must have in common; alternatives are sent as float32 ----


def bits(rounds: Sequence[Round]) -> list[tuple[object, ...]]:
    return [(*_draft(r.draft), *verdict_bits(r.verdict), r.emitted, r.statuses, r.texts) for r in rounds]


def verdict_bits(verdict: Verdict) -> tuple[object, ...]:
    e = verdict.extra
    checks = tuple(
        (c.node, c.token, c.status, c.target_prob, c.draft_prob, c.acceptance_prob, c.uniform, _scores(c.target))
        for c in verdict.checks
    )
    shown = e.compared, tuple((c.compared, c.overlap) for c in verdict.checks)
    return verdict.path, e.token, e.status, e.target_prob, _scores(e.target), _top(e.residual), checks, shown


def _draft(draft: Draft) -> tuple[object, ...]:
    q = tuple(None if q is None else (tuple(q.ids.tolist()), tuple(q.probs.tolist())) for q in draft.q)
    return draft.round, tuple(draft.tokens.tolist()), q


def _scores(scores: Scores | None) -> object:
    return None if scores is None else (scores.logprob, scores.entropy, _top(scores.top))


def _top(top: Sequence[tuple[int, float]]) -> object:
    return tuple((token, float(np.float32(logprob))) for token, logprob in top)
