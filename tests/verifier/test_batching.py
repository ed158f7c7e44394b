"""Requests of several sessions share forward passes, and no result depends on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from speculatoviz.core.types import Draft
from speculatoviz.models.base import PREFILL_TOKENS
from speculatoviz.server.verifier.app import VerifierOptions
from speculatoviz.server.verifier.batching import PassBatcher
from speculatoviz.server.verifier.connection import ClientLimits
from speculatoviz.server.verifier.sessions import Sessions
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame, submit_frame
from support.live_server import poll
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, bits, here, judged, refusal, request, toys, verdict_fields
from support.verifier_models import WatchedToy
from support.verifier_servers import Servers

DRAFT = Draft.chain(0, [3, 4, 5], (), "test")


@pytest.fixture
def model() -> Iterator[WatchedToy]:
    model = WatchedToy()
    yield model
    assert model.open_caches <= 8


@pytest.fixture
def server(servers: Servers, model: WatchedToy) -> Iterator[VerifierServer]:
    how = VerifierOptions(context_tokens=1024, sessions=8, limits=ClientLimits(draft_tokens=100))
    yield servers.start(model, how)
    model.gate.open()


def sessions(server: VerifierServer) -> Sessions:
    found = server.app.state.sessions
    assert isinstance(found, Sessions)
    return found


def batcher(server: VerifierServer) -> PassBatcher:
    found = server.app.state.batcher
    assert isinstance(found, PassBatcher)
    return found


def locked(server: VerifierServer) -> int:
    """Sessions that are answering a request."""
    return sum(session.lock.locked() for session in sessions(server)._sessions.values())


def prompt(number: int) -> tuple[int, ...]:
    return (number, 1, number)


class Clients:
    """Several clients with one session each."""

    def __init__(self, server: VerifierServer, stack: ExitStack, prompts: Sequence[Sequence[int]]) -> None:
        self.server = server
        self.all = [stack.enter_context(RawClient(server.url)) for _ in prompts]
        for number, (client, ids) in enumerate(zip(self.all, prompts, strict=True)):
            opened = client.open(request(ids, seed=number), bytes([number]) * 16)
            assert isinstance(opened, wire.Opened)

    def submit(self, number: int, draft: Draft, committed: int) -> None:
        self.all[number].send(lambda frame: submit_frame(frame, draft, committed))

    def wait_until_waiting(self, jobs: int) -> None:
        poll(lambda: len(batcher(self.server)._waiting) == jobs, f"{jobs} jobs wait for the next pass")


def test_rounds_that_arrive_during_a_pass_share_the_next_one(server: VerifierServer, model: WatchedToy) -> None:
    with ExitStack() as stack:
        clients = Clients(server, stack, [prompt(n) for n in range(5)])
        model.gate.limit(0)
        clients.submit(0, DRAFT, 3)
        model.gate.wait_until_blocked()
        for number in range(1, 5):
            clients.submit(number, DRAFT, 3)
        clients.wait_until_waiting(4)
        model.batches.clear()
        before = batcher(server).passes, batcher(server).jobs
        model.gate.open()
        together = [verdict_fields(client.receive()) for client in clients.all]
    assert model.batches == [(1, 4), (4, 16)]
    assert (batcher(server).passes - before[0], batcher(server).jobs - before[1]) == (2, 5)
    for number, verdict in enumerate(together):
        with RawClient(server.url) as client:
            client.open(request(prompt(number), seed=number), bytes([100 + number]) * 16)
            assert verdict_fields(client.submit(DRAFT, 3)) == verdict


def test_concurrent_runs_give_what_each_gives_alone(server: VerifierServer, folder: Path) -> None:
    results: dict[int, object] = {}

    def run(seed: int) -> None:
        with connected(server.url, folder) as target:
            results[seed] = bits(rounds(target, drafter_for(*toys()), prompt(seed), seed=seed))

    threads = [Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert results[seed] == bits(rounds(here(toys()[0]), drafter_for(*toys()), prompt(seed), seed=seed))


def test_a_prompt_is_prefilled_in_chunks_that_do_not_delay_others(server: VerifierServer, model: WatchedToy) -> None:
    long = [n % 7 for n in range(300)]
    with ExitStack() as stack:
        clients = Clients(server, stack, [prompt(0), prompt(1)])
        model.gate.limit(0)
        clients.all[0].send(lambda number: open_frame(number, bytes(16), request(long), long))
        model.gate.wait_until_blocked()
        clients.submit(1, DRAFT, 3)
        clients.wait_until_waiting(1)
        model.batches.clear()
        model.gate.limit(2)
        assert judged(clients.all[1].receive()).round == 0
        with pytest.raises(TimeoutError):
            clients.all[0].receive(timeout=0.01)
        model.gate.open()
        assert isinstance(clients.all[0].receive(), wire.Opened)
    assert max(tokens for _, tokens in model.batches) <= 16 + 4
    assert sum(tokens for _, tokens in model.batches) == 297 + 4  # the beginning was in the cache already


def test_a_single_session_prefills_in_larger_chunks(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as client:
        client.open(request([n % 7 for n in range(300)]))
    assert [tokens for _, tokens in model.batches] == [PREFILL_TOKENS] * 4 + [299 - 4 * PREFILL_TOKENS]


def test_a_draft_larger_than_a_shared_pass_gets_one_of_its_own(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as client:
        client.open(request())
        large = Draft.chain(0, [n % 7 for n in range(PREFILL_TOKENS + 20)], (), "test")
        assert judged(client.submit(large, 2)).round == 0
    assert model.batches[-1] == (1, len(large) + 1)


def test_a_failing_job_does_not_fail_the_other_sessions(
    server: VerifierServer, servers: Servers, model: WatchedToy
) -> None:
    with ExitStack() as stack:
        clients = Clients(server, stack, [prompt(n) for n in range(3)])
        model.gate.limit(0)
        model.poison = [13, 13]
        clients.submit(0, DRAFT, 3)
        model.gate.wait_until_blocked()
        clients.submit(1, Draft.chain(0, [13, 13], (), "test"), 3)
        clients.submit(2, DRAFT, 3)
        clients.wait_until_waiting(2)
        model.gate.open()
        good = [verdict_fields(clients.all[number].receive()) for number in (0, 2)]
        assert "failed (RuntimeError)" in refusal(clients.all[1].receive()).message
        assert verdict_fields(clients.all[1].submit(DRAFT, 3))[0] == 0, "the session can go on"
    assert [error for error in servers.errors if "a request failed" not in error] == []
    servers.errors.clear()
    for number, verdict in zip((0, 2), good, strict=True):
        with RawClient(server.url) as client:
            client.open(request(prompt(number), seed=number), bytes([100 + number]) * 16)
            assert verdict_fields(client.submit(DRAFT, 3)) == verdict


def test_a_verdict_that_fails_invalidates_only_the_sessions_cache(
    server: VerifierServer, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawClient(server.url) as client:
        client.open(request(prompt(0)))
        with monkeypatch.context() as patch:
            patch.setattr("speculatoviz.targets.local.decide", lambda *args: 1 / 0)
            assert "failed (ZeroDivisionError)" in refusal(client.submit(DRAFT, 3)).message
        assert refusal(client.submit(DRAFT, 3)).code == "out_of_step", "the cache still holds the draft"
        client.open(request(prompt(0)))
        again = verdict_fields(client.submit(DRAFT, 3))
    servers.errors.clear()
    with RawClient(server.url) as client:
        client.open(request(prompt(0)), bytes([100]) * 16)
        assert verdict_fields(client.submit(DRAFT, 3)) == again


def test_a_pass_of_a_client_that_left_gives_no_verdict_to_its_next_run(
    server: VerifierServer, model: WatchedToy
) -> None:
    """The client disconnects during a pass and reconnects with another seed: the old verdict must not be its answer."""
    with RawClient(server.url) as fresh:
        fresh.open(request(prompt(0), seed=1), bytes([100]) * 16)
        expected = verdict_fields(fresh.submit(DRAFT, 3))
    with RawClient(server.url) as client:
        client.open(request(prompt(0), seed=0))
        model.gate.limit(0)
        client.send(lambda number: submit_frame(number, DRAFT, 3))
        model.gate.wait_until_blocked()
        (session,) = [session for session in sessions(server)._sessions.values() if session.lock.locked()]
        gone = session.owner
    with RawClient(server.url) as client:
        asked = request(prompt(0), seed=1)
        client.send(lambda number: open_frame(number, bytes(range(16)), asked, asked.prompt))
        poll(lambda: session.owner is not gone, "it is back")
        model.gate.open()
        assert isinstance(client.receive(), wire.Opened)
        assert verdict_fields(client.submit(DRAFT, 3)) == expected


def test_jobs_of_clients_that_left_are_not_computed(server: VerifierServer, model: WatchedToy) -> None:
    with ExitStack() as stack:
        clients = Clients(server, stack, [prompt(0), prompt(1)])
        model.gate.limit(0)
        clients.submit(0, DRAFT, 3)
        model.gate.wait_until_blocked()
        clients.submit(1, DRAFT, 3)
        clients.wait_until_waiting(1)
        clients.all[1].__exit__()
        poll(lambda: locked(server) == 1, "the client is gone")
        model.batches.clear()
        model.gate.open()
        assert judged(clients.all[0].receive()).round == 0
    assert model.batches == [(1, 4)]
