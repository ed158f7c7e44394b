"""A toy verifier, or a run with one, in a process of its own.

`serve PORT [HOST [SESSIONS]]` serves until it is killed, and prints its address once it listens. `run URL FOLDER SEED`
prints the ids of a run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
TOKENS = 24


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(Path(__file__)), *map(str, arguments)]


def started(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(command("serve", *arguments), stdout=subprocess.PIPE, text=True)


def address(process: subprocess.Popen[str]) -> str:
    """The address that a verifier prints once it listens."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _serve(port: int, host: str = "127.0.0.1", sessions: int = 4) -> None:
    from speculatoviz.server import address as listening
    from speculatoviz.server.limits import ConnectionLimits
    from speculatoviz.server.verifier.app import VerifierOptions, create_verifier
    from support.verifier_client import toys

    socket = listening.listen(host, port)
    app = create_verifier(toys()[0], VerifierOptions(context_tokens=512, sessions=sessions), time.perf_counter)
    print(f"ws://{host}:{socket.getsockname()[1]}", flush=True)
    listening.configured(app, ConnectionLimits(message_bytes=1 << 20)).run([socket])


def _run(url: str, folder: str, seed: int) -> None:
    from support.verifier import connected, drafter_for, ids, rounds
    from support.verifier_client import toys

    with connected(url, Path(folder)) as target:
        done = rounds(target, drafter_for(*toys()), seed=seed, tokens=TOKENS)
        times = [round.times.network_ms for round in done]
        print(json.dumps({"ids": ids(done), "network_ms": times, "connections": target.connections}))


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    what, *rest = sys.argv[1:]
    if what == "serve":
        _serve(int(rest[0]), *rest[1:2], *map(int, rest[2:]))
    else:
        _run(rest[0], rest[1], int(rest[2]))
