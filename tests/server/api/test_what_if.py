"""The server answers what a kept run would have been, as the library does, and refuses what no record holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from speculatoviz.lab.run_record import run_record
from speculatoviz.lab.what_if import Question, what_if
from speculatoviz.server.api import what_if as module
from speculatoviz.server.api.what_if import Records, WhatIfQuestion, answered
from speculatoviz.telemetry import trace
from support.live_server import PATIENCE_S, Server, Toys, poll

DEPTH = 4


@pytest.fixture(scope="module")
def shared_toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    folder = tmp_path_factory.mktemp("what-if")
    return Toys(folder, store=str(folder / "runs.db"), max_tokens=160)


@pytest.fixture(scope="module")
def user(shared_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{shared_server.port}", trust_env=False, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def runs(shared_server: Server, user: httpx.Client) -> dict[str, str]:
    """The ids of a greedy and a sampled run with a record, and of one without."""

    def made(**settings: Any) -> str:
        with shared_server.client() as client:
            return str(client.run(k=2, ignore_eos=True, **settings)[0]["run"])

    found = {
        "greedy": made(temperature=0.0, record_depth=DEPTH),
        "sampled": made(temperature=0.8, seed=5, record_depth=DEPTH),
        "bare": made(),
    }
    poll(lambda: all(whole(user, found[name]) for name in ("greedy", "sampled")), "the records are kept")
    return found


def whole(user: httpx.Client, run: str) -> bool:
    answer = user.post(f"/api/runs/{run}/whatif", json={})
    return answer.status_code == 200 and bool(answer.json()["whole"])


def asked(user: httpx.Client, run: str, **question: Any) -> dict[str, Any]:
    answer: dict[str, Any] = user.post(f"/api/runs/{run}/whatif", json=question).raise_for_status().json()
    return answer


def refused(user: httpx.Client, run: str, **question: Any) -> tuple[int, str]:
    answer = user.post(f"/api/runs/{run}/whatif", json=question)
    return answer.status_code, answer.json().get("message", "")


def test_the_answer_is_that_of_the_library(user: httpx.Client, runs: dict[str, str]) -> None:
    events = trace.parse(user.get(f"/api/runs/{runs['greedy']}/trace").content, "it").events
    own = what_if([run_record(events)], Question())
    answer = asked(user, runs["greedy"])

    assert [choice["depth"] for choice in answer["choices"]] == [1, 2, 3, 4]
    assert [choice["tps"] for choice in answer["choices"]] == pytest.approx([choice.tps for choice in own.choices])
    assert answer["choices"][1] == own.choices[1]._asdict()
    assert (answer["best"], answer["plain_tps"]) == (own.best, pytest.approx(own.plain_tps))
    assert all(choice["exact"] and choice["low"] <= choice["tps"] <= choice["high"] for choice in answer["choices"])
    assert not answer["passes_given"]


def test_a_sampled_run_is_an_estimate(user: httpx.Client, runs: dict[str, str]) -> None:
    answer = asked(user, runs["sampled"])
    assert not any(choice["exact"] for choice in answer["choices"])
    assert asked(user, runs["greedy"], policy="auto")["choices"][0]["exact"] is False


def test_every_part_of_the_question_counts(user: httpx.Client, runs: dict[str, str]) -> None:
    plain = asked(user, runs["greedy"], passes="1:25\n2:36\n3:44, 5:60")
    assert plain["passes_given"]
    assert [row["ms"] for row in plain["passes"]] == [25.0, 36.0, 44.0, 60.0]
    assert plain["choices"][0]["verify_ms"] == pytest.approx(36.0, rel=0.02)
    far = asked(user, runs["greedy"], passes="1:25,2:36,3:44,5:60", rtt_ms=100.0)
    assert far["choices"][0]["verify_ms"] == pytest.approx(136.0, rel=0.02)
    assert far["plain_tps"] < plain["plain_tps"]
    slow = asked(user, runs["greedy"], draft_ms=50.0)
    assert slow["choices"][1]["draft_ms"] == pytest.approx(100.0, rel=0.02)
    assert asked(user, runs["sampled"], rule="match")["rule"] == "match"
    assert asked(user, runs["greedy"], policy="adaptive")["policy"] == "adaptive"
    two = asked(user, runs["greedy"], passes="1:25,2:30,4:40,10:70", batch=2)
    assert two["plain_tps"] > plain["plain_tps"]
    bench = "|  PP |  TG |  B |  N_KV | T_PP s | S_PP t/s | T_TG s |\n| 128 | 100 | 1 | 1 | 1 | 1 | 2.5 |\n"
    assert asked(user, runs["greedy"], passes=bench + bench.splitlines()[1].replace("| 1 |", "| 2 |", 1))["passes"] == [
        {"tokens": 1, "ms": 25.0},
        {"tokens": 2, "ms": 25.0},
    ]


def test_what_cannot_be_answered_is_refused_in_words(user: httpx.Client, runs: dict[str, str]) -> None:
    run = runs["greedy"]
    assert refused(user, runs["bare"]) == (400, "This trace has no record of what was drafted after every token.")
    assert refused(user, "unknown")[0] == 404
    assert refused(user, run, passes="fast") == (400, "The table holds no pass times.")
    assert refused(user, run, passes="2:36") == (
        400,
        "The table has no time of a pass over one token, which plain decoding takes.",
    )
    assert refused(user, run, rule="typical")[0] == 400
    status, message = refused(user, run, passes="1:25,2:36", batch=2)
    assert (status, message) == (400, "No pass over 4 tokens was measured, only over up to 2.")
    for wrong in ({"batch": 0}, {"rtt_ms": -1}, {"policy": "fast"}, {"k": 3}, {"draft_ms": "NaN"}):
        assert refused(user, run, **wrong)[0] == 422


def test_a_file_of_the_server_is_never_read(user: httpx.Client, runs: dict[str, str], tmp_path: Path) -> None:
    table = tmp_path / "bench.txt"
    table.write_text('{"pl": 1, "tg": 100, "t_tg": 2.5}')
    assert refused(user, runs["greedy"], passes=str(table)) == (400, "The table holds no pass times.")


def test_a_record_is_read_once_until_its_trace_grows(user: httpx.Client, runs: dict[str, str]) -> None:
    lines = user.get(f"/api/runs/{runs['greedy']}/trace").content

    class Store:
        reads, size = 0, 10

        def get(self, run: str) -> Any:
            return SimpleNamespace(id=run, trace_bytes=self.size)

        def trace(self, run: str) -> Iterator[bytes]:
            del run
            self.reads += 1
            yield lines

    store: Any = Store()
    records = Records()
    assert records.of(store, "a") is records.of(store, "a")
    assert store.reads == 1
    store.size = 20
    records.of(store, "a")
    assert store.reads == 2


def test_of_a_long_record_some_depths_are_answered(
    user: httpx.Client, runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = user.get(f"/api/runs/{runs['greedy']}/trace").content
    record = run_record(trace.parse(lines, "it").events)
    monkeypatch.setattr(module, "_MOST_REPLAYED", 4 * len(record.places) - 1)
    assert [choice.depth for choice in answered(record, WhatIfQuestion()).choices] == [1, 2, 4]
