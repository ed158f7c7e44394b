"""Runs at the same time share forward passes, and no result depends on it."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import pytest

from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.models.base import Feed
from speculatoviz.models.runtimes.toy import ALPHABET
from speculatoviz.models.turns import Turns
from support.enumerate import Script
from support.joint import HastyTurns, ReusedRows, Run, SwappedTurns, together
from support.toy_pair import largest_difference, no_clock, request, sequence_probs

EXACT = 1e-12
LETTERS = ALPHABET[:2]


def models() -> tuple[ReusedRows, ReusedRows]:
    """A target and a related, smaller draft."""
    return ReusedRows(1, LETTERS, size_bytes=9), ReusedRows(1, LETTERS, mix=(2, 0.5), size_bytes=3)


def long_request(prompt: tuple[int, ...], seed: int = 0, tokens: int = 24, temperature: float = 0.9) -> Request:
    return Request(prompt, Sampling(temperature), Limits(tokens, ignore_eos=True), seed=seed, evidence=False)


# ---- exactness ----


def largest_error(turns: Turns, sampling: Sampling, depth: int) -> float:
    """Of the distribution of a run of three tokens, all choices listed, beside two runs with other prompts."""
    target, draft = models()
    script = Script()
    asked = request(sampling, 3, target)
    beside = [
        Run(replace(asked, prompt=prompt, seed=seed, limits=Limits(4, ignore_eos=True)), target, draft, turns)
        for prompt, seed in (((1, 1, 0), 3), ((0, 0), 4))
    ]
    listed = Run(asked, target, draft, turns, script.source())
    found: dict[tuple[int, ...], float] = {}

    def one_run() -> tuple[int, ...]:
        works = [partial(beside[0].tokens, depth), partial(listed.tokens, depth), partial(beside[1].tokens, depth)]
        return together(turns, works)[1]

    for prob, output in script.outcomes(one_run):
        found[output] = found.get(output, 0.0) + prob
    assert turns.jobs > turns.passes, "no pass was shared"
    return largest_difference(found, sequence_probs(target, asked))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_run_beside_others_has_the_targets_distribution(depth: int) -> None:
    assert largest_error(Turns(no_clock), Sampling(1.0), depth) <= EXACT


def test_two_runs_that_receive_each_others_rows_are_caught() -> None:
    assert largest_error(SwappedTurns(no_clock), Sampling(1.0), 1) > 1e-3


def test_seeded_runs_are_the_same_alone_and_beside_seven_others() -> None:
    assert departures(Turns(no_clock)) == []


def test_a_run_that_reads_its_rows_too_late_is_caught() -> None:
    assert len(departures(HastyTurns(no_clock))) > 0


def departures(turns: Turns) -> list[int]:
    """Of eight runs, those whose tokens at the same time are not the ones alone."""
    target, draft = models()
    asked = [long_request((number % 2, 1, number // 2 % 2), seed=number) for number in range(8)]
    alone = [Run(one, target, draft, Turns(no_clock)).tokens(number % 5) for number, one in enumerate(asked)]
    runs = [Run(one, target, draft, turns) for one in asked]

    def work(number: int) -> tuple[int, ...]:
        try:
            return runs[number].tokens(number % 5)
        except Exception:  # a broken twin may compute nothing that can be read
            return ()

    found = together(turns, [partial(work, number) for number in range(8)])
    return [number for number in range(8) if found[number] != alone[number]]


# ---- passes ----


def test_runs_of_the_same_depth_share_every_pass() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    runs = [Run(long_request((0, number % 2), temperature=0.0), target, draft, turns) for number in range(4)]
    together(turns, [partial(run.tokens, 0) for run in runs])

    assert [count for count, _ in target.batches[-20:]] == [4] * 20
    assert draft.batches == []


def test_the_target_waits_for_the_drafts_of_other_runs() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    runs = [Run(long_request((0, number % 2), tokens=30), target, draft, turns) for number in range(3)]
    together(turns, [partial(run.tokens, depth) for run, depth in zip(runs, (3, 1, 2), strict=True)])

    # Each verifies a draft of its depth, so that the runs end at different times; until the first does, all are in.
    verified = [count for count, tokens in target.batches if tokens > count]
    assert verified[:5] == [3] * 5


def test_a_prompt_does_not_keep_other_runs_waiting() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    prompt = tuple(number % 2 for number in range(100))
    long, short = (Run(long_request(ids, tokens=12), target, draft, turns) for ids in (prompt, (0, 1)))
    together(turns, [partial(long.tokens, 1), partial(short.tokens, 1)])

    # The target reads 16 tokens of the prompt in a pass, beside the short run's rows.
    assert max(tokens for count, tokens in target.batches if count == 2) <= 16 + 2
    assert sum(count == 2 and tokens >= 16 for count, tokens in target.batches) >= 5


def test_no_pass_has_more_tokens_than_a_runtime_takes() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    prompts = [tuple((number + place) % 2 for place in range(90)) for number in range(8)]
    runs = [Run(long_request(ids, tokens=8), target, draft, turns) for ids in prompts]
    together(turns, [partial(run.tokens, 4) for run in runs])

    assert max(tokens for _, tokens in target.batches + draft.batches) <= 64


def test_a_run_alone_computes_its_passes_without_sharing() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    together(turns, [partial(Run(long_request((0, 1)), target, draft, turns).tokens, 2)])

    assert (turns.passes, turns.jobs, turns.runs) == (0, 0, 1)


# ---- failures ----


def test_a_job_that_makes_a_pass_fail_does_not_fail_the_others() -> None:
    target, _ = models()
    turns = Turns(no_clock)
    prompts = [[0], [1], [0, 1]]
    contexts = [target.open(8) for _ in prompts]
    target.poison = [1, 1, 1]

    def rows(number: int, tokens: list[int]) -> list[float] | str:
        try:
            return target_rows(turns, target, Feed(contexts[number], tokens))
        except RuntimeError as error:
            return str(error)

    works = [partial(rows, 0, [0, 1]), partial(rows, 1, [0, 1, 1, 1]), partial(rows, 2, [1, 0])]
    found = together(turns, works)

    assert found[1] == "poisoned"
    assert contexts[1].length == 0
    assert found[0] == target.logits([0, 1]).tolist()
    assert found[2] == target.logits([1, 0]).tolist()


def target_rows(turns: Turns, target: ReusedRows, feed: Feed) -> list[float]:
    (rows,) = turns.forward(target, [feed])
    last: list[float] = rows.logits[-1].tolist()
    return last


def test_a_run_that_fails_gives_its_turn_to_the_others() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    run = Run(long_request((0, 1)), target, draft, turns)
    alone = run.tokens(2)

    def failing() -> tuple[int, ...]:
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        together(turns, [failing, partial(run.tokens, 2)])
    assert run.tokens(2) == alone
    assert turns.runs == 1


def test_work_outside_a_run_waits_for_its_turn() -> None:
    target, draft = models()
    turns = Turns(no_clock)
    order: list[str] = []
    other = threading.Thread(target=lambda: order.append(str(turns.forward(target, [Feed(target.open(4), [0])])[0])))
    with turns.turn():
        other.start()
        order.append("first")
        run = Run(long_request((0, 1), tokens=4), target, draft, Turns(no_clock))
        run.tokens(0)
        assert order == ["first"]
    other.join(60)
    assert len(order) == 2
