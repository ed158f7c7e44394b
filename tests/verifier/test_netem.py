"""Networks with latency and loss: the text is unchanged, and no round is faster than the round trip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import netem, verifier_process
from support.netem import Namespaces
from support.proxy import Proxy
from support.verifier import connected, drafter_for, ids, rounds
from support.verifier_client import bits, here, toys
from support.verifier_servers import Servers

PORT = 4321
RTT_MS, LOSS_PERCENT, SEEDS = 40.0, 1.0, 3


@pytest.mark.parametrize("rtt_ms", [0.0, 10.0, 40.0, 100.0])
@pytest.mark.parametrize("overlap", [True, False])
def test_latency_changes_nothing_but_the_times(servers: Servers, folder: Path, rtt_ms: float, overlap: bool) -> None:
    expected = bits(rounds(here(toys()[0]), drafter_for(*toys())))
    port = servers.start().port
    with Proxy("127.0.0.1", port, delay_s=rtt_ms / 2000) as proxy, connected(proxy.url("ws"), folder) as target:
        done = rounds(target, drafter_for(*toys()), overlap=overlap)
        assert bits(done) == expected
        assert min(round.times.network_ms for round in done) >= rtt_ms
        assert target.about().rtt_ms is not None
        assert target.about().rtt_ms >= rtt_ms
        if overlap and rtt_ms >= 40.0:
            assert max(round.times.hidden_draft_ms for round in done) > 0.0
        assert target.connections == 1


def across(network: Namespaces, folder: Path) -> None:
    """Runs with the client in one network namespace and the verifier in another."""
    argv = verifier_process.command("serve", PORT, network.server_address)
    server = network.start("server", argv, stdout=-1, text=True)
    url = verifier_process.address(server)
    for seed in range(SEEDS):
        command = verifier_process.command("run", url, folder, seed)
        printed = json.loads(network.run("client", command, stdout=-1, text=True).stdout)
        near = rounds(here(toys()[0]), drafter_for(*toys()), seed=seed, tokens=verifier_process.TOKENS)
        assert printed["ids"] == ids(near)
        assert min(printed["network_ms"]) >= network.rtt_ms


def test_two_network_namespaces(folder: Path) -> None:
    if reason := netem.namespaces_available():
        pytest.skip(reason)
    with Namespaces() as network:
        across(network, folder)


def test_latency_and_loss_between_two_network_namespaces(folder: Path) -> None:
    if reason := netem.available():
        pytest.skip(reason)
    with Namespaces(rtt_ms=RTT_MS, loss_percent=LOSS_PERCENT) as network:
        across(network, folder)
