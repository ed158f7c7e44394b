"""A sweep on a real Ray cluster of two machines within this one, one of whose workers is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.lab.sweep import ray_cluster
from speculatoviz.lab.sweep.measuring import measure_all
from speculatoviz.lab.sweep.records import Folder
from speculatoviz.lab.sweep.spread import measure_on
from support.real_servers import lacking
from support.spread_sweeps import PLAN, Doomed, outcomes, settings, watch

needs_ray = pytest.mark.skipif(bool(lacking("ray")), reason=lacking("ray") or "")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster whose two machines are processes here, each with one processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)  # for `support` in the workers
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            cluster.add_node(num_cpus=1)
            yield cluster.address
        finally:
            cluster.shutdown()


@needs_ray
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_worker_that_is_killed_in_mid_run_changes_no_result(address: str, tmp_path: Path) -> None:
    local = Folder(tmp_path / "local")
    measure_all(settings(tmp_path), PLAN, local, watch())
    notices, folder = list[str](), Folder(tmp_path / "ray")
    with ray_cluster.connected(address, settings(tmp_path), PLAN, time.perf_counter, Doomed) as cluster:
        assert len(cluster.places) == 2
        measure_on(cluster, PLAN, folder, watch(notices))

    found = Folder(folder.path)
    assert outcomes(found) == outcomes(local)
    keys = [run.key for run in found.runs if not run.cell.plain]
    assert len(keys) == len(set(keys)) == len(PLAN.keys())
    assert [notice for notice in notices if "A worker was lost" in notice] == notices[:1] == notices
    loaded = [about.weights for about in found.abouts]
    assert len(loaded) <= 3 * len(set(loaded))  # once for each weights: of two workers, and the one that was started


@needs_ray
def test_an_address_without_a_cluster_is_refused_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(BadRequestError, match="No Ray cluster can be used at") as refused,
        ray_cluster.connected("127.0.0.1:1", settings(tmp_path), PLAN, time.perf_counter),
    ):
        pass
    assert "ray start --head" in refused.value.hint


def test_without_ray_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _name: None)
    with pytest.raises(BadRequestError, match="not installed") as refused:
        ray_cluster.require_ray()
    assert "speculatoviz[ray]" in refused.value.hint
