"""Requests to the API are listed while they wait, compute and end, for every client that follows them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from speculatoviz.server.traffic import Traffic
from speculatoviz.session.preparation import PreparedRun
from speculatoviz.telemetry.events import Done, Event, Metrics, Started
from speculatoviz.telemetry.messages import Start
from support import toy_session
from support.api_client import TEXT, answer, documents
from support.live_server import PATIENCE_S, Client, Server, Toys, poll

FIELDS: dict[str, Any] = {"prompt": TEXT, "max_tokens": 12, "ignore_eos": True, "seed": 3}
Row = dict[str, Any]


class Followed:
    """The list as a client holds it. states: of each run, all that it was told."""

    def __init__(self, client: Client, **how: Any) -> None:
        self._client = client
        self.rows: dict[str, Row] = {}
        self.states: dict[str, list[str]] = {}
        client.send(type="follow", **how)
        self.read()

    def read(self) -> None:
        event = self._client.receive()
        assert event["type"] == "traffic", event
        assert (event["run"], event["seq"], event["t_ms"]) == (None, 0, 0.0)
        if event["whole"]:
            self.rows.clear()
        for row in event["runs"]:
            self.rows[row["run"]] = row
            told = self.states.setdefault(row["run"], [])
            if told[-1:] != [row["state"]]:
                told.append(row["state"])

    def until(self, true: Callable[[list[Row]], bool]) -> list[Row]:
        """The rows, once they are so."""
        while not true(list(self.rows.values())):
            self.read()
        return list(self.rows.values())


def in_state(*states: str) -> Callable[[list[Row]], bool]:
    return lambda rows: sorted(row["state"] for row in rows) == sorted(states)


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Toys]:
    toys = Toys(tmp_path, store=str(tmp_path / "runs.db"))
    yield toys
    toys.gate.open()


def test_a_request_is_listed_with_its_figures_and_kept_as_a_run(server: Server, client: Client) -> None:
    followed = Followed(client)
    assert followed.rows == {}
    documents(server, "completions", **FIELDS, speculation={"drafter": "model", "k": 3, "policy": "fixed"})
    [row] = followed.until(in_state("done"))

    assert row["prompt"] is None  # nobody asked for it
    assert (row["prompt_tokens"], row["route"], row["key"]) == (len(TEXT), "/v1/completions", None)
    summary = row["summary"]
    assert (summary["target"], summary["tokens"], summary["k"], summary["policy"]) == ("toy-0", 12, 3, "fixed")
    assert summary["accepted"] <= summary["drafted"] > 0
    assert summary["ended"] == "length"
    assert summary["tokens_per_round"] == 12 / summary["rounds"]
    assert row["queue_ms"] >= 0
    assert summary["ttft_ms"] > 0
    poll(lambda: server.get(f"/api/runs/{row['run']}").status_code == 200, "the run is kept")
    assert row["kept"]


def test_it_is_seen_in_the_queue_in_the_prefill_and_while_it_decodes(
    server: Server, connected: Callable[..., Client], toys: Toys
) -> None:
    followed = Followed(connected(), prompts=True)
    toys.gate.limit(0)
    threads = [threading.Thread(target=answer, args=(server, "completions"), kwargs=FIELDS) for _ in range(2)]
    with toys.gate.opened_at_the_end():
        threads[0].start()
        followed.until(in_state("prefill"))
        threads[1].start()
        rows = followed.until(lambda rows: in_state("prefill", "queued")(rows) and rows[-1]["place"] == 1)
        assert {row["prompt"] for row in rows} == {TEXT}
        assert rows[-1]["summary"] is None
        toys.gate.limit(4)
        followed.until(in_state("decoding", "queued"))
    followed.until(in_state("done", "done"))
    for thread in threads:
        thread.join(PATIENCE_S)

    _, second = followed.states.values()
    assert (second[0], second[-1]) == ("queued", "done")


def test_a_client_that_leaves_cancels_its_run_in_the_list(server: Server, client: Client, toys: Toys) -> None:
    followed = Followed(client)
    toys.gate.limit(4)
    url = f"http://127.0.0.1:{server.port}/v1/completions"
    body = FIELDS | {"stream": True, "max_tokens": 400}
    with toys.gate.opened_at_the_end(), httpx.Client(trust_env=False, timeout=PATIENCE_S) as leaving:
        with leaving.stream("POST", url, json=body) as response:
            pieces = response.iter_raw()  # which would close the response if it were dropped
            next(pieces)
            followed.until(in_state("decoding"))
        while not in_state("cancelled")(list(followed.rows.values())):  # noticed when a piece cannot be sent
            toys.gate.limit(1)
            followed.read()
        [row] = followed.rows.values()
    assert row["summary"]["tokens"] < 400


def test_a_failed_run_names_why(server: Server, client: Client, toys: Toys) -> None:
    followed = Followed(client)
    toys.target.failing = ValueError("broken")
    url = f"http://127.0.0.1:{server.port}/v1/completions"
    assert httpx.post(url, json=FIELDS, trust_env=False, timeout=PATIENCE_S).status_code == 500
    [row] = followed.until(in_state("failed"))
    assert "broken" in row["failure"]


def test_many_clients_see_the_same_and_later_ones_the_whole_list(
    server: Server, connected: Callable[..., Client]
) -> None:
    clients = [Followed(connected(), prompts=bool(i % 2)) for i in range(8)]
    answer(server, "completions", **FIELDS, n=2)
    lists = [followed.until(in_state("done", "done")) for followed in clients]
    late = Followed(connected())

    for i, rows in enumerate(lists):
        assert [row["run"] for row in rows] == list(late.rows)
        assert {row["prompt"] for row in rows} == {TEXT if i % 2 else None}


def test_runs_of_the_page_are_not_listed_and_a_client_stops_following(
    server: Server, connected: Callable[..., Client]
) -> None:
    followed, client = Followed(connected()), connected()
    client.run(max_tokens=4)
    answer(server, "completions", **FIELDS)
    [row] = followed.until(in_state("done"))
    assert row["route"] == "/v1/completions"

    client.send(type="follow")
    client.send(type="follow", on=False)
    client.run(max_tokens=4)
    answer(server, "completions", **FIELDS)
    followed.until(in_state("done", "done"))
    assert {event["type"] for event in client.run(max_tokens=4)} >= {"started", "done"}
    client.send(type="follow", on=True)
    assert [len(event["runs"]) for event in client.until("traffic")] == [2]


def test_a_key_names_its_requests(serve: Callable[..., Server], tmp_path: Path) -> None:
    toys = Toys(tmp_path, api_key="secret")
    server, key = serve(settings=toys.settings, load=toys.load), {"Authorization": "Bearer secret"}
    server.wait_until("ready", **key)
    with server.client(**key) as client:
        followed = Followed(client)
        url = f"http://127.0.0.1:{server.port}/v1/completions"
        httpx.post(url, json=FIELDS, headers=key, trust_env=False, timeout=PATIENCE_S).raise_for_status()
        [row] = followed.until(in_state("done"))
    assert row["key"] is not None
    assert "secret" not in row["key"]
    assert not row["kept"]  # there is no store


# --- the list itself ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    session = toy_session.load(tmp_path_factory.mktemp("cache"))
    return toy_session.run(session, temperature=0, max_tokens=8)


def listed(
    traffic: Traffic, run: str, prepared: PreparedRun, events: list[Event], until: type[Any] | None = None
) -> None:
    traffic.begin(run, prepared, "/v1/completions", None)
    for event in events:
        traffic.add(event.model_copy(update={"run": run}))
        if until is not None and isinstance(event, until):
            return
    traffic.ended(run, None)


def test_the_list_is_bounded_and_never_forgets_a_run_that_goes_on(
    events: list[Event], tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = toy_session.load(tmp_path_factory.mktemp("other"))
    prepared = session.prepare(Start(prompt="once upon a time"))
    traffic = Traffic(lambda: 1.0, lambda: 1.0, most=5)
    listed(traffic, "going", prepared, events, Metrics)
    listed(traffic, "waiting", prepared, [])
    listed(traffic, "begun", prepared, events, Started)
    for i in range(50):
        listed(traffic, f"r{i}", prepared, events)

    assert [row.run for row in traffic.runs()] == ["going", "begun", "r47", "r48", "r49"]
    assert [row.state for row in traffic.runs()] == ["decoding", "prefill", "done", "done", "done"]
    assert len(traffic.take_changed()) == 5
    assert traffic.take_changed() == []
    traffic.ended("going", None)
    assert [(row.run, row.state) for row in traffic.take_changed()] == [("going", "cancelled")]


def test_events_of_runs_that_did_not_begin_here_are_no_business_of_the_list(events: list[Event]) -> None:
    traffic = Traffic(lambda: 1.0, lambda: 1.0)
    for event in events:
        traffic.add(event)
    traffic.ended("unknown", ValueError())
    assert isinstance(events[-1], Done)
    assert traffic.runs() == []
