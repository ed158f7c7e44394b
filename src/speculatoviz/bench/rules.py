"""`python -m speculatoviz.bench.rules`: what the exact rules accept of the very same drafts of a real pair."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from speculatoviz.bench.pair import PROMPTS
from speculatoviz.cli.flags import errors, settings_of
from speculatoviz.core.rejection import prefixes
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.types import Draft, Floats, Verdict
from speculatoviz.errors import ModelError
from speculatoviz.lab.decode import decode_prompt
from speculatoviz.machine import describe
from speculatoviz.session.session import Session
from speculatoviz.targets.layout import layout
from speculatoviz.targets.local import LocalTarget
from speculatoviz.telemetry.events import Start

_RESAMPLES = 2_000


def expected_accepted(draft: Draft, p: Sequence[Distribution]) -> dict[str, float]:
    """Expected accepted tokens of a chain under each exact rule, over the rule's own randomness.

    p: the target's distributions behind the last committed token and behind each node.
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


class WatchedTarget(LocalTarget):
    """Notes of every draft what each rule would have accepted; what it decides stays as it is."""

    seen: list[dict[str, float]]

    @classmethod
    def over(cls, target: LocalTarget) -> WatchedTarget:
        made = cls.__new__(cls)
        made.__dict__.update(target.__dict__)
        made.seen = []
        return made

    def judge(self, draft: Draft, logits: Floats) -> Verdict:
        if len(draft):
            rows = layout(self._ids[-1], draft)
            p = [distribution(logits[rows.row(node)], self._request.sampling) for node in range(-1, len(draft))]
            self.seen.append(expected_accepted(draft, p))
        return super().judge(draft, logits)


def compare(session: Session, temperature: float, k: int, max_tokens: int, seeds: int) -> dict[str, dict[str, float]]:
    """Per prompt and of all: mean acceptance length of each rule, and block's gain over token with its 95 % interval
    (bootstrap over rounds)."""
    if not isinstance(session.target, LocalTarget):
        raise ModelError("The rules are compared on a target of this process.", "Name a local --target.")
    results, everything = {}, list[dict[str, float]]()
    for name, prompt in PROMPTS.items():
        target = WatchedTarget.over(session.target)
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


def main(
    profile: Annotated[str, typer.Option(help="qwen or smol")] = "qwen",
    k: Annotated[int, typer.Option("-k", help="draft depth")] = 5,
    max_tokens: Annotated[int, typer.Option(help="tokens per run")] = 96,
    seeds: Annotated[int, typer.Option(help="runs per prompt")] = 2,
    drafter: Annotated[str, typer.Option(help="who drafts")] = "model",
) -> None:
    """Measure at T=0.7 and 1, print one JSON line. Nothing here depends on how fast the machine is."""
    console = Console(stderr=True)
    settings = settings_of({"profile": profile, "drafter": drafter})
    session = Session.load(settings, time.perf_counter, lambda stage, _: console.print(stage, style="dim"))
    result = {
        "machine": describe(),
        "target": session.target.description.name,
        "drafter": drafter,
        "k": k,
        "mean_acceptance_length": {
            str(temperature): compare(session, temperature, k, max_tokens, seeds) for temperature in (0.7, 1.0)
        },
    }
    session.close()
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(errors()(main))
