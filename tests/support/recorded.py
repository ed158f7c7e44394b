"""Traces whose rounds are written down by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from speculatoviz.core.planning import Plan
from speculatoviz.core.steps import Drafted, Ended
from speculatoviz.core.types import Draft, Support
from speculatoviz.engine import Step
from speculatoviz.lab.engines.evidence import NamedTrace
from speculatoviz.models.runtimes.toy import ToyTokenizer
from speculatoviz.telemetry import trace
from speculatoviz.telemetry.events import Event, Started
from speculatoviz.telemetry.narrator import Narrator
from speculatoviz.telemetry.parts import ExactnessInfo, ModelInfo, SamplingInfo
from support.rounds import make_round
from support.toy_pair import no_clock

LETTERS = (b"a", b"b", b"c", b"d")
GREEDY = SamplingInfo(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0)
SAMPLED = SamplingInfo(temperature=0.7, top_k=0, top_p=1.0, min_p=0.0)
HEAD = trace.Header(version=2, created="2026-11-29T10:00:00+00:00", speculatoviz="0.1.0", machine="a machine")


def model(name: str, quantisation: str = "Q4_K_M", context_tokens: int = 4096) -> ModelInfo:
    return ModelInfo(
        name=name,
        runtime="llama.cpp",
        quantisation=quantisation,
        parameters=None,
        size_bytes=None,
        context_tokens=context_tokens,
        vocabulary=4,
        fingerprint="abcd",
        computes_on="CPU",
    )


def started(**changes: Any) -> Started:
    """The beginning of a run of `model` at k 3, greedy, of 4,000 tokens."""
    values: dict[str, Any] = {
        "run": "r",
        "seq": 0,
        "t_ms": 0.0,
        "prompt": "p",
        "prompt_tokens": 1,
        "target_model": model("Target-7B"),
        "draft_model": model("owner/Draft-0.5B"),
        "drafter": "model",
        "k": 3,
        "policy": "fixed",
        "rule": "token",
        "sampling": GREEDY,
        "max_tokens": 4000,
        "seed": 1,
        "exactness": ExactnessInfo(label="exact", reason="It is."),
        "noise_floor": None,
        "baseline": None,
    }
    return Started(**values | changes)


def events(
    rounds: Sequence[tuple[int, int]],
    *,
    drafter: str = "model",
    planned: int | None = None,
    drawn: bool = False,
    cut: int | None = None,
    tree: bool = False,
    **start: Any,
) -> list[Event]:
    """A run of rounds (drafted, accepted).

    planned: the depth of every plan; by default that of its draft. drawn: the tokens were drawn from a q. cut: of the
    last round, how many accepted tokens are kept where the text ends inside its draft. tree: the last token of a draft
    is a sibling of the one before it, where neither is accepted.
    """
    steps: list[Step] = []
    for index, (drafted, accepted) in enumerate(rounds):
        last = index == len(rounds) - 1
        round = make_round(drafted, accepted, index=index, kept=cut if last else None)
        chain = _changed(round.draft, drafter, drawn, tree and drafted > accepted + 1)
        plan = Plan(drafter, drafted if planned is None else planned)
        steps += [Drafted(index, plan, chain), replace(round, plan=plan, draft=chain)]
    steps.append(Ended("length", ""))
    narrator = Narrator("r", ToyTokenizer(LETTERS), None, no_clock)
    return [started(drafter=drafter, **start), *narrator.events(steps)]


def _changed(draft: Draft, drafter: str, drawn: bool, tree: bool) -> Draft:
    q = tuple(Support.point(int(token)) for token in draft.tokens)
    halves = tuple(Support(one.ids, one.probs / 2) for one in q)
    parents = draft.parents.copy()
    if tree:
        parents[-1] = parents[-2]
    return replace(draft, source=(drafter,) * len(draft), q=halves if drawn else q, parents=parents)


def traced(rounds: Sequence[tuple[int, int]], name: str = "run.jsonl", **options: Any) -> NamedTrace:
    """The same as a trace."""
    return NamedTrace(name, trace.Trace(HEAD, events(rounds, **options), None))
