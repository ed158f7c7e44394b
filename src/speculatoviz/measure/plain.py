"""Plain decoding of a target, measured: the baseline that every speedup is relative to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.engine import decode
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.base import RemoteTarget, Target

BASELINE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A measured run of the target alone.

    tps: tokens per second. context_tokens: the length of its prompt. measured_at_s: on the clock it was measured with.
    kind: `startup` and `plain_run` are runs of the engine at depth 0 (16 tokens, or a whole answer); `streaming` is one
    call of a remote target for the whole answer, `per_call` one call for each token.
    """

    tps: float
    tokens: int
    context_tokens: int
    measured_at_s: float
    kind: Literal["startup", "plain_run", "streaming", "per_call"]


def plain_run(
    target: Target,
    prompt: Sequence[int],
    clock: Callable[[], float],
    kind: Literal["startup", "per_call"] = "startup",
) -> tuple[PlainRun, list[int]]:
    """Decode 16 tokens with the engine at depth 0. Returns the run and its ids. clock: seconds."""
    limits = Limits(BASELINE_TOKENS, ignore_eos=True)
    request = Request(tuple(prompt), Sampling(), limits, evidence=False)
    rounds = decode(request, target, {}, FixedPolicy("none", 0), seeded(0), clock)
    ids = [token for round in rounds for token in round.emitted]
    round_ms = sum(round.times.round_ms for round in rounds)
    return PlainRun(1000 * len(ids) / round_ms, len(ids), len(prompt), clock(), kind), ids


def streaming_run(target: RemoteTarget, prompt: Sequence[int], clock: Callable[[], float]) -> PlainRun | None:
    """Let a remote target decode alone in one call. clock: seconds.

    The rate is that of the tokens after the first, whose time contains the prompt. None for fewer than three tokens.
    """
    limits = Limits(BASELINE_TOKENS + 1, ignore_eos=True)
    request = Request(tuple(prompt), Sampling(), limits, evidence=False)
    arrived_s = [clock() for _ in target.stream(request)]
    if len(arrived_s) < 3 or arrived_s[-1] <= arrived_s[0]:
        return None
    tokens = len(arrived_s) - 1
    return PlainRun(tokens / (arrived_s[-1] - arrived_s[0]), tokens, len(prompt), clock(), "streaming")
