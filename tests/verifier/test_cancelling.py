"""A run that is cancelled or abandoned in the middle of a round does not change the next run."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from speculatoviz.core.rounds import Verdict
from speculatoviz.core.types import Draft
from speculatoviz.errors import CancelledError
from speculatoviz.server.verifier.batching import PassBatcher
from speculatoviz.targets.loop import wait
from support.live_server import poll
from support.proxy import Proxy
from support.verifier import connected, drafter_for, rounds
from support.verifier_client import bits, here, request, toys
from support.verifier_models import WatchedToy
from support.verifier_servers import Servers

SEEDS = range(3)


def expected(seed: int) -> list[tuple[object, ...]]:
    return bits(rounds(here(toys()[0]), drafter_for(*toys()), seed=seed))


class LateFuture(Future[int]):
    """Its result arrives just after the waiting has timed out."""

    def result(self, timeout: float | None = None) -> int:
        if not self.done():
            self.set_result(7)
            raise TimeoutError
        return super().result(timeout)


def test_a_result_that_arrives_as_the_waiting_ends_is_returned() -> None:
    late, looks = LateFuture(), iter([False, True])

    def look() -> bool:
        if next(looks, True) and not late.done():
            late.set_result(7)
        return False

    assert wait(late, look) == 7


def test_a_timeout_error_of_the_work_is_raised() -> None:
    future: Future[int] = Future()
    future.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        wait(future, lambda: False)


def test_a_cancelled_round_ends_at_once_and_the_next_run_is_unchanged(servers: Servers, folder: Path) -> None:
    model = WatchedToy()
    server = servers.start(model)
    with connected(server.url, folder) as target:
        for seed in SEEDS:
            model.gate.limit(2)
            done = rounds(target, drafter_for(*toys()), seed=seed, cancelled=lambda: model.gate._blocked > 0)
            assert bits(done) == expected(seed)[: len(done)]
            model.gate.open()
            assert bits(rounds(target, drafter_for(*toys()), seed=seed)) == expected(seed)


def test_a_round_cancelled_before_its_pass_is_not_computed(servers: Servers, folder: Path) -> None:
    model = WatchedToy()
    server = servers.start(model)
    with connected(server.url, folder) as one, connected(server.url, folder) as other:
        passes: PassBatcher = server.app.state.batcher
        for target in (one, other):
            target.begin(request())
        model.gate.limit(0)
        first = one.submit(Draft.empty(0))
        model.gate.wait_until_blocked()
        second = other.submit(Draft.empty(0))
        poll(lambda: len(passes._waiting) == 1, "the second waits")
        second.cancel()
        with pytest.raises(CancelledError):
            second.result()
        poll(lambda: passes._waiting[0].future.cancelled() if passes._waiting else True, "the verifier knows")
        before = len(model.batches)
        model.gate.open()
        assert isinstance(first.result(), Verdict)
        assert len(model.batches) == before + 1


def test_a_round_whose_verdict_is_not_used_does_not_change_the_next_run(servers: Servers, folder: Path) -> None:
    port = servers.start().port
    with Proxy("127.0.0.1", port, delay_s=0.002) as proxy, connected(proxy.url("ws"), folder) as target:
        for seed in SEEDS:
            target.begin(request(seed=seed))
            target.submit(Draft.chain(0, [3, 4], (), "test"))
            assert bits(rounds(target, drafter_for(*toys()), seed=seed)) == expected(seed)


def test_a_stream_that_is_closed_early_does_not_change_the_next_run(servers: Servers, folder: Path) -> None:
    with connected(servers.start().url, folder) as target:
        for seed in SEEDS:
            stream = target.stream(request(seed=seed))
            next(stream)
            stream.close()
            assert bits(rounds(target, drafter_for(*toys()), seed=seed)) == expected(seed)


def test_a_cancelled_stream_ends(servers: Servers, folder: Path) -> None:
    asked = request()
    taken: list[int] = []
    with connected(servers.start().url, folder) as target:
        stream = target.stream(type(asked)(asked.prompt, asked.sampling, asked.limits, cancelled=lambda: bool(taken)))
        taken.append(next(stream))
        with pytest.raises(CancelledError):
            list(stream)
