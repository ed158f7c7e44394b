"""Target and draft model both on the far side: the baseline of drafting here.

`speculatoviz serve` runs there with both models and streams its answer, so the round trip is paid once. It gets the
cores of the verifier, and drafts on them too.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from speculatoviz.bench.concurrency import served
from speculatoviz.core.theory import capacity_gain
from speculatoviz.errors import TargetError

_ANSWER_S = 600.0


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer of a server, without its first round, whose time contains the prompt.

    tps: tokens per second. round_ms: the mean time between two rounds. rounds: how many there were.
    """

    tps: float
    round_ms: float
    rounds: int


@contextmanager
def both_models(arguments: Sequence[str], cores: set[int], report: Callable[[str], None]) -> Iterator[str]:
    """A server with target and draft model on these cores. arguments: of `serve`. Yields its address."""
    taken = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # inherited: OpenMP reads it when the library is loaded
    try:
        with served([*arguments, "--threads", str(len(cores))], 1, report, largest_pass=0) as url:
            os.sched_setaffinity(0, taken)
            yield url
    finally:
        os.sched_setaffinity(0, taken)


def stream(url: str, prompt: Sequence[int], k: int, max_tokens: int, clock: Callable[[], float]) -> Streamed:
    """The server's answer to these ids, greedily with drafts of k tokens. clock: seconds. Raises TargetError."""
    body = {
        "prompt": list(prompt),
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "return_token_ids": True,
        "speculation": {"policy": "fixed", "k": k} if k else False,
    }
    arrived = list[tuple[float, int]]()  # seconds and tokens of each round
    with (
        httpx.Client(trust_env=False, timeout=_ANSWER_S) as http,
        http.stream("POST", f"{url}/v1/completions", json=body) as answer,
    ):
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            part = json.loads(line.removeprefix("data: "))
            if "error" in part:
                raise TargetError(part["error"]["message"], "Look at the server's own messages.")
            for choice in part["choices"]:
                if ids := choice.get("token_ids"):
                    arrived.append((clock(), len(ids)))
    if len(arrived) < 2:
        raise TargetError("The answer has fewer than two rounds.", "Ask for more tokens.")
    elapsed_s, rounds = arrived[-1][0] - arrived[0][0], len(arrived) - 1
    return Streamed(sum(tokens for _, tokens in arrived[1:]) / elapsed_s, 1000 * elapsed_s / rounds, rounds)


def capacity(
    there: Sequence[Streamed], draft_ms: Sequence[float], verify_ms: Sequence[float], k: int
) -> dict[str, float]:
    """How many times as many clients the far side serves if it only verifies.

    there: rounds with both models on its cores. draft_ms: of k tokens, drafted here. verify_ms: of a round there.
    measured: the busy time of a round with both models, by that of a verification. computed: 1 + k t_d / t_v.
    """
    verified = statistics.fmean(verify_ms)
    busy = statistics.median(one.round_ms for one in there)
    return {"measured": busy / verified, "computed": capacity_gain(k, statistics.fmean(draft_ms) / k, verified)}
