"""Clients at the same time are measured against a server, and summed up in pairs with plain decoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speculatoviz.bench.concurrency import ClientRun, Measured, _summed, measure, report_of, table
from support.live_server import Server, Toys


def test_a_server_is_measured_with_every_number_of_clients_and_kind(tmp_path: Path) -> None:
    toys = Toys(tmp_path, places=2)
    server = Server(toys.settings, toys.load)
    server.wait_until("ready")
    reported: list[str] = []
    url = f"http://127.0.0.1:{server.port}"
    found = measure(url, [1, 2], 2, 8, 1, reported.append, prompts=("once upon a time", "write a test"))
    server.stop()

    assert [(one.clients, one.kind) for one in found] == [
        *((1, "plain"), (1, "auto"), (1, "fixed")),
        *((2, "plain"), (2, "auto"), (2, "fixed")),
    ]
    assert {one.depth for one in found if one.kind == "plain"} == {0.0}
    assert all(one.depth > 0.5 for one in found if one.kind == "fixed")
    assert all(one.gain == 1.0 for one in found if one.kind == "plain")
    assert all(one.total_tps > 0 and 0 < one.balance <= 1 and one.first_s > 0 for one in found)
    assert reported[0] == "1 clients, plain"
    assert set(json.loads(json.dumps(report_of(found)))["total_ratio"]) == {"plain", "auto", "fixed"}
    assert table(found).count("\n") == 7


def test_totals_count_from_the_first_request_to_the_last_end() -> None:
    plain = [ClientRun(40, 0.0, 0.1, 4.0), ClientRun(40, 1.0, 0.1, 8.0)]
    faster = [ClientRun(40, 0.0, 0.1, 2.0), ClientRun(40, 0.0, 0.3, 4.0)]
    found = {(2, "plain"): [(plain, 0.0)], (2, "auto"): [(faster, 1.5)]}

    assert _summed(2, "plain", found).total_tps == pytest.approx(10.0)
    assert _summed(2, "auto", found) == Measured(
        2, "auto", 20.0, 10.0, 20.0, 0.5, pytest.approx(0.2), pytest.approx(2.0), 1.5
    )
