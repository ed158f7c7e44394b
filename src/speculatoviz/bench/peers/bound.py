"""What speculation can reach on this machine: the rates that follow from measured costs and acceptance alone.

All costs are in plain passes, that is, passes over one token. A bound leaves out everything but passes, drafts and the
drafter's prefill, and drifts of the machine. Its policy knows in hindsight which drafter and depth suit a prompt best,
but keeps them for the whole prompt: a policy that changes them within a text can exceed it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from speculatoviz.bench.peers.runs import PLAIN, PeerRun, Timing
from speculatoviz.lab.statistics import geometric_mean
from speculatoviz.policies.costs import VerifyCosts

Choice = tuple[str, int]  # a drafter and a depth


@dataclass(frozen=True, slots=True)
class Bound:
    """Expected rates in one category, as geometric means of ratios to plain decoding on the same runtime.

    fixed: of the best choice for the category, which is `choice`; plain decoding has depth 0. hindsight: of the best
    choice for each prompt.
    """

    choice: Choice
    fixed: float
    hindsight: float


def expected_ratio(
    drafts: Sequence[int],
    paths: Sequence[int],
    draft_cost: Callable[[int], float],
    pass_cost: Callable[[int], float],
    prefill_cost: float = 0.0,
) -> float:
    """The expected rate of speculative rounds, relative to plain decoding.

    1. tau = 1 + sum_n P(n tokens are accepted) n
    2. c = sum_n P(n tokens are drafted) (d(n) + v(n + 1)) + tau b
    3. tau / c

    drafts[n], paths[n]: rounds that drafted, and accepted, n tokens. draft_cost: d(n), of n drafted tokens.
    pass_cost: v(r), of a pass over r tokens; v(1) = 1. prefill_cost: b, of the drafter's prefill, for each emitted
    token. NaN without rounds.
    """
    if not sum(drafts):
        return math.nan
    tau = 1.0 + sum(n * count for n, count in enumerate(paths)) / sum(paths)
    cost = sum(count * (draft_cost(n) + pass_cost(n + 1)) for n, count in enumerate(drafts)) / sum(drafts)
    return tau / (cost + tau * prefill_cost)


def cut(counts: Sequence[int], most: int) -> tuple[int, ...]:
    """The counts of min(n, most) instead of n: of chains that end after `most` tokens."""
    return (*counts[:most], sum(counts[most:])) if len(counts) > most else tuple(counts)


def bounds(runs: Sequence[PeerRun], pass_ms: Mapping[int, float]) -> dict[str, Bound]:
    """The bound of each category. runs: of one runtime and temperature. pass_ms: of that runtime, by tokens."""
    costs = VerifyCosts(lambda: pass_ms)
    expected = _expected(runs, lambda rows: costs.ms(rows) / costs.ms(1))
    found = {}
    for category in dict.fromkeys(category for category, _ in expected):
        prompts = [ratios for (of, _), ratios in expected.items() if of == category]
        shared = [choice for choice in prompts[0] if all(choice in ratios for ratios in prompts)]
        fixed = {choice: geometric_mean([ratios[choice] for ratios in prompts]) for choice in shared}
        choice = max(fixed, key=fixed.__getitem__)
        hindsight = geometric_mean([max(ratios.values()) for ratios in prompts])
        found[category] = Bound(choice, fixed[choice], hindsight)
    return found


def _expected(runs: Sequence[PeerRun], pass_cost: Callable[[int], float]) -> dict[tuple[str, int], dict[Choice, float]]:
    """By category and prompt: the expected ratio of every choice, also of depths between those that were measured."""
    draft_costs, plain = _draft_costs(runs), _plain(runs)
    found: dict[tuple[str, int], dict[Choice, float]] = {}
    for run in sorted(runs, key=lambda run: run.way.depth):
        ratios = found.setdefault((run.category, run.prompt), {("", 0): 1.0})
        if run.timing is None or run.way.depth == 0:
            continue
        drafter, deepest = run.way.drafter, run.way.depth
        for depth in range(1, deepest + 1):
            if (drafter, depth) in ratios:  # measured itself, or cut from fewer tokens
                continue
            shape = _shape(run.timing, depth, deepest)
            cost = draft_costs.get((drafter, deepest)) if run.timing.drafted else 0.0
            if shape is not None and cost is not None:
                prefill_cost = _prefill_cost(run.timing, plain.get((run.category, run.prompt)))
                draft_cost = _cost_of_drafts(cost, one_pass=run.timing.one_pass)
                ratios[drafter, depth] = expected_ratio(*shape, draft_cost, pass_cost, prefill_cost)
    return found


def _prefill_cost(timing: Timing, plain: Timing | None) -> float:
    """The drafter's prefill for each emitted token, in plain tokens of the same prompt; 0 if that was not decoded."""
    if plain is None or not plain.tokens or not timing.tokens:
        return 0.0
    return (timing.draft_prefill_ms / timing.tokens) / (plain.ms / plain.tokens)


def _shape(timing: Timing, depth: int, measured: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Drafted and accepted tokens of rounds of `depth`, from a run of depth `measured`; None for a tree, except there.

    The longest chain has as many tokens as the depth: a draft with more is a tree, which cannot be cut.
    """
    if not timing.drafts or (len(timing.drafts) - 1 > measured and depth < measured):
        return None
    if depth == measured:
        return timing.drafts, timing.paths
    return cut(timing.drafts, depth), cut(timing.paths, depth)


def _plain(runs: Sequence[PeerRun]) -> dict[tuple[str, int], Timing]:
    """Plain decoding, by category and prompt."""
    return {(run.category, run.prompt): run.timing for run in runs if run.timing is not None and run.way.name == PLAIN}


def _draft_costs(runs: Sequence[PeerRun]) -> dict[Choice, float]:
    """Of every drafter and depth: the time of one of the drafter's passes, in plain tokens of the same prompts."""
    plain = _plain(runs)
    found: dict[Choice, list[tuple[Timing, Timing]]] = defaultdict(list)
    for run in runs:
        beside = plain.get((run.category, run.prompt))
        if run.timing is not None and run.timing.drafted and beside is not None and beside.tokens:
            found[run.way.drafter, run.way.depth].append((run.timing, beside))
    return {choice: _draft_cost(pairs) for choice, pairs in found.items()}


def _draft_cost(pairs: Sequence[tuple[Timing, Timing]]) -> float:
    draft_ms = sum(timing.draft_ms for timing, _ in pairs) / sum(_passes(timing) for timing, _ in pairs)
    plain_ms = sum(plain.ms for _, plain in pairs) / sum(plain.tokens for _, plain in pairs)
    return draft_ms / plain_ms


def _passes(timing: Timing) -> int:
    """The passes of the drafter: one for each draft, or one for each of its tokens."""
    return sum(timing.drafts[1:]) if timing.one_pass else timing.drafted


def _cost_of_drafts(cost: float, *, one_pass: bool) -> Callable[[int], float]:
    """What a draft of n tokens costs. cost: of one of the drafter's passes."""
    return lambda n: cost * (min(n, 1) if one_pass else n)
