"""What sessions ask for at the same time shares passes, and none of them can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from speculatoviz.core.types import Draft
from speculatoviz.models.base import PREFILL_TOKENS
from speculatoviz.server.verifier.app import Serving
from speculatoviz.server.verifier.connection import Bounds
from speculatoviz.server.verifier.passes import Passes
from speculatoviz.server.verifier.sessions import Seats
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.frames import open_frame, submit_frame
from support.live_server import poll
from support.verifier import VerifierServer, connected, drafter_for, rounds
from support.verifier_client import RawClient, bits, here, judged, refusal, request, said, toys
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
    how = Serving(context_tokens=1024, sessions=8, bounds=Bounds(draft_tokens=100))
    yield servers.start(model, how)
    model.gate.open()


def seats(server: VerifierServer) -> Seats:
    found = server.app.state.seats
    assert isinstance(found, Seats)
    return found


def passes(server: VerifierServer) -> Passes:
    found = server.app.state.passes
    assert isinstance(found, Passes)
    return found


def prompt(number: int) -> tuple[int, ...]:
    return (number, 1, number)


class Clients:
    """Some clients with a session each."""

    def __init__(self, server: VerifierServer, stack: ExitStack, prompts: Sequence[Sequence[int]]) -> None:
        self.server = server
        self.all = [stack.enter_context(RawClient(server.url)) for _ in prompts]
        for number, (client, ids) in enumerate(zip(self.all, prompts, strict=True)):
            opened = client.open(request(ids, seed=number), bytes([number]) * 16)
            assert isinstance(opened, wire.Opened)

    def submit(self, number: int, draft: Draft, committed: int) -> None:
        self.all[number].send(lambda frame: submit_frame(frame, draft, committed))

    def wait_until_waiting(self, jobs: int) -> None:
        poll(lambda: len(passes(self.server)._waiting) == jobs, f"{jobs} jobs wait for the next pass")


def test_rounds_that_come_during_a_pass_share_the_next(server: VerifierServer, model: WatchedToy) -> None:
    with ExitStack() as stack:
        clients = Clients(server, stack, [prompt(n) for n in range(5)])
        model.gate.limit(0)
        clients.submit(0, DRAFT, 3)
        model.gate.wait_until_blocked()
        for number in range(1, 5):
            clients.submit(number, DRAFT, 3)
        clients.wait_until_waiting(4)
        model.batches.clear()
        before = passes(server).passes, passes(server).jobs
        model.gate.open()
        together = [said(client.receive()) for client in clients.all]
    assert model.batches == [(1, 4), (4, 16)]
    assert (passes(server).passes - before[0], passes(server).jobs - before[1]) == (2, 5)
    for number, verdict in enumerate(together):
        with RawClient(server.url) as client:
            client.open(request(prompt(number), seed=number), bytes([100 + number]) * 16)
            assert said(client.submit(DRAFT, 3)) == verdict


def test_runs_beside_each_other_are_what_they_are_alone(server: VerifierServer, folder: Path) -> None:
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


def test_a_prompt_is_read_in_chunks_that_do_not_hold_up_others(server: VerifierServer, model: WatchedToy) -> None:
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
    assert sum(tokens for _, tokens in model.batches) == 297 + 4  # what it held before was the beginning


def test_a_session_alone_reads_its_prompt_in_larger_chunks(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as client:
        client.open(request([n % 7 for n in range(300)]))
    assert [tokens for _, tokens in model.batches] == [PREFILL_TOKENS] * 4 + [299 - 4 * PREFILL_TOKENS]


def test_a_draft_larger_than_a_shared_pass_gets_one_of_its_own(server: VerifierServer, model: WatchedToy) -> None:
    with RawClient(server.url) as client:
        client.open(request())
        large = Draft.chain(0, [n % 7 for n in range(PREFILL_TOKENS + 20)], (), "test")
        assert judged(client.submit(large, 2)).round == 0
    assert model.batches[-1] == (1, len(large) + 1)


def test_one_sessions_failing_pass_leaves_the_others_whole(
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
        good = [said(clients.all[number].receive()) for number in (0, 2)]
        assert "failed (RuntimeError)" in refusal(clients.all[1].receive()).message
        assert said(clients.all[1].submit(DRAFT, 3))[0] == 0, "the session can go on"
    assert [error for error in servers.errors if "a request failed" not in error] == []
    servers.errors.clear()
    for number, verdict in zip((0, 2), good, strict=True):
        with RawClient(server.url) as client:
            client.open(request(prompt(number), seed=number), bytes([100 + number]) * 16)
            assert said(client.submit(DRAFT, 3)) == verdict


def test_a_verdict_that_fails_costs_the_session_its_cache_and_nothing_more(
    server: VerifierServer, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawClient(server.url) as client:
        client.open(request(prompt(0)))
        with monkeypatch.context() as patch:
            patch.setattr("speculatoviz.targets.local.decide", lambda *args: 1 / 0)
            assert "failed (ZeroDivisionError)" in refusal(client.submit(DRAFT, 3)).message
        assert refusal(client.submit(DRAFT, 3)).code == "out_of_step", "the cache still holds the draft"
        client.open(request(prompt(0)))
        again = said(client.submit(DRAFT, 3))
    servers.errors.clear()
    with RawClient(server.url) as client:
        client.open(request(prompt(0)), bytes([100]) * 16)
        assert said(client.submit(DRAFT, 3)) == again


def test_a_pass_nobody_waits_for_leaves_no_verdict_for_another_run(server: VerifierServer, model: WatchedToy) -> None:
    """The client goes during a pass and comes back with another seed: what it left behind must not be its answer."""
    with RawClient(server.url) as fresh:
        fresh.open(request(prompt(0), seed=1), bytes([100]) * 16)
        expected = said(fresh.submit(DRAFT, 3))
    with RawClient(server.url) as client:
        client.open(request(prompt(0), seed=0))
        model.gate.limit(0)
        client.send(lambda number: submit_frame(number, DRAFT, 3))
        model.gate.wait_until_blocked()
        (seat,) = [seat for seat in seats(server)._seats.values() if seat.lock.locked()]
        gone = seat.owner
    with RawClient(server.url) as client:
        asked = request(prompt(0), seed=1)
        client.send(lambda number: open_frame(number, bytes(range(16)), asked, asked.prompt))
        poll(lambda: seat.owner is not gone, "it is back")
        model.gate.open()
        assert isinstance(client.receive(), wire.Opened)
        assert said(client.submit(DRAFT, 3)) == expected


def test_jobs_nobody_waits_for_are_not_computed(server: VerifierServer, model: WatchedToy) -> None:
    with ExitStack() as stack:
        clients = Clients(server, stack, [prompt(0), prompt(1)])
        model.gate.limit(0)
        clients.submit(0, DRAFT, 3)
        model.gate.wait_until_blocked()
        clients.submit(1, DRAFT, 3)
        clients.wait_until_waiting(1)
        clients.all[1].__exit__()
        poll(lambda: sum(seat.lock.locked() for seat in seats(server)._seats.values()) == 1, "the client is gone")
        model.batches.clear()
        model.gate.open()
        assert judged(clients.all[0].receive()).round == 0
    assert model.batches == [(1, 4)]
