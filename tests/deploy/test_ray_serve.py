"""The verifier on Ray Serve: its arguments, and on a local Ray sticky sessions, a lost replica and autoscaling."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError
from speculatoviz.server.verifier import ray_serve
from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.connection import SESSION_HEADER, ConnectionTimeouts
from support import environment
from support.live_server import poll
from support.real_servers import lacking
from support.verifier import connected, drafter_for, ids
from support.verifier_client import RawClient, here, request, toys, watched

CONFIG = Path(__file__).parents[2] / "deploy" / "ray" / "verifier.yaml"
KEY = "a-key-of-the-test"
TOYS: dict[str, Any] = {"target": "toy:0", "context_tokens": 512, "api_key": KEY, "cpus": 0.1}
SESSIONS = 12

needs_serve = pytest.mark.skipif(bool(lacking("ray", "mmh3")), reason=lacking("ray", "mmh3") or "")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.clean(monkeypatch, tmp_path)


def test_the_file_names_settings_and_options_that_there_are(tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    [application] = config["applications"]
    module, _, name = application["import_path"].partition(":")
    assert (module, getattr(ray_serve, name)) == (ray_serve.__name__, ray_serve.application)
    own = {name: value for name, value in application["args"].items() if name in ray_serve.OPTIONS}
    assert own.keys() >= {"min_replicas", "max_replicas", "cpus"}
    rest = {name: value for name, value in application["args"].items() if name not in ray_serve.OPTIONS}
    settings = ray_serve.settings_of(rest)
    assert (settings.sessions, settings.threads) == (rest["sessions"], own["cpus"])


def test_a_replica_takes_its_sessions_and_another_is_started_while_one_place_is_left() -> None:
    options = ray_serve.deployment_options(Settings(_env_file=None, sessions=4), {"max_replicas": 3, "gpus": 1})
    assert options["max_ongoing_requests"] == 4
    assert options["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 3}
    assert options["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 1}
    lone = ray_serve.deployment_options(
        Settings(_env_file=None, sessions=1), {"min_replicas": 6, "autoscaling": {"a": 1}}
    )
    assert lone["autoscaling_config"] == {"min_replicas": 6, "max_replicas": 6, "target_ongoing_requests": 1, "a": 1}


def test_what_cannot_be_served_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequestError, match="no setting named 'sesions'"):
        ray_serve.settings_of({"sesions": 4})
    with pytest.raises(BadRequestError, match="is remote already"):
        ray_serve.settings_of({"target": "verifier:ws://there:8100"})
    with pytest.raises(BadRequestError, match="Without a key") as refused:
        ray_serve.keys_of(ray_serve.settings_of({"target": "toy:0", "keys_file": str(tmp_path / "keys.json")}))
    assert "speculatoviz keys add" in refused.value.hint
    monkeypatch.setattr(ray_serve, "find_spec", lambda _name: None)
    with pytest.raises(BadRequestError, match="not installed") as missing:
        ray_serve.application({})
    assert "speculatoviz[ray-serve]" in missing.value.hint


class Cluster:
    """A local Ray with Serve on a free port of this machine, and two replicas with room for all sessions."""

    def __init__(self) -> None:
        import ray
        from ray import serve

        self.serve = serve
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        # On a busy machine Ray's processes start slowly, its workers with the lowest priority most of all.
        patient = {"agent_register_timeout_ms": 300_000, "worker_niceness": 0}
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, _system_config=patient
        )
        serve.start(http_options={"host": "127.0.0.1", "port": self.port})

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def deploy(self, **own: Any) -> None:
        self.serve.run(ray_serve.application({**TOYS, **own}), name="verifier", route_prefix="/")

    def replicas(self) -> int:
        """Replicas that serve."""
        found = self.serve.status().applications["verifier"].deployments[ray_serve.DEPLOYMENT]
        return int(found.replica_states.get("RUNNING", 0))

    def kill_replicas(self) -> int:
        """Kill the processes of all replicas, as machines that are gone. Returns their number."""
        found = [
            child
            for child in psutil.process_iter(["cmdline"])
            if any(f"ServeReplica:verifier:{ray_serve.DEPLOYMENT}" in word for word in child.info["cmdline"] or ())
        ]
        for child in found:
            child.send_signal(signal.SIGKILL)
        return len(found)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        environment.clean(patch, folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name in ("READY", "HEALTH"):  # on a busy machine Serve would replace its proxy before it has started
            patch.setenv(f"RAY_SERVE_PROXY_{name}_CHECK_TIMEOUT_S", "120")
        import ray

        made = Cluster()
        try:
            made.deploy(min_replicas=2, sessions=2 * SESSIONS)
            yield made
        finally:
            made.serve.shutdown()
            ray.shutdown()


def client(cluster: Cluster, name: str) -> RawClient:
    return RawClient(cluster.url, **{"Authorization": f"Bearer {KEY}", SESSION_HEADER: name})


def held(cluster: Cluster, number: int, name: str) -> int:
    """Open a session of four ids and leave it; how many of them the replica did not have to compute."""
    with client(cluster, name) as connection:
        opened = connection.open(request([number, 1, 2, 3]), session=number.to_bytes(16, "big"))
        assert isinstance(opened, wire.Opened), opened
        return opened.held


def live(test: Callable[..., None]) -> Callable[..., None]:
    """A test on a real Ray, which takes a minute to start."""
    noise = ("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
    for mark in (pytest.mark.full, needs_serve, pytest.mark.filterwarnings(*noise)):
        test = mark(test)
    return test


@live
def test_sessions_return_to_the_replica_that_has_their_cache(cluster: Cluster) -> None:
    """The broken twin sends another name with each connection: some sessions then find an empty cache."""
    first = [held(cluster, number, f"own-{number}") for number in range(SESSIONS)]
    again = [held(cluster, number, f"own-{number}") for number in range(SESSIONS)]
    assert set(first) == {1}  # the last id is computed with the draft
    assert set(again) == {4}
    twin = [held(cluster, number, f"another-{attempt}-{number}") for attempt in "abc" for number in range(SESSIONS)]
    assert 1 in twin


@live
def test_a_key_is_needed(cluster: Cluster) -> None:
    url = f"http://127.0.0.1:{cluster.port}"
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 401
    answer = httpx.get(f"{url}/health", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    assert answer.json()["model"] == "toy-0"


@live
def test_a_run_is_that_of_a_local_target_though_all_replicas_are_lost_in_it(cluster: Cluster, tmp_path: Path) -> None:
    target, draft = toys()
    local = watched(here(target), drafter_for(target, draft), request(seed=3), lambda _round: None)
    lost = list[int]()

    def lose(round: int) -> None:
        if round == 2:
            lost.append(cluster.kill_replicas())

    patient = ConnectionTimeouts(total_s=300.0, first_s=60.0, open_s=30.0)
    with connected(cluster.url, tmp_path, timeouts=patient, api_key=KEY) as remote:
        found = watched(remote, drafter_for(*toys()), request(seed=3), lose)
        assert remote.connections > 1
    assert lost == [2]
    assert ids(found) == ids(local)


@live
def test_replicas_are_started_while_a_place_is_left_and_end_with_the_sessions(cluster: Cluster) -> None:
    quick: Mapping[str, float] = {
        "upscale_delay_s": 0.5,
        "downscale_delay_s": 0.5,
        "metrics_interval_s": 0.5,
        "look_back_period_s": 1.0,
    }
    cluster.deploy(min_replicas=1, max_replicas=2, sessions=2, autoscaling=dict(quick))
    poll(lambda: cluster.replicas() == 1, "one replica serves")
    clients = [client(cluster, f"one-{number}") for number in range(2)]
    try:
        poll(lambda: cluster.replicas() == 2, "a second replica is started")
        clients += [client(cluster, f"two-{number}") for number in range(2)]  # a full replica passes them on
    finally:
        for connection in clients:
            connection.__exit__()
    poll(lambda: cluster.replicas() == 1, "the second replica ends")
