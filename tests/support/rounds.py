"""Rounds written down by hand."""

from __future__ import annotations

from speculatoviz.core.planning import Plan
from speculatoviz.core.rounds import Check, Extra, Round, Times, Verdict
from speculatoviz.core.types import Draft, Scores, Status

A, B, C, D = 0, 1, 2, 3


def times(draft_ms: float = 2.0, verify_ms: float = 5.0, network_ms: float = 0.0) -> Times:
    """A round of 10 ms unless draft, verify and network say otherwise: evidence and others take 3."""
    return Times(draft_ms, verify_ms, network_ms, evidence_ms=1.0, other_ms=2.0)


def make_round(
    drafted: int,
    accepted: int,
    *,
    index: int = 0,
    kept: int | None = None,
    tokens: tuple[int, ...] = (A, B, C, D),
    measured: Times | None = None,
    scores: Scores | None = None,
) -> Round:
    """A chain of `drafted` tokens of which the first `accepted` pass, and the token after them.

    kept: how many of the accepted tokens are emitted where the run ends inside the draft; then no extra token is.
    """
    chain = [tokens[i % len(tokens)] for i in range(drafted)]
    draft = Draft.chain(index, chain, (), "hand", scores=(scores,) * drafted)
    checks = [Check(i, chain[i], "accepted", 0.5, 0.4, 1.0, None, scores) for i in range(accepted)]
    if accepted < drafted:
        checks.append(Check(accepted, chain[accepted], "rejected", 0.1, 0.4, 0.25, 0.75, scores))
    status: Status = "plain" if drafted == 0 else "bonus" if accepted == drafted else "resampled"
    extra = Extra(tokens[0], status, 0.3, scores, residual=((1, -0.5),) if status == "resampled" else ())
    emitted = [*chain[:accepted], extra.token]
    statuses: list[Status] = ["accepted"] * accepted
    statuses.append(status)
    if kept is not None:
        emitted, statuses = emitted[:kept], statuses[:kept]
    return Round(
        index=index,
        plan=Plan("hand", drafted),
        draft=draft,
        verdict=Verdict(tuple(range(accepted)), extra, tuple(checks)),
        emitted=tuple(emitted),
        statuses=tuple(statuses),
        texts=tuple("abcd"[token] for token in emitted),
        times=measured or times(),
    )
