"""Verification with what a truncated row shows, and thinning: every branch of small vocabularies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from speculatoviz.core.chance import EXTRA, Chance, SeededChance, Toss
from speculatoviz.core.rejection import verify_tokens
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.truncated import FIRST_DRAW, estimate, first_kept, thinned
from speculatoviz.core.types import Draft, Floats, Sampling, Support
from support.enumerate import Script
from support.truncated_rows import EXACT, ROUNDING, endpoint, sampling_of

BROKEN = 1e-3


def verified(p: Floats, q: Support, rows: Callable[[int], Distribution]) -> Floats:
    """What a round of depth 1 emits first, `rows(x)` being what is known of p when x was drafted."""
    script, emitted = Script(), np.zeros(len(p))

    def one_round() -> int:
        token = int(q.ids[script.draw(q.probs, 0)])
        draft = Draft.chain(0, [token], (q,), "test")
        decision = verify_tokens(draft, lambda node: rows(token), script)
        return token if decision.path else decision.extra.token

    for prob, token in script.outcomes(one_round):
        emitted[token] += prob
    return emitted


def random_draft(seed: int, n: int = 6) -> Support:
    probs = np.random.default_rng(seed).dirichlet(np.full(n, 0.7))
    return Support(np.arange(n, dtype=np.int32), probs)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.8])
@pytest.mark.parametrize("name", ["unfiltered", "top-k 4", "top-p .5", "top-p .95", "min-p .07"])
@pytest.mark.parametrize("top_n", [1, 2, 4])
def test_a_verified_round_is_as_near_to_the_target_as_the_bounds_say(temperature: float, name: str, top_n: int) -> None:
    """The scores depend on the drafted token: the mean of the bounds over it still bounds what is emitted."""
    sampling = sampling_of(temperature, name)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        logits = rng.normal(scale=rng.choice([0.3, 1.0, 2.0]), size=6)
        q = random_draft(seed)
        found = [estimate(endpoint(logits, top_n, token), sampling) for token in range(6)]
        p = distribution(logits, sampling).dense(6)
        emitted = verified(p, q, lambda token, found=found: found[token][0])
        mean_bound = sum(float(q.probs[token]) * found[token][1] for token in range(6))
        assert np.abs(emitted - p).sum() / 2 <= mean_bound + ROUNDING


def test_a_chain_is_as_near_to_the_target_as_its_bounds_say() -> None:
    """Two positions: the bounds of the rows a round emits from add up."""
    rng, sampling = np.random.default_rng(5), Sampling(0.8)
    logits = rng.normal(scale=1.5, size=(6, 5))  # after the prompt, and after each first token
    qs = [Support(np.arange(5, dtype=np.int32), rng.dirichlet(np.ones(5))) for _ in range(6)]
    ps = [distribution(row, sampling).dense(5) for row in logits]
    script, emitted, mean_bound = Script(), np.zeros((5, 5)), 0.0

    def one_round() -> tuple[tuple[int, ...], float]:
        first = int(qs[0].ids[script.draw(qs[0].probs, 0)])
        second = int(qs[1 + first].ids[script.draw(qs[1 + first].probs, 1)])
        found = [
            estimate(endpoint(logits[0], 2, first), sampling),
            estimate(endpoint(logits[1 + first], 2, second), sampling),
        ]
        draft = Draft.chain(0, [first, second], (qs[0], qs[1 + first]), "test")
        whole = distribution(np.zeros(5), sampling)  # the third token is not looked at
        rows = [*(p_hat for p_hat, _ in found), whole]
        decision = verify_tokens(draft, lambda node: rows[node + 1], script)
        tokens = (*([first, second][: len(decision.path)]), decision.extra.token)[:2]
        return tokens, sum(bound for _, bound in found[: len(tokens)])

    for prob, (tokens, bound) in script.outcomes(one_round):
        # A round that ended after one token goes on with the target's own distribution.
        row = ps[1 + tokens[0]] if len(tokens) == 1 else np.eye(5)[tokens[1]]
        emitted[tokens[0]] += prob * row
        mean_bound += prob * bound
    truth = np.stack([ps[0][first] * ps[1 + first] for first in range(5)])
    assert BROKEN < np.abs(emitted - truth).sum() / 2 <= mean_bound


DRAWS = 3
Kept = Callable[[list[tuple[int, float]], Support, int, Chance], int | None]


def test_a_draw_is_kept_with_the_share_of_it_that_q_leaves() -> None:
    assert thinned(0.4, 0.1) == pytest.approx(0.75)
    assert (thinned(0.1, 0.4), thinned(0.2, 0.2), thinned(0.2, 0.0)) == (0.0, 0.0, 1.0)
    # Underflow: a token that was drawn although its probability rounds to zero.
    assert (thinned(0.0, 0.1), thinned(0.0, 0.0)) == (0.0, 1.0)


def thinned_rounds(p: Floats, q: Support | None, kept: Kept) -> tuple[Floats, Floats, float]:
    """Probabilities of the emitted token, after acceptance and after thinning, and that of no draw being kept."""
    script = Script()
    target = Distribution(p, 1.0)
    accepted, resampled, unfinished = np.zeros(len(p)), np.zeros(len(p)), 0.0

    def one_round() -> tuple[bool, int | None]:
        token = int(q.ids[script.draw(q.probs, 0)]) if q else 1
        decision = verify_tokens(Draft.chain(0, [token], (q,), "test"), lambda node: target, script)
        if decision.path:
            return True, token
        drawn = [script.draw(p, 0) for _ in range(DRAWS)]
        index = kept([(x, float(p[x])) for x in drawn], q, token, script)
        return False, None if index is None else drawn[index]

    for prob, (was_accepted, token) in script.outcomes(one_round):
        if token is None:
            unfinished += prob
        else:
            (accepted if was_accepted else resampled)[token] += prob
    return accepted, resampled, unfinished


THINNED: dict[str, tuple[Floats, Support | None]] = {
    "broad": (np.array([0.5, 0.3, 0.15, 0.05]), random_draft(1, 4)),
    "far": (np.array([0.05, 0.05, 0.6, 0.3]), Support(np.array([0, 1], np.int32), np.array([0.7, 0.3]))),
    "near": (np.array([0.4, 0.3, 0.2, 0.1]), Support(np.arange(4, dtype=np.int32), np.array([0.35, 0.35, 0.2, 0.1]))),
    "zeros in p": (np.array([0.0, 0.6, 0.4, 0.0]), random_draft(2, 4)),
    "point mass": (np.array([0.5, 0.3, 0.15, 0.05]), None),
}


def departure(p: Floats, q: Support | None, kept: Kept) -> float:
    """How far rejection and thinning are from p, once what is unfinished is shared out as the finished part is."""
    accepted, resampled, unfinished = thinned_rounds(p, q, kept)
    emitted = accepted + resampled * (1 + unfinished / resampled.sum())
    return float(np.abs(emitted - p).max())


@pytest.mark.parametrize(("p", "q"), THINNED.values(), ids=THINNED.keys())
def test_rejection_and_thinning_give_the_target(p: Floats, q: Support | None) -> None:
    """Every further draw is like the first, so given that one is kept, how many it took does not matter."""
    accepted, resampled, unfinished = thinned_rounds(p, q, first_kept)
    dense = Distribution(q.probs, 1.0, q.ids).dense(4) if q else np.eye(4)[1]
    distance = np.maximum(p - dense, 0).sum()
    assert accepted == pytest.approx(np.minimum(p, dense), abs=EXACT)
    assert unfinished == pytest.approx(distance * (1 - distance) ** DRAWS, abs=EXACT)
    assert resampled.sum() == pytest.approx(distance - unfinished, abs=EXACT)
    assert departure(p, q, first_kept) < EXACT


def first_drawn(draws: list[tuple[int, float]], q: Support, token: int, chance: Chance) -> int | None:
    """Takes the server's first draw as it is."""
    return 0


def upside_down(draws: list[tuple[int, float]], q: Support, token: int, chance: Chance) -> int | None:
    """Keeps with 1 - p / q."""
    tests = (chance.accept(1 - p / max(q.prob(x), 1e-300), i).accepted for i, (x, p) in enumerate(draws))
    return next((i for i, accepted in enumerate(tests) if accepted), None)


def last_if_none(draws: list[tuple[int, float]], q: Support, token: int, chance: Chance) -> int | None:
    """Gives up thinning with the last draw."""
    index = first_kept(draws, q, token, chance)
    return len(draws) - 1 if index is None else index


@pytest.mark.parametrize("twin", [first_drawn, upside_down, last_if_none])
@pytest.mark.parametrize("name", ["broad", "far"])
def test_broken_thinning_is_caught(twin: Kept, name: str) -> None:
    p, q = THINNED[name]
    assert departure(p, q, twin) > BROKEN / 2


class Noted:
    """A Chance that notes the nodes it is asked for and accepts nothing."""

    def __init__(self) -> None:
        self.nodes: list[int] = []

    def accept(self, prob: float, node: int) -> Toss:
        self.nodes.append(node)
        return Toss(False, 0.99)

    def draw(self, weights: Floats, node: int) -> int:
        self.nodes.append(node)
        return 0


def test_the_nodes_of_draws_are_their_own() -> None:
    noted, p = Noted(), Distribution(np.array([0.2, 0.8]), 1.0)
    q = Support(np.arange(2, dtype=np.int32), np.array([0.9, 0.1]))
    verify_tokens(Draft.chain(0, [0, 1], (q, q), "test"), lambda node: p, noted)
    for tested in (0, 2):
        assert first_kept([(0, 0.2), (1, 0.8)], q, 0, noted, tested) is None
    assert noted.nodes == [0, EXTRA, *range(FIRST_DRAW, FIRST_DRAW + 4)]


def test_draws_in_two_calls_are_judged_as_in_one() -> None:
    q = Support(np.arange(2, dtype=np.int32), np.array([0.9, 0.1]))
    draws = [(1, 0.11), (0, 0.95)] * 10
    for round in range(20):
        chance = SeededChance(1, "verify", round)
        at_once = first_kept(draws, q, 0, chance)
        early = first_kept(draws[:5], q, 0, chance)
        late = first_kept(draws[5:], q, 0, chance, tested=5)
        assert at_once == (early if early is not None else None if late is None else late + 5)
