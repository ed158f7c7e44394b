"""The verifier as a Ray Serve application: replicas that come and go with the sessions, each session on one of them.

    serve deploy deploy/ray/verifier.yaml

Serve's proxy hands a WebSocket to a replica and keeps it there. A client that connects again sends the same
`X-Session-Id`; the router hashes it to the replica that holds the session's cache. If that one is gone or full, the
client sends its committed ids to another one, which computes them again: no token is lost or changed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from speculatoviz.config import Settings, keys_place, load_settings
from speculatoviz.core.progress import unreported
from speculatoviz.errors import BadRequestError
from speculatoviz.server.address import key_of
from speculatoviz.server.key_ring import KeyRing
from speculatoviz.server.verifier.serve import loaded, refuse_remote

ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
DEPLOYMENT = "Verifier"
OPTIONS = ("min_replicas", "max_replicas", "cpus", "gpus", "autoscaling")


def application(arguments: Mapping[str, Any]) -> Any:
    """The `serve.Application` for these arguments: settings by name, and five of its own.

    min_replicas, max_replicas: 1 and 4. cpus, gpus: of a replica; the settings' threads, or 1, and none. autoscaling:
    other fields of Serve's autoscaling_config, such as upscale_delay_s. Raises BadRequestError if Ray Serve is not
    installed, for what is no setting, and without a key.
    """
    serve = require_serve()
    own = {name: arguments[name] for name in OPTIONS if name in arguments}
    settings = settings_of({name: value for name, value in arguments.items() if name not in OPTIONS})
    keys_of(settings)  # refused here, before a replica loads a model

    def build() -> FastAPI:
        """Called in each replica, which then holds the model."""
        return served(settings)

    return serve.deployment(serve.ingress(build)(), name=DEPLOYMENT, **deployment_options(settings, own)).bind()


def deployment_options(settings: Settings, own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the deployment.

    An open WebSocket counts as one request, so requests are sessions: a replica takes as many as it has room for, and
    another one is started while one place is left.
    """
    sessions = settings.sessions
    fewest = int(own.get("min_replicas", 1))
    return {
        "max_ongoing_requests": sessions,
        "autoscaling_config": {
            "min_replicas": fewest,
            "max_replicas": max(fewest, int(own.get("max_replicas", 4))),
            "target_ongoing_requests": max(1, sessions - 1),
            **own.get("autoscaling", {}),
        },
        "request_router_config": {"request_router_class": ROUTER},
        "ray_actor_options": {
            "num_cpus": own.get("cpus", settings.threads or 1),
            "num_gpus": own.get("gpus", 0),
        },
    }


def require_serve() -> Any:
    """The module `ray.serve`. Raises BadRequestError if it is not installed."""
    if find_spec("ray") is None or find_spec("mmh3") is None:  # the second one is of Serve's own packages
        raise BadRequestError(
            "Ray Serve, which starts verifiers on a cluster, is not installed.",
            "Run `pip install 'speculatoviz[ray-serve]'` on every machine of the cluster.",
        )
    from ray import serve

    return serve


def settings_of(values: Mapping[str, Any]) -> Settings:
    """The settings of a replica. Raises BadRequestError for a name that is none, and for a remote target."""
    if unknown := sorted(values.keys() - Settings.model_fields.keys()):
        raise BadRequestError(
            f"There is no setting named {unknown[0]!r}.",
            f"Write settings as docs/cli.md lists them, or one of {', '.join(OPTIONS)}.",
        )
    settings = load_settings(**values)
    refuse_remote(settings)
    return settings


def keys_of(settings: Settings) -> KeyRing:
    """The keys of which clients have to send one. Raises BadRequestError if there is none.

    Serve's proxy listens where Serve was told to, which a replica cannot know: a key is always needed.
    """
    keys = KeyRing(key_of(settings), Path(keys_place(settings)), time.time)
    if keys.empty:
        raise BadRequestError(
            "Without a key a verifier is not deployed on a cluster.",
            "Make one (`speculatoviz keys add NAME --keys-file FILE`), and name the file (keys_file: FILE).",
        )
    return keys


def served(settings: Settings) -> FastAPI:
    """The application of one replica, with its model loaded and measured. Raises ModelError, and as `keys_of`."""
    keys = keys_of(settings)
    return loaded(settings, time.perf_counter, unreported).application(keys, "", time.perf_counter)
