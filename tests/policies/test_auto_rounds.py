"""What `auto` learns from single rounds and texts, and what it plans then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from speculatoviz.core.constraint import FORCED
from speculatoviz.core.planning import Forecast, Outlook, Plan
from speculatoviz.core.rounds import Extra, Round, SharedPass, Times, Verdict
from speculatoviz.core.types import ROOT, Draft, Node, Status
from speculatoviz.policies.auto import AutoPolicy, Experience
from speculatoviz.policies.base import State
from speculatoviz.policies.costs import Costs
from support.machines import CHEAP_ROWS, DEAR_ROWS, DEEPEST, TEXTS, always, experience
from support.simulated import SimulatedDrafter, Simulation

FLAT_ROWS = {n: 50.0 + 0.5 * n for n in range(1, 17)}


def tree_policy(rows: Mapping[int, float], rate: float) -> AutoPolicy:
    return AutoPolicy(Experience(Costs(lambda: rows, {"model": 9.0}.get), {"model": rate}), DEEPEST)


def forked(policy: AutoPolicy, index: int, *, second: bool) -> Round:
    """A round in which the first choice was rejected, and the second one accepted or rejected."""
    tree = Draft.tree(index, [Node(5, ROOT, None, "model"), Node(6, ROOT, None, "model")])
    plan = policy.plan(State(index, index, 100, lambda _name: Outlook(branches=True)))
    verdict = Verdict((1,) if second else (), Extra(8, "bonus", None), ())
    emitted = (6, 8) if second else (8,)
    statuses: tuple[Status, ...] = ("accepted", "bonus") if second else ("resampled",)
    times = Times(9.0, FLAT_ROWS[3], 0.0, 0.0, 0.0)
    return Round(index, plan, tree, verdict, emitted, statuses, ("",) * len(emitted), times)


def of_a_block(index: int, plan: Plan, drafted: int, draft_ms: float) -> Round:
    """A round of `drafted` accepted tokens, which one pass of the drafter has computed."""
    nodes = [Node(5, node - 1, None, "dflash") for node in range(drafted)]
    verdict = Verdict(tuple(range(drafted)), Extra(8, "bonus", None), ())
    emitted, statuses = (5,) * drafted + (8,), ("accepted",) * drafted + ("bonus",)
    times = Times(draft_ms, FLAT_ROWS[drafted + 1], 0.0, 0.0, 0.0)
    return Round(index, plan, Draft.tree(index, nodes), verdict, emitted, statuses, ("",) * len(emitted), times)


def forecast_of_a_block(outlook: Outlook, drafted: int) -> Forecast:
    """The deepest forecast after 40 drafts of one depth, each of which took 30 ms."""
    policy = AutoPolicy(Experience(Costs(lambda: FLAT_ROWS), {"dflash": 0.9}), DEEPEST)
    for index in range(40):
        plan = policy.plan(State(index, index, 100, lambda _name: outlook))
        policy.observe(of_a_block(index, replace(plan, depth=drafted), drafted, 30.0))
    reason = policy.plan(State(40, 40, 100, lambda _name: outlook)).reason
    assert reason is not None
    return max((reason.chosen, *reason.others), key=lambda forecast: forecast.depth)


@pytest.mark.parametrize("drafted", [1, 2, 7])
def test_a_block_costs_one_pass_whatever_its_depth(drafted: int) -> None:
    """After drafts of one depth, the expected time of every other depth is exact: the same pass, and the target's."""
    forecast = forecast_of_a_block(Outlook(longest=7, block=7), drafted)
    assert forecast.depth == 7, "where a token more costs no pass of the drafter, drafts are as deep as its block"
    assert forecast.round_ms == pytest.approx(30.0 + FLAT_ROWS[8], rel=1e-6)


def test_priced_by_the_token_a_block_would_be_too_dear() -> None:
    """The broken twin: what a block of one token took is charged for each token of a deeper draft."""
    forecast = forecast_of_a_block(Outlook(longest=7), 1)
    assert forecast.round_ms == pytest.approx(forecast.depth * 30.0 + FLAT_ROWS[forecast.depth + 1], rel=1e-6)
    assert forecast.depth > 1


def test_siblings_are_drafted_where_rows_are_cheap() -> None:
    def plan(rows: Mapping[int, float], *, branches: bool = True) -> Plan:
        outlook = Outlook(branches=branches)
        return tree_policy(rows, 0.7).plan(State(0, 0, 100, lambda _name: outlook))

    cheap = plan(FLAT_ROWS)
    assert cheap.spare > 0
    assert cheap.reason is not None
    assert cheap.reason.chosen.siblings == cheap.spare
    assert cheap.stop is None, "a draft that ends early has positions without siblings"
    assert plan(CHEAP_ROWS).spare == 0
    assert plan(FLAT_ROWS, branches=False).spare == 0


def test_siblings_that_are_rejected_are_not_drafted_again() -> None:
    def spare_after(second: bool) -> int:
        policy = tree_policy(FLAT_ROWS, 0.7)
        for index in range(12):
            policy.observe(forked(policy, index, second=second))
        return policy.plan(State(12, 12, 100, lambda _name: Outlook(branches=True))).spare

    assert spare_after(second=True) > 0
    assert spare_after(second=False) == 0


def test_a_round_that_was_planned_ahead_leaves_what_is_known_of_this_one() -> None:
    """Of a path that was not drafted, the emitted tokens show what would have become of it."""

    def after(*, ahead: bool) -> float:
        costs = Costs(lambda: CHEAP_ROWS, {"model": 9.0, "suffix": 0.1}.get)
        policy = AutoPolicy(Experience(costs, {"model": 0.2, "suffix": 0.2}), DEEPEST)
        known = Outlook((8,), (0.2,), longest=1)
        outlook = {"model": Outlook(longest=0), "suffix": known}
        for index in range(8):
            policy.plan(State(index, index, 100, outlook.__getitem__))
            if ahead:
                policy.plan(State(index + 1, index, 100, lambda _name: Outlook(longest=0)))
            verdict = Verdict((), Extra(8, "plain", None), ())
            times = Times(0.0, CHEAP_ROWS[1], 0.0, 0.0, 0.0)
            policy.observe(Round(index, Plan("model", 0), Draft.empty(index), verdict, (8,), ("plain",), ("",), times))
        return policy.plan(State(8, 8, 100, outlook.__getitem__)).depth

    assert after(ahead=False) == after(ahead=True) == 1


def test_what_a_grammar_forces_shows_nothing_of_a_drafter() -> None:
    """Its tokens cost nothing and are accepted, whoever drafts."""

    def known_after(source: str) -> tuple[float, float]:
        known = Experience(Costs(lambda: CHEAP_ROWS, {"model": 9.0}.get), {"model": 0.5})
        policy = AutoPolicy(known, DEEPEST)
        for index in range(8):
            policy.plan(State(index, index, 100, lambda _name: Outlook()))
            verdict = Verdict((0, 1), Extra(8, "bonus", None), ())
            times, emitted = Times(0.2, CHEAP_ROWS[3], 0.0, 0.0, 0.0), (7, 7, 8)
            draft, statuses = Draft.chain(index, [7, 7], (), source), ("accepted", "accepted", "bonus")
            policy.observe(Round(index, Plan("model", 2), draft, verdict, emitted, statuses, ("",) * 3, times))
        return known.acceptance("model").at(0), known.costs.draft.pass_ms("model")

    assert known_after(FORCED) == (0.5, 9.0)
    rate, token_ms = known_after("model")
    assert rate > 0.6
    assert token_ms < 1.0


def test_planning_twice_gives_the_same_plan() -> None:
    simulation = Simulation(CHEAP_ROWS, TEXTS["easy"])
    policy = AutoPolicy(experience(simulation), DEEPEST)
    simulation.run(policy, 20)
    state = State(20, 20, 100, lambda _name: Outlook())

    first, second = policy.plan(state), policy.plan(state)

    assert first == second
    assert first.reason == second.reason


def test_the_reason_names_what_was_compared() -> None:
    simulation = Simulation(CHEAP_ROWS, TEXTS["easy"])
    policy = AutoPolicy(experience(simulation), DEEPEST)
    simulation.run(policy, 100)
    planned = [plan for plan in simulation.plans if plan.reason is not None and not plan.reason.explored]
    plan = planned[-1]

    assert len(planned) > 80
    assert plan.reason is not None
    assert plan.reason.chosen.drafter == plan.drafter == "model"
    assert plan.reason.chosen.depth == plan.depth > 0
    assert {(c.drafter, c.depth > 0) for c in plan.reason.others} >= {("suffix", True), ("model", False)}
    assert plan.reason.plain_ms == pytest.approx(CHEAP_ROWS[1])


def test_a_path_that_is_known_is_not_tried_while_it_does_not_pay() -> None:
    """The emitted tokens show what would have become of it."""
    simulation = Simulation(CHEAP_ROWS, {"suffix": SimulatedDrafter(always(0.1), 0.1, text=True)})
    policy = AutoPolicy(experience(simulation), DEEPEST)

    def outlook(_name: str) -> Outlook:
        return Outlook((7,), (0.1,), longest=1)

    assert all(policy.plan(State(index, index, 1000, outlook)).depth == 0 for index in range(50))


def plain_round(index: int) -> Round:
    verdict = Verdict((), Extra(8, "plain", None), (), certainty=0.9)
    times = Times(0.0, CHEAP_ROWS[1], 0.0, 0.0, 0.0)
    return Round(index, Plan("model", 0), Draft.empty(index), verdict, (8,), ("plain",), ("",), times)


def test_a_prompt_is_read_for_texts_as_long_as_earlier_ones_were() -> None:
    """Reading it costs as much as many rounds save, and most of the allowed tokens may never come."""

    def depth_after(texts: int, tokens: int) -> int:
        known = Experience(Costs(lambda: CHEAP_ROWS, {"model": 6.0}.get), {"model": 0.9})
        outlook = Outlook(missing=200)
        for _ in range(texts):
            policy = AutoPolicy(known, DEEPEST)
            for index in range(tokens):
                policy.plan(State(index, index, 512 - index, lambda _name: outlook))
                policy.observe(plain_round(index))
        return AutoPolicy(known, DEEPEST).plan(State(0, 200, 512, lambda _name: outlook)).depth

    assert depth_after(texts=8, tokens=6) == 0
    assert depth_after(texts=3, tokens=512) > 0


def test_the_expected_length_of_a_text_is_at_most_what_is_left_of_it() -> None:
    known = Experience(Costs(lambda: CHEAP_ROWS, {}.get), {})

    assert known.expected_tokens(0) == 0.0
    assert known.expected_tokens(1) == pytest.approx(1.0)
    assert 30.0 < known.expected_tokens(48) < 48.0
    assert known.expected_tokens(10_000) == pytest.approx(64.0)  # one text of 64 tokens, before any is known
    known.emitted(known.next_run(), 5_000, left=0)  # a text that was cut off has not ended by itself
    known.next_run()
    assert known.expected_tokens(10_000) > 2_000.0


def test_a_user_can_limit_depth_and_drafter() -> None:
    simulation = Simulation(CHEAP_ROWS, TEXTS["easy"])
    policy = AutoPolicy(experience(simulation), DEEPEST)
    policy.change(depth=2, drafter="suffix", nodes=None)
    simulation.run(policy, 50)

    assert all(plan.depth <= 2 and plan.drafter == "suffix" for plan in simulation.plans)


def test_the_last_token_is_not_drafted_for() -> None:
    simulation = Simulation(CHEAP_ROWS, TEXTS["easy"])
    policy = AutoPolicy(experience(simulation), DEEPEST)

    assert policy.plan(State(0, 10, 1, lambda _name: Outlook())).depth == 0


def depth_beside(runs: int, rows: Mapping[int, float], drafters: tuple[str, ...] = ("model",)) -> int:
    """The planned depth while that many runs use the models, at an acceptance of 0.85."""
    costs = Costs(lambda: rows, {"model": 3.0, "eagle": 3.0}.get, lambda: runs, joint={"model"})
    policy = AutoPolicy(Experience(costs, dict.fromkeys(drafters, 0.85)), DEEPEST)
    return policy.plan(State(0, 10, 100, lambda _name: Outlook())).depth


# A pass over few rows reads the weights; from about sixteen rows on, each row costs its arithmetic.
ROOF = {n: max(50.0, 3.2 * n) + 0.3 * n for n in range(1, 65)}


def test_the_depth_falls_as_more_runs_use_the_models() -> None:
    depths = [depth_beside(runs, ROOF) for runs in (1, 2, 4, 8, 16)]

    assert depths[0] >= 4
    assert depths == sorted(depths, reverse=True)
    assert depths[-1] < depths[0]
    assert depths[3] <= 2


def test_a_drafter_that_computes_for_each_run_in_turn_is_given_up_earlier() -> None:
    assert depth_beside(4, FLAT_ROWS, ("eagle",)) < depth_beside(4, FLAT_ROWS, ("model",))


def test_a_shared_pass_teaches_its_own_size() -> None:
    costs = Costs(lambda: {1: 10.0, 2: 11.0}, {"model": 3.0}.get, lambda: 4, joint={"model"})
    nodes = [Node(5, ROOT, None, "model"), Node(5, 0, None, "model")]
    statuses: tuple[Status, ...] = ("accepted", "accepted", "bonus")
    times = Times(9.0, 70.0, 0.0, 0.0, 0.0)  # it waited for others
    for index in range(30):
        draft, shared = Draft.tree(index, nodes), SharedPass(runs=4, rows=12, ms=44.0)
        verdict = Verdict((0, 1), Extra(8, "bonus", None), (), shared=shared)
        costs.observe(Round(index, Plan("model", 2), draft, verdict, (5, 5, 8), statuses, ("",) * 3, times), 1)

    assert costs.verify.ms(12) == pytest.approx(44.0, rel=0.05)
    assert costs.passes(3).ms(3) == pytest.approx(costs.verify.ms(12))


def test_a_pass_that_runs_share_is_one_observation() -> None:
    """Each of the runs ends a round with it. Counted by each of them, one slow pass would outweigh eight others."""
    alone, together = (Costs(lambda: {8: 40.0}, runs=lambda: 8) for _ in range(2))
    for ms in (40.0, 41.0, 39.0, 80.0):
        shared = SharedPass(runs=8, rows=8, ms=ms)
        verdict = Verdict((), Extra(8, "plain", None), (), shared=shared)
        times = Times(0.0, ms, 0.0, 0.0, 0.0)
        for run in range(8):
            round = Round(0, Plan("none", 0), Draft.empty(0), verdict, (8,), ("plain",), ("",), times)
            together.observe(round, 0)
            if run == 0:
                alone.observe(round, 0)

    assert together.verify.ms(8) == alone.verify.ms(8)


def test_expected_pass_times_follow_what_is_observed_and_how_many_runs_there_are() -> None:
    runs, table = 1, {1: 10.0, 2: 12.0, 8: 30.0}
    costs = Costs(lambda: table, runs=lambda: runs)
    assert [costs.passes(2).ms(n) for n in (1, 2)] == pytest.approx([10.0, 12.0])
    runs = 2
    assert costs.passes(2).ms(1) == pytest.approx(12.0)
    runs, table = 1, {1: 20.0}
    assert costs.passes(2).ms(1) == pytest.approx(20.0)
    costs.verify.observe(1, 40.0)
    assert costs.passes(2).ms(1) == pytest.approx(40.0)


def stopped(index: int, times_ms: tuple[float, ...], draft_ms: float) -> Round:
    """A round of accepted tokens that took times_ms each; draft_ms: of the whole draft."""
    nodes = [Node(5, place - 1, None, "model", time_ms=ms) for place, ms in enumerate(times_ms)]
    verdict = Verdict(tuple(range(len(nodes))), Extra(8, "bonus", None), ())
    statuses: tuple[Status, ...] = (*("accepted",) * len(nodes), "bonus")
    emitted = (*(5,) * len(nodes), 8)
    times = Times(draft_ms, 20.0, 0.0, 0.0, 0.0)
    return Round(
        index, Plan("model", 4), Draft.tree(index, nodes), verdict, emitted, statuses, ("",) * len(emitted), times
    )


def test_a_pass_that_ended_a_draft_does_not_make_its_tokens_look_dear() -> None:
    """Each pass takes 10 ms; the last one was computed, and its token was not drawn."""
    costs = Costs(lambda: {1: 20.0, 2: 20.0}, {}.get)
    for index in range(30):
        costs.observe(stopped(index, (10.0,), draft_ms=20.0), 1)

    assert costs.draft.pass_ms("model") == pytest.approx(10.0, rel=0.05)


def test_a_draft_that_was_made_while_the_target_was_busy_costs_what_was_left_of_it() -> None:
    costs = Costs(lambda: {1: 20.0, 2: 20.0}, {}.get)
    for index in range(30):
        costs.observe(stopped(index, (10.0, 10.0), draft_ms=4.0), 1)

    assert costs.draft.pass_ms("model") == pytest.approx(2.0, rel=0.05)


def test_a_round_trip_beside_other_runs_teaches_the_size_of_its_own_draft() -> None:
    """A remote target: its passes are not those of this process's runs together."""
    costs = Costs(lambda: {1: 10.0, 2: 11.0}, {"model": 3.0}.get, lambda: 4, joint={"model"}, together=False)
    verdict = Verdict((0, 1), Extra(8, "bonus", None), (), shared=SharedPass(runs=4, rows=None, ms=40.0))
    nodes = [Node(5, ROOT, None, "model"), Node(5, 0, None, "model")]
    statuses: tuple[Status, ...] = ("accepted", "accepted", "bonus")
    times = Times(9.0, 10.0, 30.0, 0.0, 0.0)
    for index in range(30):
        draft = Draft.tree(index, nodes)
        costs.observe(Round(index, Plan("model", 2), draft, verdict, (5, 5, 8), statuses, ("",) * 3, times), 1)

    assert costs.passes(3).ms(3) == pytest.approx(40.0, rel=0.05)
    assert costs.draft.draft_ms("model", 2) == pytest.approx(9.0, rel=0.05)


def test_texts_of_other_runs_have_not_ended_when_another_begins() -> None:
    known = Experience(Costs(lambda: CHEAP_ROWS, {}.get, lambda: 2), {})
    first = known.next_run()
    known.emitted(first, 1_000, left=500)
    second = known.next_run()  # beside the first
    known.emitted(second, 1_000, left=500)
    together = known.expected_tokens(10_000)

    assert first != second
    assert together > 1_000.0
    for _ in range(3):
        known.next_run()
    assert known.expected_tokens(10_000) < together


def plain_passes_for_trials(runs: int) -> float:
    """What a run may lose at its beginning on choices that look worse, in plain passes of all runs."""
    costs = Costs(lambda: DEAR_ROWS, {"model": 1.0}.get, lambda: runs, joint={"model"})
    policy = AutoPolicy(Experience(costs, {"model": 0.5}), DEEPEST)
    return policy._budget_ms(2.0) / costs.passes(1).ms(1)


def test_runs_that_share_passes_share_what_trials_may_cost() -> None:
    assert plain_passes_for_trials(1) == pytest.approx(2.0)
    assert plain_passes_for_trials(8) == pytest.approx(2.0 / 8)
