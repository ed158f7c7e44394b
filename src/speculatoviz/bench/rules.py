"""How many tokens of the very same drafts of a real pair each exact rule accepts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from speculatoviz.bench.pair import PROMPTS
from speculatoviz.core.rejection import prefixes
from speculatoviz.core.rounds import Verdict
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.types import Draft, Floats
from speculatoviz.errors import ModelError
from speculatoviz.lab.decode import decode_prompt
from speculatoviz.models.window import Window
from speculatoviz.session.session import Session
from speculatoviz.targets.layout import layout
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.messages import Start

_RESAMPLES = 2_000


def expected_accepted(draft: Draft, p: Sequence[Distribution]) -> dict[str, float]:
    """The expected number of accepted tokens of a chain under each exact rule, over the rule's own random numbers.

    p[i]: the target's distribution after i drafted tokens.
    """
    reached = {"token": 1.0, "match": 1.0}
    accepted = dict.fromkeys(("token", "block", "match"), 0.0)
    for node, token in enumerate(draft.tokens.tolist()):
        target_prob, q = p[node].prob(token), draft.q[node]
        reached["token"] *= min(1.0, target_prob / (q.prob(token) if q else 1.0))
        reached["match"] *= target_prob
        for rule, chance in reached.items():
            accepted[rule] += chance
    no_longer = 1.0
    for length, passes in reversed(list(enumerate(prefixes(draft, p)[1], start=1))):
        accepted["block"] += length * passes * no_longer
        no_longer *= 1.0 - passes
    return accepted


class RecordingTarget(LocalTarget):
    """Records for every draft how many tokens each rule accepts in expectation. Its own verdicts are unchanged.

    window: of the target whose drafts are recorded. clock: seconds. seen: by round, by rule.
    """

    def __init__(self, window: Window, clock: Callable[[], float]) -> None:
        super().__init__(window.model, window.context.size, clock, window=window)
        self.seen: list[dict[str, float]] = []

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        if len(draft):
            rows = layout(self._ids[-1], draft)
            p = [distribution(logits[rows.row(node)], self.request.sampling) for node in range(-1, len(draft))]
            self.seen.append(expected_accepted(draft, p))
        return super().judge(draft, logits)


def compare(session: Session, temperature: float, k: int, max_tokens: int, seeds: int) -> dict[str, dict[str, float]]:
    """For each prompt and over all: the mean acceptance length of each rule, and the gain of block over token with its
    95 % interval (bootstrap over rounds). Raises ModelError for a remote target."""
    window = session.target.window
    if window is None:
        raise ModelError("The rules can only be compared on a target in this process.", "Name a local --target.")
    results, everything = {}, list[dict[str, float]]()
    for name, prompt in PROMPTS.items():
        target = RecordingTarget(window, session.clock)
        for seed in range(seeds):
            start = Start(prompt=prompt, k=k, max_tokens=max_tokens, temperature=temperature, seed=seed, rule="token")
            decode_prompt(session, start, target=target)
        results[name] = _summary(target.seen)
        everything += target.seen
    return results | {"all": _summary(everything)}


def _summary(seen: Sequence[Mapping[str, float]]) -> dict[str, float]:
    lengths = {rule: 1.0 + statistics.fmean(s[rule] for s in seen) for rule in ("token", "block", "match")}
    gains = np.array([s["block"] - s["token"] for s in seen])
    draws = np.random.default_rng(0).integers(0, len(gains), (_RESAMPLES, len(gains)))
    low, high = np.quantile(gains[draws].mean(axis=1), [0.025, 0.975])
    return lengths | {
        "rounds": len(seen),
        "gain": float(gains.mean()),
        "gain_low": float(low),
        "gain_high": float(high),
    }
