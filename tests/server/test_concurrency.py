"""Several runs at the same time: all are served, share passes, and free their places when their clients leave."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ALPHABET
from speculatoviz.server.counters import Counters
from speculatoviz.server.limits import RunLimits
from speculatoviz.server.model_host import ModelHost
from speculatoviz.telemetry.events import Event
from support.api_client import FIXED, TEXT, Json, complete, documents, only, post
from support.live_server import PATIENCE_S, Client, Gate, GatedToy, Server, Toys, poll
from support.raw_socket import connections
from support.toy_session import ShortMemory

LONG: Json = {"ignore_eos": True, "max_tokens": 60, "speculation": FIXED}
PLACES = 4


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Toys]:
    toys = Toys(tmp_path, places=PLACES)
    toys.target.description = replace(toys.target.description, size_bytes=9)  # larger than the draft
    yield toys
    toys.gate.open()


def host(server: Server) -> ModelHost:
    found = server.app.state.host
    assert isinstance(found, ModelHost)
    return found


def passes(server: Server) -> tuple[int, int]:
    """How many passes were shared, and by how many jobs."""
    turns = host(server).ready().turns
    return turns.passes, turns.jobs


def streamed(server: Server, number: int, **fields: object) -> str:
    """The text of a streamed answer to the request of that number."""
    sampled = {"temperature": 0.8, "seed": number}
    parts = documents(server, "completions", prompt=TEXT[number % 8 :], **LONG | sampled | fields)
    return "".join(only(part)["text"] for part in parts)


def test_every_one_of_eight_streaming_clients_is_served_what_it_is_served_alone(server: Server) -> None:
    alone = [streamed(server, number) for number in range(8)]
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda number: streamed(server, number), range(8)))

    assert together == alone
    shared, jobs = passes(server)
    assert jobs > 2 * shared > 0
    poll(lambda: host(server).queue.idle, "the run is over")


def test_runs_of_the_page_and_of_the_api_share_passes(server: Server, client: Client, toys: Toys) -> None:
    toys.gate.limit(3)
    client.send(prompt=TEXT, k=2, ignore_eos=True, max_tokens=40)
    toys.gate.wait_until_blocked()
    asking = threading.Thread(target=complete, args=[server], kwargs=LONG)
    asking.start()
    poll(lambda: host(server).queue.running == 2, "both hold the models")
    poll(lambda: host(server).ready().turns.runs == 2, "both threads take turns")
    toys.gate.open()
    events = client.until("done", "error")
    asking.join(PATIENCE_S)

    assert max(event["runs"] for event in events if event["type"] == "metrics") == 2
    assert events[-1]["metrics"]["shared_rounds"] > 0
    assert not [event for event in events if event["type"] == "queued"]


def test_runs_beyond_the_places_wait_in_order_and_the_metrics_count_them(server: Server, toys: Toys) -> None:
    toys.gate.limit(1)
    with ThreadPoolExecutor(PLACES + 2) as clients:
        asked = [clients.submit(streamed, server, number) for number in range(PLACES + 2)]
        with toys.gate.opened_at_the_end():
            poll(lambda: host(server).queue.waiting == 2, "two wait")
            lines = server.get("/metrics").text.splitlines()
        assert all(client.result() for client in asked)
    values = {line.split("{")[0]: float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests")}
    assert values == {"vllm:num_requests_running": PLACES, "vllm:num_requests_waiting": 2}


def test_a_client_that_vanishes_frees_its_place_for_the_next(
    server: Server, toys: Toys, connected: Callable[..., Client]
) -> None:
    toys.gate.limit(1)
    clients = [connected() for _ in range(PLACES + 1)]
    for client in clients:
        client.send(prompt=TEXT, k=0, ignore_eos=True, max_tokens=60, evidence=False)
    poll(lambda: host(server).queue.waiting == 1, "the last one waits")
    clients[0].vanish()
    clients[1].vanish()
    poll(lambda: len(server.uvicorn.server_state.connections) == PLACES - 1, "the server saw them leave")
    toys.gate.limit(20)
    poll(lambda: host(server).queue.waiting == 0, "the last one runs")
    poll(lambda: host(server).queue.running == PLACES - 1, "the places of both are free")
    toys.gate.open()
    for client in clients[2:]:
        assert client.last("done", "error")["type"] == "done"


def test_a_joint_pass_that_fails_ends_no_run(server: Server, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = streamed(server, 1)
    honest, failed = toys.target.forward, list[int]()

    def forward(feeds: Sequence[Feed]) -> list[Rows]:
        if len(feeds) > 1 and len(failed) < 3:
            failed.append(len(feeds))
            raise RuntimeError("too many rows")
        return honest(feeds)

    monkeypatch.setattr(toys.target, "forward", forward)
    toys.gate.limit(2)
    with ThreadPoolExecutor(2) as clients, toys.gate.opened_at_the_end():
        asked = [clients.submit(streamed, server, 1) for _ in range(2)]
        poll(lambda: host(server).ready().turns.runs == 2, "both threads take turns")
        toys.gate.open()
        assert [client.result() for client in asked] == [alone, alone]
    assert failed == [2, 2, 2]


def test_too_many_waiting_runs_are_refused_in_words(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(runs=RunLimits(idle_s=3600.0, waiting=1))
    server.wait_until("ready")
    toys.gate.limit(0)
    with ThreadPoolExecutor(PLACES + 1) as clients, toys.gate.opened_at_the_end():
        asked = [clients.submit(streamed, server, number) for number in range(PLACES + 1)]
        poll(lambda: host(server).queue.waiting == 1, "one waits")
        refused = post(server, "completions", {"prompt": TEXT})
        draft = server.post("/api/test-draft?prompt=a")
        with server.client() as client:
            client.send(prompt=TEXT)
            event = client.refused()
        toys.gate.open()
        assert all(client.result() for client in asked)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (draft.status_code, draft.headers["retry-after"]) == (429, "1")
    assert (event["code"], event["message"]) == ("busy", "1 runs wait for the models already.")


def test_measuring_while_idle_has_the_models_for_itself(serve: Callable[..., Server], toys: Toys) -> None:
    server = serve(runs=RunLimits(idle_s=0.01))
    server.wait_until("ready")
    poll(lambda: len(host(server).ready().calibration.pass_ms) >= 17, "all sizes are measured")

    assert streamed(server, 3)
    poll(lambda: host(server).queue.idle, "the run is over")


def test_a_server_with_several_places_stops(server: Server, toys: Toys) -> None:
    with server.client() as client, server.client() as other:
        for one in (client, other):
            one.send(prompt=TEXT, k=2, ignore_eos=True, max_tokens=400)
            one.receive()
        server.stop()
    assert not host(server).stuck


# ---- memory ----


class Small(Toys):
    """Toys with little to remember: their text depends on the last tokens alone."""

    def __init__(self, cache_dir: Path, places: int) -> None:
        super().__init__(cache_dir, places)
        self.target = _GatedShortMemory(0, Gate())
        self.draft = ShortMemory(0, ALPHABET, mix=(7, 0.3))


class _GatedShortMemory(GatedToy, ShortMemory):
    pass


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Yields a function that returns the bytes of all Python objects that were made since, without garbage."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        yield held
    finally:
        tracemalloc.stop()


def grown_bytes(server: Server, requests: int, before: int) -> int:
    """What the server holds after many requests beyond what it holds after some."""
    with traced() as held:
        soak(server, before)
        first = held()
        soak(server, requests)
        return held() - first


@pytest.fixture
def soaked(serve: Callable[..., Server], tmp_path: Path) -> Server:
    server = serve(load=Small(tmp_path, 8).load)
    server.wait_until("ready")
    return server


_MOST_GROWTH = 1 << 20  # bytes; the events of 500 runs are ten times as many


@pytest.mark.full
def test_memory_stays_flat_over_500_requests(soaked: Server) -> None:
    soaked.app.state.traffic.most = 20
    soak(soaked, 100)  # fills the caches, and the list of the last runs
    before = psutil.Process().memory_info().rss
    grown = grown_bytes(soaked, 500, 50)
    assert grown < _MOST_GROWTH
    # The allocator of each thread keeps what it once needed. Half of it are the clients' own.
    assert psutil.Process().memory_info().rss - before < 96 << 20
    poll(lambda: host(soaked).queue.idle, "the run is over")


@pytest.mark.full
def test_a_server_that_keeps_the_events_of_its_runs_is_caught(soaked: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Event] = []
    honest = Counters.add
    monkeypatch.setattr(Counters, "add", lambda self, event: (kept.append(event), honest(self, event)))
    soak(soaked, 100)

    assert grown_bytes(soaked, 100, 50) > _MOST_GROWTH


def soak(server: Server, requests: int) -> None:
    """Requests of eight clients of different lengths and prompts. A third of them leave before the end."""

    def ask(number: int) -> None:
        fields = {"max_tokens": 4 + number % 20, "temperature": 0.7, "seed": number, "prompt": TEXT * (1 + number % 9)}
        if number % 3 == 2:
            with server.client() as client:
                client.send(prompt=TEXT, k=3, ignore_eos=True, max_tokens=400)
                client.receive()
        elif number % 3 == 1:
            complete(server, **LONG | fields)
        else:
            documents(server, "completions", **LONG | fields)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(ask, range(requests)))
    poll(lambda: host(server).queue.idle, "all runs have ended")
    poll(lambda: not connections(server), "all connections are closed")
