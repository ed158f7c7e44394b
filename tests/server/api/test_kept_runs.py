"""Runs of the page and of the API are kept; who may use the server can list, read, name and remove them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from speculatoviz.telemetry import trace
from support.live_server import PATIENCE_S, Client, Server, Toys, poll

CHAT = {"messages": [{"role": "user", "content": "once upon a time"}], "max_tokens": 12, "seed": 3}


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Toys]:
    toys = Toys(tmp_path, store=str(tmp_path / "runs.db"))
    yield toys
    toys.gate.open()


def http(server: Server) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=PATIENCE_S)


def listed(server: Server, **query: Any) -> list[dict[str, Any]]:
    with http(server) as client:
        runs: list[dict[str, Any]] = client.get("/api/runs", params=query).raise_for_status().json()["runs"]
    return runs


def ended(server: Server, count: int = 1) -> list[dict[str, Any]]:
    """The list, once so many runs have an end in it: recording goes on beside the run."""
    poll(lambda: [run["summary"]["ended"] is not None for run in listed(server)] == [True] * count, "they are kept")
    return listed(server)


def test_a_run_of_the_page_is_kept_as_it_was_sent(server: Server, client: Client) -> None:
    events = client.run(temperature=0.8, seed=7)
    [run] = ended(server)

    assert (run["id"], run["prompt"], run["name"]) == (events[0]["run"], "once upon a time", None)
    assert run["summary"]["tokens"] == events[-1]["total_tokens"]
    answer = server.get(f"/api/runs/{run['id']}/trace")
    assert answer.headers["content-type"] == "application/jsonl"
    assert f'filename="run-{run["id"]}.jsonl"' in answer.headers["content-disposition"]
    head, *kept = [json.loads(line) for line in answer.text.splitlines()]
    assert kept == events
    detail = server.get(f"/api/runs/{run['id']}").json()
    assert (detail["header"], detail["summary"]) == (head, run["summary"])
    assert trace.parse(answer.content, "it").warning is None


def test_runs_of_the_api_are_kept_choice_by_choice(server: Server) -> None:
    with http(server) as client:
        answer = client.post("/v1/chat/completions", json=CHAT | {"n": 2}).raise_for_status().json()
        client.post("/v1/chat/completions", json=CHAT | {"stream": True}).raise_for_status()
    streamed, second, first = ended(server, 3)

    assert [first["id"], second["id"]] == [f"{answer['id']}-0", f"{answer['id']}-1"]
    assert [run["summary"]["seed"] for run in (first, second, streamed)] == [3, 4, 3]
    assert first["summary"]["tokens"] == 12


def test_the_list_has_pages_and_a_search(server: Server, client: Client) -> None:
    for prompt in ("one", "two", "three"):
        client.run(prompt=prompt, max_tokens=4)
    ended(server, 3)
    with http(server) as reader:
        first = reader.get("/api/runs", params={"limit": 2}).json()
        second = reader.get("/api/runs", params={"limit": 2, "after": first["after"]}).json()

        assert [run["prompt"] for run in first["runs"] + second["runs"]] == ["three", "two", "one"]
        assert (first["kept"], second["after"]) == (True, None)
        assert [run["prompt"] for run in listed(server, containing="TW")] == ["two"]
        for limit in ("0", "201", "many"):
            assert reader.get("/api/runs", params={"limit": limit}).status_code == 422


def test_a_run_is_named_and_removed(server: Server, client: Client) -> None:
    client.run()
    [run] = ended(server)
    with http(server) as user:
        place = f"/api/runs/{run['id']}"
        assert user.patch(place, json={"name": " best "}).json()["name"] == "best"
        refused = user.patch(place, json={"name": "two\nlines"})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
        assert user.patch(place, json={"nmae": "x"}).status_code == 422
        assert user.patch(place, json={"name": None}).json()["name"] is None
        assert user.delete(place).status_code == 204
        for answer in (
            user.get(place),
            user.get(f"{place}/trace"),
            user.delete(place),
            user.patch(place, json={"name": "x"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")
            assert answer.json()["hint"]
    assert listed(server) == []


def test_only_those_who_may_use_the_server_see_and_remove_runs(serve: Callable[..., Server], tmp_path: Path) -> None:
    toys = Toys(tmp_path, store=str(tmp_path / "runs.db"), api_key="secret")
    server = serve(settings=toys.settings, load=toys.load)
    server.wait_until("ready", Authorization="Bearer secret")
    with server.client(Authorization="Bearer secret") as client:
        run = client.run()[0]["run"]
    with http(server) as stranger:
        for method, path in (("GET", ""), ("GET", f"/{run}"), ("GET", f"/{run}/trace"), ("DELETE", f"/{run}")):
            assert stranger.request(method, f"/api/runs{path}").status_code == 401, (method, path)
        own = {"Authorization": "Bearer secret"}
        foreign = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        assert stranger.delete(f"/api/runs/{run}", headers=own | foreign).status_code == 403
        poll(lambda: len(stranger.get("/api/runs", headers=own).json()["runs"]) == 1, "it is kept")


def test_a_server_without_a_store_keeps_nothing_and_states_so(serve: Callable[..., Server], tmp_path: Path) -> None:
    toys = Toys(tmp_path)
    server = serve(settings=toys.settings, load=toys.load)
    server.wait_until("ready")
    with server.client() as client:
        client.run()

    assert server.get("/api/runs").json() == {"kept": False, "runs": [], "after": None}
    refused = server.get("/api/runs/abcd")
    assert (refused.status_code, refused.json()["code"]) == (503, "store")


def test_a_run_whose_client_leaves_is_kept_up_to_there(
    server: Server, connected: Callable[..., Client], toys: Toys
) -> None:
    toys.gate.limit(6)
    client = connected()
    client.send(prompt="once upon a time", k=2, max_tokens=400, ignore_eos=True)
    client.until("metrics")
    client.disconnect()
    [run] = ended(server)

    assert run["summary"]["ended"] == "cancelled"
    assert run["summary"]["tokens"] > 0


def test_a_store_that_breaks_costs_a_warning_and_no_run(server: Server, client: Client, tmp_path: Path) -> None:
    client.run(max_tokens=4)
    ended(server)
    with create_engine(f"sqlite:///{tmp_path}/runs.db").begin() as connection:
        connection.execute(text("DROP TABLE speculatoviz_chunks"))
    events = client.run(max_tokens=400, ignore_eos=True)

    assert events[-1]["type"] == "done"
    events = client.run(max_tokens=400, ignore_eos=True)
    assert events[-1]["type"] == "done"


def test_a_broken_store_is_reported_to_the_client(server: Server, client: Client, toys: Toys, tmp_path: Path) -> None:
    toys.gate.limit(8)
    with create_engine(f"sqlite:///{tmp_path}/runs.db").begin() as connection:
        connection.execute(text("DROP TABLE speculatoviz_chunks"))
    client.send(prompt="once upon a time", k=2, max_tokens=60, ignore_eos=True)
    client.until("metrics")
    troubles = server.app.state.runs._recorder._troubles
    poll(lambda: bool(troubles), "the recorder has met the trouble")
    toys.gate.open()
    events = client.until("done", "error")

    assert events[-1]["type"] == "done"
    [warning] = [event for event in events if event["type"] == "warning"]
    assert warning["message"].startswith("This run is not recorded from here on. The store")
    assert warning["hint"]


def test_acceptance_is_broken_down_over_the_runs_that_are_kept(server: Server, client: Client) -> None:
    events = [*client.run(temperature=0.8, seed=7), *client.run(temperature=0.8, seed=8)]
    ended(server, 2)
    found = server.get("/api/runs/acceptance").json()

    tested = [event for event in events if event["type"] == "verify_result" and event["node"] is not None]
    tested = [event for event in tested if event["status"] in ("accepted", "rejected")]
    assert (found["kept"], found["runs"], found["left_out"]) == (True, 2, 0)
    assert (found["tested"], found["accepted"]) == (len(tested), sum(one["status"] == "accepted" for one in tested))
    by_position = next(group["cells"] for group in found["groups"] if group["by"] == "position")
    assert sum(cell["tested"] for cell in by_position) == len(tested)
    [example, *_] = by_position[0]["examples"]
    assert example["run"] in {run["id"] for run in listed(server)}

    assert server.get("/api/runs/acceptance?runs=1").json()["runs"] == 1
    assert server.get("/api/runs/acceptance?containing=nowhere").json()["tested"] == 0
    assert server.get("/api/runs/acceptance?runs=0").status_code == 422


def test_a_breakdown_reads_no_more_than_its_limit(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.run(temperature=0.8, seed=7)
    client.run(temperature=0.8, seed=8)
    sizes = [run["trace_bytes"] for run in ended(server, 2)]
    monkeypatch.setattr("speculatoviz.server.api.acceptance._MOST_TRACE_BYTES", sizes[0])
    found = server.get("/api/runs/acceptance").json()
    assert (found["runs"], found["left_out"]) == (1, 1)
