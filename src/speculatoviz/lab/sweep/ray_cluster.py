"""A Ray cluster with one worker a machine, which has the machine's processors and accelerators to itself."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from speculatoviz.config import Settings
from speculatoviz.errors import BadRequestError, reason_of
from speculatoviz.lab.sweep.measuring import Plan
from speculatoviz.lab.sweep.spread import Answer, Lost
from speculatoviz.lab.sweep.tasks import Task, Worker

_REACHED_S = 10.0
_START = (
    "Start one with `ray start --head` on one machine and `ray start --address=HOST:6379` on the others, with the same "
    "versions of Python, Ray and SpeculatoViz on all."
)


def require_ray() -> Any:
    """The module. Raises BadRequestError if it is not installed."""
    if find_spec("ray") is None:
        raise BadRequestError(
            "Ray, which spreads a sweep over many machines, is not installed.",
            "Run `pip install 'speculatoviz[ray]'` here and on every machine of the cluster.",
        )
    import ray

    return ray


@contextmanager
def connected(
    address: str, settings: Settings, plan: Plan, clock: Callable[[], float], worker: type[Worker] = Worker
) -> Iterator[RayCluster]:
    """The cluster at an address: `auto`, `HOST:PORT`, or `ray://HOST:PORT` from outside of it.

    settings, plan, clock: of the workers. worker: their class. Raises BadRequestError if there is no such cluster.
    """
    ray = require_ray()
    _reach(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError) as error:
        raise BadRequestError(f"No Ray cluster can be used at {address} ({_reason(error)})", _START) from error
    cluster = RayCluster(ray, (settings, plan, clock), worker)
    try:
        yield cluster
    finally:
        cluster.close()
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises BadRequestError if nothing listens there: Ray itself would try again for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # a name that Ray knows, such as `auto`
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
    except (OSError, OverflowError) as error:
        reason = reason_of(error)
        raise BadRequestError(f"No Ray cluster can be used at {address} ({reason}).", _START) from error


class RayCluster:
    """A `spread.Cluster`. ray: the module. arguments: of every worker.

    A worker takes all processors and accelerators that Ray has on its machine, so no other task of the cluster runs
    beside it. Ray itself restarts nothing: what is lost is decided on in one place, in `spread`.
    """

    def __init__(self, ray: Any, arguments: Sequence[object], worker: type[Worker]) -> None:
        self._ray, self._arguments, self._worker = ray, arguments, worker
        self._machines: dict[str, dict[str, float]] = {
            node["NodeID"]: node["Resources"]
            for node in ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }
        self._actors: dict[str, Any] = {}
        self._asked: dict[Any, str] = {}  # the place by what its worker will answer

    @property
    def places(self) -> Sequence[str]:
        return list(self._machines)

    def start(self, place: str) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.stop(place)
        has = self._machines[place]
        options = {
            "num_cpus": int(has["CPU"]),
            "num_gpus": int(has.get("GPU", 0)),
            "max_restarts": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=place, soft=False),
        }
        actor = self._ray.remote(self._worker).options(**options).remote(*self._arguments)
        self._actors[place] = actor
        self._asked[actor.introduction.remote()] = place

    def give(self, place: str, task: Task) -> None:
        self._asked[self._actors[place].measure.remote(task)] = place

    def stop(self, place: str) -> None:
        actor = self._actors.pop(place, None)
        for answer in [answer for answer, name in self._asked.items() if name == place]:
            del self._asked[answer]
        if actor is not None:
            with suppress(self._ray.exceptions.RayError, ValueError):  # it may have ended
                self._ray.kill(actor)

    def answer(self) -> tuple[str, Answer]:
        ready, _ = self._ray.wait(list(self._asked), num_returns=1)
        place = self._asked.pop(ready[0])
        try:
            found: Answer = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            return place, Lost(_reason(error))
        return place, found

    def close(self) -> None:
        """End all workers."""
        for place in list(self._actors):
            self.stop(place)


def _reason(error: BaseException) -> str:
    """The line of an error that tells most, as a sentence: of one from a worker, what was raised there."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    raised = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception"))]
    text = (raised or lines or [type(cause).__name__])[-1 if raised else 0]
    return f"{text[:300].rstrip('.')}."
